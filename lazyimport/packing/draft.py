"""A draft: the files of a tree as entries of an index, and the bytes they stand for.

What the previous packing of the same roots knows is taken from it; only the rest is
read, hashed and compiled.
"""

from __future__ import annotations

import os

from lazyimport.format.build import build_index
from lazyimport.format.digest import sha256
from lazyimport.format.entries import (
    DIRECTORY,
    EXECUTABLE,
    FILE,
    LOOKS_AT_FILES,
    Code,
    Entry,
    Variant,
    listing_of,
)
from lazyimport.format.patch import Patch, patched
from lazyimport.format.writer import encode_notes
from lazyimport.packing.compile import SyntaxProblem, compile_sources
from lazyimport.packing.flags import looks_at_files, package_flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import IO

    from lazyimport.cache.previous import Previous
    from lazyimport.format.index import Index
    from lazyimport.packing.collect import SourceFile, Tree
    from lazyimport.packing.compile import Interpreter
    from lazyimport.packing.config import Config
    from lazyimport.reporting import Reporter

__all__ = ["Draft"]


class Draft:
    """One packing: its entries, and where the bytes of every digest are.

    *spool* takes bytecode until it is written elsewhere. ``flags`` are those of
    the files by path, ``problems`` why sources have no bytecode, ``compiled`` how
    many now have some that was made here.
    """

    def __init__(
        self,
        tree: Tree,
        config: Config,
        interpreters: Sequence[Interpreter],
        previous: Previous | None,
        spool: IO[bytes],
        reporter: Reporter,
    ) -> None:
        self._tree = tree
        self._config = config
        self._previous = previous
        self._spool = spool
        self._reporter = reporter
        compilers = {
            Variant(i.tag, i.magic, optimization): (i, optimization)
            for i in interpreters
            for optimization in config.optimize
        }
        self._variants = sorted(compilers, key=Variant.encode)
        self._compilers = [compilers[variant] for variant in self._variants]
        #: entries of the files that were read, still without bytecode
        self._read: list[Entry] = []
        self._files: dict[bytes, SourceFile] = {}
        self._spooled: dict[bytes, tuple[int, int]] = {}
        self._listings: dict[bytes, bytes] = {}
        #: source digest -> its bytecode by number of variant
        self._codes: dict[bytes, dict[int, Code]] = {}
        self.flags: dict[str, int] = {}
        self.problems: dict[str, list[str]] = {}
        self.compiled = 0

    @property
    def notes(self) -> bytes:
        """What the archive notes for people."""
        specifier = self._config.requires_python
        return encode_notes(
            {"excluded": self._tree.excluded, "requires_python": specifier}
        )

    def index(self, minors: int, jobs: int | None, *, trust_stat: bool) -> Index:
        """Return the index of the archive; reads and compiles what must be."""
        self._read_files(trust_stat=trust_stat)
        settled = self._take_over()
        for number in range(len(self._variants)):
            self._compile(number, settled, jobs)
        entries = [
            entry.with_codes(self._codes.get(entry.digest, {}))
            if entry.path.endswith(".py")
            else entry
            for entry in self._read
        ]
        if self._previous is not None:
            index = self._previous.revision.index
            return patched(index, self._patch(index, entries), minors)
        flags = package_flags(self.flags.items(), self._config)
        for path, listing in self._list_folders(_folders(self.flags)):
            entries.append(_directory(path, listing, flags))
        return build_index(entries, self._variants, minors)

    def read(self, digest: bytes) -> bytes | memoryview:
        """Return bytes that this packing or the previous one has seen or made."""
        if digest in self._files:
            return self._files[digest].read(digest)
        if digest in self._listings:
            return self._listings[digest]
        if digest in self._spooled:
            offset, size = self._spooled[digest]
            self._spool.seek(offset)
            return self._spool.read(size)
        assert self._previous is not None
        return self._previous.revision.read(digest)

    def _read_files(self, *, trust_stat: bool) -> None:
        """Read and hash every file that is not surely what it was."""
        files: Sequence[SourceFile] = self._tree.files
        known = self._previous.flags if self._previous is not None else {}
        self.flags = {file.path: known.get(file.path, 0) for file in files}
        if self._previous is not None and trust_stat:
            files = [file for file in files if not self._previous.has(file)]
        for number, file in enumerate(files, 1):
            data = file.read()
            digest = sha256(data)
            self._files.setdefault(digest, file)
            flags = EXECUTABLE if file.executable else 0
            if file.path.endswith(".py") and looks_at_files(data):
                flags |= LOOKS_AT_FILES
            self.flags[file.path] = flags
            self._read.append(Entry(file.path, len(data), digest, flags=flags))
            self._reporter.step("reading", number, len(files))

    def _take_over(self) -> set[bytes]:
        """Take bytecode from the previous archive; return the sources it has tried."""
        settled: set[bytes] = set()
        if self._previous is None:
            return settled
        index = self._previous.revision.index
        problems = self._previous.problems
        self.problems = {p: list(problems[p]) for p in problems if p in self.flags}
        unknown = set()
        for entry in self._read:
            if entry.path.endswith(".py"):
                old = index.entry(entry.path)
                if old is not None and old.digest == entry.digest:
                    self._codes[entry.digest] = dict(old.codes())
                    settled.add(entry.digest)
                else:
                    self.problems.pop(entry.path, None)
                    unknown.add(entry.digest)
        unknown = index.perhaps(unknown - settled)
        for old in index.entries() if unknown else ():
            if old.digest in unknown and old.variants:
                self._codes[old.digest] = dict(old.codes())
                settled.add(old.digest)
        return settled

    def _compile(self, number: int, settled: set[bytes], jobs: int | None) -> None:
        todo = {
            entry.digest: entry.path
            for entry in self._read
            if entry.path.endswith(".py") and entry.digest not in settled
        }
        if not todo:
            return
        interpreter, optimization = self._compilers[number]
        what = f"compiling for {self._variants[number]}"
        sources: Iterator[tuple[bytes, bytes]] = (
            (digest, self._files[digest].read(digest)) for digest in todo
        )
        compiled = compile_sources(interpreter, optimization, sources, jobs=jobs)
        for done, (digest, result) in enumerate(compiled, 1):
            if isinstance(result, SyntaxProblem):
                self.problems.setdefault(todo[digest], []).append(
                    f"{todo[digest]}:{result.lineno or 1}: no {self._variants[number]} "
                    f"bytecode: {result.message}; importing it will fail as the file would"
                )
            else:
                code = Code(len(result), sha256(result))
                self._codes.setdefault(digest, {})[number] = code
                place = self._spool.seek(0, os.SEEK_END)
                self._spooled[code.digest] = (place, code.size)
                self._spool.write(result)
                self.compiled += 1
            self._reporter.step(what, done, len(todo))

    def _patch(self, old: Index, entries: list[Entry]) -> Patch:
        """Return what turns *old* into this index, of which *entries* were read."""
        changed = []
        for entry in entries:
            before = old.entry(entry.path)
            if before is None or before.row() != entry.row():
                changed.append(entry)
        assert self._previous is not None
        earlier = self._previous.flags.keys()
        folders, removed = _folders(self.flags), earlier - self.flags.keys()
        moved = removed | (self.flags.keys() - earlier)
        touched = _folders(moved) if moved else set()
        flags = package_flags(self.flags.items(), self._config)
        for path, listing in self._list_folders(folders & touched):
            changed.append(_directory(path, listing, flags))
        for path in (flags.keys() & folders) - touched:
            before = old.entry(path)
            assert before is not None
            if before.flags != flags[path]:
                size, digest = before.size, before.digest
                changed.append(Entry(path, size, digest, DIRECTORY, flags[path]))
        gone = _folders(earlier) - folders
        return Patch(changed, [*removed, *gone])

    def _list_folders(self, folders: set[str]) -> Iterable[tuple[str, bytes]]:
        """Yield (path, listing) for each of *folders*."""
        children: dict[str, dict[str, int]] = {path: {} for path in folders}
        for path in self.flags:
            folder, _, name = path.rpartition("/")
            if folder in children:
                children[folder][name] = FILE
        for path in _folders(self.flags) - {""} if folders else ():
            folder, _, name = path.rpartition("/")
            if folder in children:
                children[folder][name] = DIRECTORY
        for path, names in children.items():
            listing = listing_of(names.items())
            self._listings[sha256(listing)] = listing
            yield path, listing


def _directory(path: str, listing: bytes, flags: dict[str, int]) -> Entry:
    return Entry(path, len(listing), sha256(listing), DIRECTORY, flags.get(path, 0))


def _folders(paths: Iterable[str]) -> set[str]:
    """Return the folders that *paths* lie in, up to the top."""
    found = {""}
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found
