"""Roots and the Pythons they are for become an archive in the node cache."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, ENOSPC, EROFS

from lazyimport.cache.layout import PACKS
from lazyimport.cache.previous import load_previous, save_packing
from lazyimport.errors import ArchiveError, CacheError, PackError
from lazyimport.files import AtomicFile
from lazyimport.format.delta import LARGEST_DELTA, Revision, write_delta
from lazyimport.format.index import ALL_MINORS
from lazyimport.format.writer import recode, write_archive
from lazyimport.packing import flags
from lazyimport.packing.collect import collect
from lazyimport.packing.compile import identity
from lazyimport.packing.draft import Draft
from lazyimport.reporting import SILENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

    from lazyimport.cache.node import NodeCache
    from lazyimport.cache.previous import Previous
    from lazyimport.format.archive import Archive
    from lazyimport.format.index import Index
    from lazyimport.packing.collect import Tree
    from lazyimport.packing.compile import Interpreter
    from lazyimport.packing.config import Config
    from lazyimport.reporting import Reporter
    from lazyimport.stores.artifact import Artifact

__all__ = ["Packed", "pack_roots"]

_LOCK_SECONDS = 600.0


class Packed:
    """What a packing made.

    ``hash``; ``revision``, the archive as a base in the node cache and a delta;
    ``files`` and ``modules`` (Python files) in it, ``size`` of all files in bytes,
    ``compiled`` (sources compiled now, once for each Python), ``reused`` (modules
    that had their bytecode); ``warnings`` for people.

    `pack` adds the ``seconds`` that all of it took, and for an ``artifact`` the
    SHA-256 that the file turned out to have, in hex digits.
    """

    seconds = 0.0
    artifact: Artifact | None = None
    artifact_sha256 = ""

    def __init__(
        self,
        revision: Revision,
        tree: Tree,
        config: Config,
        draft: Draft,
        cache: NodeCache,
        keep: Callable[[Revision], None],
    ) -> None:
        index = revision.index
        codes = index.slots - index.files - index.directories
        self.hash = revision.hash
        self.revision = revision
        self.files = len(tree.files)
        self.modules = sum(file.path.endswith(".py") for file in tree.files)
        self.size = sum(file.signature[0] for file in tree.files)
        self.compiled = draft.compiled
        self.reused = codes - draft.compiled
        problems = [text for texts in draft.problems.values() for text in texts]
        self.warnings: tuple[str, ...] = (
            *tree.warnings,
            *_without_effect(tree, config),
            *problems,
        )
        self._cache = cache
        self._keep = keep

    @property
    def archive(self) -> Archive:
        """The whole archive from the node cache; written there if it is not.

        Raises CacheError.
        """
        return _in_cache(self._cache, self.revision)

    def save(self, path: str) -> int:
        """Write the archive to the file *path*, compressed; return its size in bytes.

        Raises OSError, which names *path*, or CacheError.
        """
        archive = self.archive
        try:
            with AtomicFile(path) as file:
                return recode(archive, file, raw=False).size
        except OSError as error:
            error.filename = path  # not the temporary file, which is gone
            raise

    def rebase(self) -> None:
        """Let what comes next be told by this archive; raises CacheError."""
        if self.revision.delta is not None:
            with _room(self._cache):
                self._keep(Revision(self.archive))


def pack_roots(
    roots: Sequence[str],
    config: Config,
    interpreters: Sequence[Interpreter],
    cache: NodeCache,
    *,
    staged: Sequence[str] = (),
    jobs: int | None = None,
    reporter: Reporter = SILENT,
    trust_stat: bool = True,
    whole: bool = True,
) -> Packed:
    """Pack the trees at *roots* with bytecode for *interpreters*; keep it in *cache*.

    The hash depends on the files, *config* and the interpreters' versions, and on
    nothing else. Bytecode of unchanged sources is taken from the previous packing
    of the same roots for the same interpreters, and files whose size, times and
    inode are as they were then are not read again, unless *trust_stat* is false.
    *staged* are more roots, in folders that only this call sees. Unless it is to be
    *whole*, only what differs from an older archive is written, and ``revision`` of
    the result gives it all.

    Raises PackError with every reason found, CacheError, or MemoryError.
    """
    names = frozenset().union(*(i.stdlib_names for i in interpreters))
    taken = time.time_ns()
    tree = collect([*roots, *staged], config, stdlib_names=names)
    folder = cache.make_folder(PACKS)
    path = f"{folder}/{_name_of(roots, interpreters, config)}"
    previous = load_previous(path, cache)
    with _room(cache), tempfile.TemporaryFile(dir=folder) as spool:

        def make(previous: Previous | None) -> tuple[Draft, Revision]:
            draft = Draft(tree, config, interpreters, previous, spool, reporter)
            index = draft.index(minors_of(config), jobs, trust_stat=trust_stat)
            revision = previous and _revise(previous, index, draft, folder)
            return draft, revision or _write(index, draft, cache)

        try:
            draft, revision = make(previous)
        except ArchiveError:
            if previous is None:
                raise
            draft, revision = make(None)  # its archive is damaged

        def keep(revision: Revision) -> None:
            save_packing(
                path, cache, tree.files, draft.flags, draft.problems, revision, taken
            )

        keep(revision)
    packed = Packed(revision, tree, config, draft, cache, keep)
    packed.warnings += tuple(
        f"no Python {i.version[0]}.{i.version[1]} will run this: requires-python is "
        f"{config.requires_python!r}; pack for one that may, with --python"
        for i in interpreters
        if not revision.index.minors >> i.version[1] & 1
    )
    if whole:
        _in_cache(cache, revision)
    return packed


def _without_effect(tree: Tree, config: Config) -> Iterator[str]:
    """Yield a warning for each name in the configuration that is no package here."""
    tops = {file.path.partition("/")[0] for file in tree.files if "/" in file.path}
    for key in ("materialize", "in_memory"):
        for name in getattr(config, key):
            if name not in tops:
                yield (
                    f"[tool.lazyimport] {key} names {name!r}, which is no top-level "
                    "package of this archive, so it has no effect"
                )


def _revise(
    previous: Previous, index: Index, draft: Draft, folder: str
) -> Revision | None:
    """Return *index* as a delta to the previous base; None if that is too large."""
    base = previous.revision.base
    if index.hash == previous.revision.hash:
        return previous.revision
    if index.hash == base.hash:
        return Revision(base)
    with tempfile.TemporaryFile(dir=folder) as file:
        most = int(LARGEST_DELTA * base.header.size)
        notes = draft.notes
        if not write_delta(file, base.index, index, draft.read, notes=notes, most=most):
            return None
        file.seek(0)
        return Revision(base, file.read(), index.hash)


def _write(index: Index, draft: Draft, cache: NodeCache) -> Revision:
    """Write the whole archive into the node cache."""
    notes = draft.notes
    return Revision(
        _put(
            cache,
            index.hash,
            lambda out: write_archive(out, index, draft.read, raw=True, notes=notes),
        )
    )


def _in_cache(cache: NodeCache, revision: Revision) -> Archive:
    """Return the archive, whole, from the node cache."""
    if revision.delta is None:
        return revision.base
    return _put(cache, revision.hash, lambda out: revision.write(out, raw=True))


def _put(cache: NodeCache, hash: str, write: Callable[[BinaryIO], object]) -> Archive:
    """Return the archive *hash* from the node cache; *write* makes it if need be."""
    with cache.lock(hash, _LOCK_SECONDS):
        try:
            archive = cache.open(hash)
        except ArchiveError:
            archive = None  # damaged: written anew
        return archive or cache.publish(hash, write)


@contextmanager
def _room(cache: NodeCache) -> Iterator[None]:
    """Say of a disk that takes nothing, or no more, which one it is."""
    try:
        yield
    except OSError as error:
        ours = str(error.filename).startswith(f"{cache.path}/")
        if not ours and error.errno not in {ENOSPC, EDQUOT, EROFS, EFBIG}:
            raise
        raise CacheError(
            f"cannot pack in the node cache {cache.path}: {error.strerror}; free space "
            "there, or set LAZYIMPORT_CACHE_DIR to another disk or folder",
            path=cache.path,
            errno=error.errno,
        ) from error


def _name_of(
    roots: Sequence[str], interpreters: Sequence[Interpreter], config: Config
) -> str:
    """Return the name that packings share which may take from each other.

    Another lazyimport, if it compiles or flags files otherwise, takes nothing.
    """
    parts = [os.path.realpath(root) for root in roots]
    parts += ["", *sorted(map(identity, interpreters)), *map(str, config.optimize)]
    parts.append(flags.LOOKS_LIKE.pattern.decode())
    joined = "\0".join(parts)
    return hashlib.sha256(joined.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def minors_of(config: Config) -> int:
    """Return the bits of format.md section 3 for the project's requires-python."""
    if not config.requires_python:
        return ALL_MINORS
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        allowed = SpecifierSet(config.requires_python)
    except InvalidSpecifier:
        raise PackError(
            f"requires-python is no version specifier: {config.requires_python!r}"
        ) from None
    # a minor version counts if any of its releases does
    return sum(
        1 << minor
        for minor in range(64)
        if any(f"3.{minor}.{micro}" in allowed for micro in range(100))
    )
