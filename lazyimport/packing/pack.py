"""Packing: files and the Pythons they are for become an archive in the node cache."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile

from lazyimport.errors import ArchiveError, PackError
from lazyimport.files import AtomicFile, ensure_directory
from lazyimport.format.digest import sha256
from lazyimport.format.image import build_index, listing_of
from lazyimport.format.index import (
    DIRECTORY,
    EXECUTABLE,
    LOOKS_AT_FILES,
    Code,
    Entry,
    Variant,
)
from lazyimport.format.writer import encode_notes, write_archive
from lazyimport.packing.collect import collect
from lazyimport.packing.compile import SyntaxProblem, compile_sources
from lazyimport.packing.flags import looks_at_files, package_flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import IO

    from lazyimport.delivery.cache import NodeCache
    from lazyimport.format.archive import Archive
    from lazyimport.format.image import IndexImage
    from lazyimport.format.index import Index
    from lazyimport.packing.collect import SourceFile, Tree
    from lazyimport.packing.compile import Interpreter
    from lazyimport.packing.config import Config

__all__ = ["Packed", "pack"]

_LOCK_SECONDS = 600.0


class Packed:
    """What `pack` made.

    ``hash``; ``archive``, open, from the node cache; ``modules`` (Python files in
    it), ``compiled`` (sources compiled now, once for each Python), ``reused``
    (taken from the last pack of the same roots); ``warnings`` for people.
    """

    __slots__ = ("archive", "compiled", "hash", "modules", "reused", "warnings")

    def __init__(
        self,
        archive: Archive,
        modules: int,
        compiled: int,
        reused: int,
        warnings: tuple[str, ...],
    ) -> None:
        self.hash = archive.hash
        self.archive = archive
        self.modules = modules
        self.compiled = compiled
        self.reused = reused
        self.warnings = warnings


def pack(
    roots: Sequence[str],
    config: Config,
    interpreters: Sequence[Interpreter],
    cache: NodeCache,
    *,
    staged: Sequence[str] = (),
    jobs: int | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Packed:
    """Pack the trees at *roots* with bytecode for *interpreters*; keep it in *cache*.

    The hash depends on the files, *config* and the interpreters' versions, and on
    nothing else. Bytecode of unchanged sources is taken from the last pack of the
    same roots. *staged* are more roots, in folders that only this call sees.
    *progress* is told (what, done, of how many).

    Raises PackError with every reason found, CacheError, or MemoryError.
    """
    names = frozenset().union(*(i.stdlib_names for i in interpreters))
    tree = collect([*roots, *staged], config, stdlib_names=names)
    folder = ensure_directory(f"{ensure_directory(cache.path)}/packs")
    memory = f"{folder}/{_name_of(roots)}"
    last = _last_archive(memory, cache)
    with tempfile.TemporaryFile(dir=folder) as spool:
        index = last.index if last is not None else None
        job = _Job(tree, config, interpreters, index, spool, progress)
        image = job.image(jobs)
        _keep(image, job, last, cache)
    with AtomicFile(memory) as file:
        file.write(json.dumps({"hash": image.hash}).encode())
    archive = cache.open(image.hash)
    if archive is None:
        raise PackError(
            f"archive {image.hash} vanished from {cache.path} while packing"
        )
    return Packed(
        archive,
        sum(file.path.endswith(".py") for file in tree.files),
        job.compiled,
        job.reused,
        tree.warnings + tuple(job.problems),
    )


class _Job:
    """One packing: knows where the bytes of every digest are."""

    def __init__(
        self,
        tree: Tree,
        config: Config,
        interpreters: Sequence[Interpreter],
        last: Index | None,
        spool: IO[bytes],
        progress: Callable[[str, int, int], None],
    ) -> None:
        self._tree = tree
        self._config = config
        self._last = last
        self._spool = spool
        self._progress = progress
        kinds = {
            Variant(i.tag, i.magic, optimization): (i, optimization)
            for i in interpreters
            for optimization in config.optimize
        }
        self._variants = sorted(kinds, key=Variant.encode)
        self._compilers = [kinds[variant] for variant in self._variants]
        self._files: dict[bytes, SourceFile] = {}
        self._spooled: dict[bytes, tuple[int, int]] = {}
        self._listings: dict[bytes, bytes] = {}
        #: source digest -> its bytecode by number of variant
        self._codes: dict[bytes, dict[int, Code]] = {}
        self.problems: list[str] = []
        self.notes = encode_notes(
            {"excluded": tree.excluded, "requires_python": config.requires_python}
        )
        self.compiled = self.reused = 0

    def image(self, jobs: int | None) -> IndexImage:
        """Return the index of the archive; compiles what must be compiled."""
        files = self._hash_files()
        self._take_over(files)
        for number in range(len(self._variants)):
            self._compile(number, files, jobs)
        entries = [
            entry.with_codes(self._codes.get(entry.digest, {}))
            if entry.path.endswith(".py")
            else entry
            for entry in files
        ]
        entries += self._directories(entries)
        return build_index(entries, self._variants, minors_of(self._config))

    def read(self, digest: bytes) -> bytes:
        """Return bytes that this packing has seen or made."""
        if digest in self._files:
            return self._files[digest].read()
        if digest in self._listings:
            return self._listings[digest]
        offset, size = self._spooled[digest]
        self._spool.seek(offset)
        return self._spool.read(size)

    def _hash_files(self) -> list[Entry]:
        entries = []
        count = len(self._tree.files)
        for number, file in enumerate(self._tree.files):
            data = file.read()
            digest = sha256(data)
            self._files.setdefault(digest, file)
            flags = EXECUTABLE if file.executable else 0
            if file.path.endswith(".py") and looks_at_files(data):
                flags |= LOOKS_AT_FILES
            entries.append(Entry(file.path, len(data), digest, flags=flags))
            self._progress("reading", number + 1, count)
        return entries

    def _take_over(self, files: list[Entry]) -> None:
        """Take the bytecode of unchanged sources from the last archive."""
        if self._last is None:
            return
        numbers = {
            old: self._variants.index(variant)
            for old, variant in enumerate(self._last.variants)
            if variant in self._variants
        }
        wanted = {entry.digest for entry in files}
        for entry in self._last.entries():
            if entry.digest in wanted and entry.variants:
                codes = self._codes.setdefault(entry.digest, {})
                for old, code in entry.codes():
                    if old in numbers:
                        codes[numbers[old]] = code
        self.reused = sum(len(codes) for codes in self._codes.values())

    def _compile(self, number: int, files: list[Entry], jobs: int | None) -> None:
        todo = {
            entry.digest: entry.path
            for entry in files
            if entry.path.endswith(".py")
            and number not in self._codes.get(entry.digest, {})
        }
        interpreter, optimization = self._compilers[number]
        what = f"compiling for {self._variants[number]}"
        sources: Iterator[tuple[bytes, bytes]] = (
            (digest, self._files[digest].read()) for digest in todo
        )
        compiled = compile_sources(interpreter, optimization, sources, jobs=jobs)
        for done, (digest, result) in enumerate(compiled, 1):
            if isinstance(result, SyntaxProblem):
                self.problems.append(
                    f"{todo[digest]}:{result.lineno or 1}: no {self._variants[number]} "
                    f"bytecode: {result.message}; importing it will fail as the file would"
                )
            else:
                code = Code(len(result), sha256(result))
                self._codes.setdefault(digest, {})[number] = code
                self._spooled[code.digest] = (
                    self._spool.seek(0, os.SEEK_END),
                    code.size,
                )
                self._spool.write(result)
                self.compiled += 1
            self._progress(what, done, len(todo))

    def _directories(self, files: list[Entry]) -> list[Entry]:
        children: dict[str, dict[str, int]] = {"": {}}
        for entry in files:
            parts = entry.path.split("/")
            for depth, name in enumerate(parts):
                kind = DIRECTORY if depth < len(parts) - 1 else entry.kind
                children.setdefault("/".join(parts[:depth]), {})[name] = kind
        flags = package_flags(files, self._config)
        found = []
        for path, names in children.items():
            listing = listing_of(names.items())
            digest = sha256(listing)
            self._listings[digest] = listing
            found.append(
                Entry(path, len(listing), digest, DIRECTORY, flags.get(path, 0))
            )
        return found


def _keep(image: IndexImage, job: _Job, last: Archive | None, cache: NodeCache) -> None:
    """Put the archive into the node cache, unless it is there."""
    held: dict[bytes, tuple[int, int, str]] = {}
    if last is not None:
        for entry in last.index.entries():
            for slot, size, digest in entry.members():
                held[digest] = (slot, size, entry.path)

    def read(digest: bytes) -> bytes | memoryview:
        if last is not None and digest in held:
            slot, size, path = held[digest]
            return last.member(slot, size, digest, path)
        return job.read(digest)

    with cache.lock(image.hash, _LOCK_SECONDS):
        if not _is_whole(cache, image.hash):
            cache.publish(
                image.hash,
                lambda out: write_archive(out, image, read, raw=True, notes=job.notes),
            )


def _is_whole(cache: NodeCache, hash: str) -> bool:
    try:
        return cache.open(hash) is not None
    except ArchiveError:
        return False


def _last_archive(memory: str, cache: NodeCache) -> Archive | None:
    """Return the archive that the last packing of these roots made, if it is here."""
    try:
        with open(memory, "rb") as file:
            return cache.open(str(json.loads(file.read())["hash"]))
    except (OSError, ValueError, KeyError, TypeError, ArchiveError):
        return None


def _name_of(roots: Sequence[str]) -> str:
    joined = "\0".join(os.path.realpath(root) for root in roots)
    return hashlib.sha256(joined.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def minors_of(config: Config) -> int:
    """Return the bits of format.md section 3 for the project's requires-python."""
    if not config.requires_python:
        return (1 << 64) - 1
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
