"""Roots and the Pythons they are for become an archive in the node cache."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO

from lazyimport.cache.blobs import LARGE
from lazyimport.cache.layout import PACKS
from lazyimport.cache.node import NodeCache
from lazyimport.cache.previous import Previous, load_previous, save_packing
from lazyimport.cache.refusal import REFUSING
from lazyimport.errors import ArchiveError
from lazyimport.files import AtomicFile
from lazyimport.format import sha256
from lazyimport.format.archive import Archive
from lazyimport.format.blobs import NONE
from lazyimport.format.delta import LARGEST_DELTA, Revision, write_delta
from lazyimport.format.entries import top_of
from lazyimport.format.index import Index
from lazyimport.format.order import first_members
from lazyimport.format.writer import recode, write_archive
from lazyimport.packing import flags
from lazyimport.packing.collect import collect
from lazyimport.packing.compile import identity
from lazyimport.packing.config import Config
from lazyimport.packing.indexing import Indexer
from lazyimport.packing.interpreters import Interpreter, native_warnings
from lazyimport.packing.sources import Sources
from lazyimport.packing.starts import expected_start, read_starts
from lazyimport.regular import replaceable
from lazyimport.reporting import SILENT, Reporter
from lazyimport.stores.artifact import Artifact

_LOCK_SECONDS = 600.0
_LARGEST = 5
_NOT_RECORDED = (
    "the profile has nothing of what is packed here, so it has no effect; record one of "
    "this application: lazyimport run HASH --profile FILE -m MODULE"
)


class Packed:
    """What a packing made.

    ``hash``; ``revision``, the archive as a base in the node cache and a delta;
    ``files`` and ``modules`` (Python files) in it, ``size`` of all files in bytes,
    ``largest``, path and size of the five largest,
    ``compiled`` (sources compiled now, once for each Python), ``reused`` (modules
    that had their bytecode), ``recorded`` (members that come first, as profiles say);
    ``warnings`` for people.

    `pack` adds the ``roots`` that it chose, the ``seconds`` that all of it took, and
    for an ``artifact`` the SHA-256 that the file turned out to have, in hex digits.
    """

    roots: tuple[str, ...] = ()
    seconds = 0.0
    artifact: Artifact | None = None
    artifact_sha256 = ""

    def __init__(
        self,
        revision: Revision,
        sources: Sources,
        compiled: int,
        warnings: Sequence[str],
        cache: NodeCache,
        record: Callable[[Revision], None],
        recorded: int,
    ) -> None:
        index = revision.index
        self.hash = revision.hash
        self.revision = revision
        self.files = len(sources.files)
        self.modules = sum(file.path.endswith(".py") for file in sources.files)
        sizes = [(file.signature[0], file.path) for file in sources.files]
        self.size = sum(size for size, _ in sizes)
        self.largest = [
            (path, size) for size, path in sorted(sizes)[: -_LARGEST - 1 : -1]
        ]
        self.compiled = compiled
        self.recorded = recorded
        self.reused = index.slots - index.files - index.directories - compiled
        self.warnings = tuple(warnings)
        self._cache = cache
        self._record = record

    @property
    def archive(self) -> Archive:
        """The whole archive from the node cache; it is written there if it is missing.

        Raises CacheError.
        """
        revision = self.revision
        if revision.delta is None:
            return revision.base
        return _put(self._cache, self.hash, lambda out: revision.write(out, raw=True))

    def save(self, path: str) -> int:
        """Write the archive to the file *path*, compressed; return its size in bytes.

        Large files are in it, too: nothing lies beside it.
        Raises OSError, which names *path*, or CacheError.
        """
        archive = self.archive
        with AtomicFile(replaceable(path)) as file:
            order = self.revision.order
            first = order() if order is not None else ()
            return recode(archive, file, raw=False, first=first, blobs=NONE).size

    def rebase(self) -> None:
        """Make this archive the base of the next packing. Raises CacheError."""
        if self.revision.delta is not None:
            with _disk_errors(self._cache):
                self._record(Revision(self.archive))


def pack_roots(
    roots: Sequence[str],
    config: Config,
    interpreters: Sequence[Interpreter],
    cache: NodeCache,
    *,
    staged: Sequence[str] = (),
    store: str = "",
    jobs: int | None = None,
    reporter: Reporter = SILENT,
    trust_stat: bool = True,
    whole: bool = True,
    entries: Sequence[str] = (),
) -> Packed:
    """Pack *roots* with bytecode for *interpreters*; keep the archive in *cache*.

    The hash depends on the files, *config* and the interpreters' versions, and on
    nothing else. Bytecode of unchanged sources is taken from the previous packing
    of the same roots for the same interpreters, and files whose size, times and
    inode are as they were then are not read again, unless *trust_stat* is false.
    *staged* are more roots, in directories that only this call sees. Neither *cache*
    nor *store*, the folder of one, is packed, wherever it lies. Unless it is to be
    *whole*, only what differs from an older archive is written, and ``revision`` of
    the result gives it all. What comes first where that is sent is as profiles record
    it, else as *entries* (``module:attribute``), or those of *config*, import it.

    Raises PackError with every reason found, CacheError, or MemoryError.
    """
    names = frozenset().union(*(i.stdlib_names for i in interpreters))
    taken = time.time_ns()
    folder = cache.make_folder(PACKS)
    never = {os.path.realpath(cache.path): "the node cache"}
    if store:
        never[os.path.realpath(store)] = "the store"
    starts = read_starts(config.profile)
    for profile in config.profile:
        places = os.path.abspath(profile), os.path.realpath(profile)
        never |= dict.fromkeys(places, "a profile")
    sources = collect(roots, config, staged=staged, never=never, stdlib_names=names)
    path = f"{folder}/{_name_of(roots, interpreters, config)}"
    previous = load_previous(path, cache)
    with _disk_errors(cache), tempfile.TemporaryFile(dir=folder) as spool:

        def make(previous: Previous | None) -> tuple[Indexer, Revision]:
            indexer = Indexer(
                sources, config, interpreters, previous, spool, cache, reporter
            )
            index = indexer.index(jobs, trust_stat=trust_stat)
            reporter.step("writing the archive")
            first = first_members(starts, index)
            revision = previous and _as_delta(previous, index, indexer, first, folder)
            return indexer, revision or _as_archive(index, indexer, first, cache)

        try:
            indexer, revision = make(previous)
        except ArchiveError:
            if previous is None:
                raise
            indexer, revision = make(None)  # its archive is damaged

        def record(revision: Revision) -> None:
            flags, problems = indexer.flags, indexer.problems
            save_packing(path, cache, sources.files, flags, problems, revision, taken)

        record(revision)
    recorded = first_members(starts, revision.index)
    if recorded:
        revision.order = lambda: recorded
    elif expected := entries or config.check:
        revision.order = lambda: first_members(
            [expected_start(expected, revision)], revision.index
        )
    warnings = [
        *sources.warnings,
        *_without_effect(sources, config),
        *([_NOT_RECORDED] if starts and not recorded else []),
        *(text for texts in indexer.problems.values() for text in texts),
        *_without_python(revision.index, interpreters, config),
        *native_warnings([file.path for file in sources.files], interpreters),
    ]
    packed = Packed(
        revision, sources, indexer.compiled, warnings, cache, record, len(recorded)
    )
    if whole:
        _ = packed.archive
    return packed


def _without_effect(sources: Sources, config: Config) -> Iterator[str]:
    """Yield a warning for each line in the configuration that matches nothing here."""
    paths = [file.path for file in sources.files]
    tops = {top_of(path) for path in paths}
    sizes = {file.path: file.signature[0] for file in sources.files}
    for line in config.materialize:
        if next(flags.matches([line], paths), None) is None and line[:1] != "!":
            yield (
                f"[tool.lazyimport] materialize names {line!r}, which matches nothing in "
                "this archive, so it has no effect"
            )
    for line in config.on_demand:
        one = replace(config, on_demand=(line,))
        if line[:1] != "!" and not flags.on_demand(sizes, one):
            yield (
                f"[tool.lazyimport] on_demand names {line!r}, which matches no data file "
                f"of {LARGE >> 20} MiB or more in this archive, so it has no effect"
            )
    for name in config.in_memory:
        if name not in tops:
            yield (
                f"[tool.lazyimport] in_memory names {name!r}, which is no top-level "
                "package of this archive, so it has no effect"
            )


def _without_python(
    index: Index, interpreters: Sequence[Interpreter], config: Config
) -> Iterator[str]:
    for interpreter in interpreters:
        major, minor, _ = interpreter.version
        if not index.minors >> minor & 1:
            yield (
                f"no Python {major}.{minor} will run this: requires-python is "
                f"{config.requires_python!r}; pack for one that may, with --python"
            )


def _as_delta(
    previous: Previous,
    index: Index,
    indexer: Indexer,
    first: Sequence[bytes],
    folder: str,
) -> Revision | None:
    """Return *index* as a delta to the previous base; None if that is too large."""
    base = previous.revision.base
    if index.hash == previous.revision.hash:
        return previous.revision
    if index.hash == base.hash:
        return Revision(base)
    most = int(LARGEST_DELTA * base.header.size)
    read, notes = indexer.read, indexer.notes
    with tempfile.TemporaryFile(dir=folder) as file:
        if not write_delta(
            file,
            base.index,
            index,
            read,
            first=first,
            notes=notes,
            most=most,
            blobs=indexer.blobs,
        ):
            return None
        file.seek(0)
        return Revision(base, file.read(), index.hash)


def _as_archive(
    index: Index, indexer: Indexer, first: Sequence[bytes], cache: NodeCache
) -> Revision:
    def write(out: BinaryIO) -> object:
        return write_archive(
            out,
            index,
            indexer.read,
            first=first,
            raw=True,
            notes=indexer.notes,
            blobs=indexer.blobs,
        )

    return Revision(_put(cache, index.hash, write))


def _put(cache: NodeCache, hash: str, write: Callable[[BinaryIO], object]) -> Archive:
    """Return the archive *hash* from the node cache; *write* makes it if need be."""
    with cache.lock(hash, _LOCK_SECONDS):
        try:
            archive = cache.open(hash)
        except ArchiveError:
            archive = None  # damaged: written again
        return archive or cache.publish(hash, write)


@contextmanager
def _disk_errors(cache: NodeCache) -> Iterator[None]:
    """Turn errors of the cache's disk into CacheErrors, which name it."""
    try:
        yield
    except OSError as error:
        ours = str(error.filename).startswith(f"{cache.path}/")
        if not ours and error.errno not in REFUSING:
            raise
        raise cache.refused("what is packed", error) from error


def _name_of(
    roots: Sequence[str], interpreters: Sequence[Interpreter], config: Config
) -> str:
    """Return the name shared by packings that can take bytecode from each other.

    Another lazyimport, if it compiles or flags files otherwise, takes nothing.
    """
    parts = [os.path.realpath(root) for root in roots]
    parts += ["", *sorted(map(identity, interpreters)), *map(str, config.optimize)]
    # What was packed because somebody named it may be refused without the name.
    parts += [flags.LOOKS_LIKE.pattern.decode(), *sorted(config.include)]
    joined = "\0".join(parts)
    return sha256(joined.encode("utf-8", "surrogateescape")).hex()[:32]
