"""Indexing: sources become the entries of an index, and bytes to be found by digest.

What the previous packing of the same roots knows is taken from it; only the rest is
read, hashed and compiled.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from mmap import mmap
from typing import IO

from lazyimport.cache.blobs import is_large
from lazyimport.cache.node import NodeCache
from lazyimport.cache.previous import Previous
from lazyimport.errors import MemberMissing
from lazyimport.format import sha256
from lazyimport.format.blobs import Blob
from lazyimport.format.build import build_index
from lazyimport.format.codec import pays
from lazyimport.format.entries import (
    DIRECTORY,
    EXECUTABLE,
    FILE,
    LOOKS_AT_FILES,
    ON_DEMAND,
    Code,
    Entry,
    Variant,
    listing_of,
)
from lazyimport.format.folders import perhaps
from lazyimport.format.index import Index
from lazyimport.format.patch import Patch, patched
from lazyimport.format.writer import encode_notes
from lazyimport.packing.compile import SyntaxProblem, compile_sources
from lazyimport.packing.config import Config
from lazyimport.packing.flags import looks_at_files, on_demand, package_flags
from lazyimport.packing.interpreters import Interpreter
from lazyimport.packing.names import directories_of
from lazyimport.packing.secrets import secret_in
from lazyimport.packing.sources import SourceFile, Sources, pack_error
from lazyimport.reporting import Reporter


class Indexer:
    """Makes the index of one packing, and gives the bytes that it refers to.

    *spool* takes bytecode until it is written elsewhere, and *cache* large files. After
    `index`, ``flags`` are those of the files by path, ``problems`` says by path why a
    source has no bytecode, ``compiled`` how much bytecode was made, and ``blobs`` are
    the large files, by digest.
    """

    def __init__(
        self,
        sources: Sources,
        config: Config,
        interpreters: Sequence[Interpreter],
        previous: Previous | None,
        spool: IO[bytes],
        cache: NodeCache,
        reporter: Reporter,
    ) -> None:
        self._sources = sources
        self._config = config
        self._previous = previous
        self._spool = spool
        self._cache = cache
        self._reporter = reporter
        targets = [
            (Variant(i.tag, i.magic, optimization), i)
            for i in interpreters
            for optimization in config.optimize
        ]
        self._targets = sorted(targets, key=lambda target: target[0].encode())
        #: entries of the files that were read, still without bytecode
        self._read: list[Entry] = []
        #: digest of what was read -> the file, its size then
        self._files: dict[bytes, tuple[SourceFile, int]] = {}
        #: digest of bytecode -> where it begins in the spool, its size
        self._spooled: dict[bytes, tuple[int, int]] = {}
        self._listings: dict[bytes, bytes] = {}
        #: digest of a source -> its bytecode by number of variant
        self._codes: dict[bytes, dict[int, Code]] = {}
        self.flags: dict[str, int] = {}
        self.problems: dict[str, list[str]] = {}
        self.compiled = 0
        #: holds what no archive refers to yet
        self._held: list[mmap] = []
        self.blobs = {} if previous is None else {**previous.revision.blobs}

    @property
    def notes(self) -> bytes:
        """What the archive notes for people."""
        specifier = self._config.requires_python
        return encode_notes(
            {"excluded": self._sources.excluded, "requires_python": specifier}
        )

    def index(self, jobs: int | None, *, trust_stat: bool) -> Index:
        """Return the index of the archive; reads and compiles what must be."""
        self._read_files(trust_stat=trust_stat)
        settled = self._take_over()
        todo = {
            entry.digest: entry.path
            for entry in self._read
            if entry.path.endswith(".py") and entry.digest not in settled
        }
        for number in range(len(self._targets) if todo else 0):
            self._compile(number, todo, jobs)
        entries = [
            entry.with_codes(self._codes.get(entry.digest, {}))
            if entry.path.endswith(".py")
            else entry
            for entry in self._read
        ]
        minors = self._config.minors()
        flags = package_flags(self.flags, self._config)
        if self._previous is not None:
            index = self._previous.revision.index
            patch = self._patch(index, self._previous.flags.keys(), entries, flags)
            return patched(index, patch, minors)
        entries += self._list(directories_of(self.flags), flags)
        return build_index(entries, [variant for variant, _ in self._targets], minors)

    def read(self, digest: bytes) -> bytes | memoryview:
        """Return bytes that this packing or the previous one has seen or made."""
        if digest in self._files:
            return self._file(digest)
        if digest in self._listings:
            return self._listings[digest]
        if digest in self._spooled:
            offset, size = self._spooled[digest]
            self._spool.seek(offset)
            return self._spool.read(size)
        assert self._previous is not None
        return self._previous.revision.read(digest)

    def _file(self, digest: bytes) -> bytes:
        file, size = self._files[digest]
        return file.read_again(size, digest)

    def _read_files(self, *, trust_stat: bool) -> None:
        files: Sequence[SourceFile] = self._sources.files
        secrets = []
        known = self._previous.flags if self._previous is not None else {}
        self.flags = {file.path: known.get(file.path, 0) for file in files}
        sizes = {file.path: file.signature[0] for file in files}
        demanded = on_demand(sizes, self._config)
        if self._previous is not None and trust_stat:
            files = [file for file in files if not self._is_known(file, demanded)]
        for number, file in enumerate(files, 1):
            if is_large(file.path, file.signature[0]):
                flag = ON_DEMAND * (file.path in demanded)
                self._take_in(file, flag | EXECUTABLE * file.executable)
                self._reporter.step("reading", number, len(files))
                continue
            data = file.read()
            digest = sha256(data)
            self._files.setdefault(digest, (file, len(data)))
            is_source = file.path.endswith(".py")
            if file.guarded and not is_source and (what := secret_in(data)):
                name = shlex.quote(file.path)
                secrets.append(
                    f"{file.location} holds {what}, which everybody who reads the "
                    f"store would see; leave it out with --exclude {name}, or pack it "
                    f"all the same with --include {name}"
                )
            flags = EXECUTABLE if file.executable else 0
            if is_source and looks_at_files(data):
                flags |= LOOKS_AT_FILES
            self.flags[file.path] = flags
            self._read.append(Entry(file.path, len(data), digest, flags=flags))
            self._reporter.step("reading", number, len(files))
        if secrets:
            raise pack_error(secrets)

    def _is_known(self, file: SourceFile, demanded: Collection[str]) -> bool:
        """Whether the previous packing knows all of a file."""
        previous = self._previous
        if previous is None or not previous.has(file):
            return False
        if not is_large(file.path, file.signature[0]):
            return True
        entry = previous.revision.index.entry(file.path)
        if entry is None or entry.on_demand != (file.path in demanded):
            return False
        try:
            self._held.append(self._cache.read_blob(self.blobs[entry.digest]))
        except (KeyError, MemberMissing):
            return False
        return True

    def _take_in(self, file: SourceFile, flags: int) -> None:
        """Make a blob of a large file."""
        try:
            digest, size = file.take_in(self._cache)
        except OSError as error:
            size = file.signature[0]
            raise self._cache.refused(file.path, error, size) from error
        entry = Entry(file.path, size, digest, flags=flags)
        if digest not in self.blobs:
            blob = Blob.of(entry, compressed=False)
            self._held.append(self._cache.read_blob(blob))
            with memoryview(self._held[-1]) as content:
                blob.compressed = pays(content)
            self.blobs[digest] = blob
        self.flags[file.path] = flags
        self._read.append(entry)

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
        unknown = perhaps(index, unknown - settled)
        for old in index.entries() if unknown else ():
            if old.digest in unknown and old.variants:
                self._codes[old.digest] = dict(old.codes())
                settled.add(old.digest)
        return settled

    def _compile(self, number: int, todo: dict[bytes, str], jobs: int | None) -> None:
        """Compile for one variant; *todo* maps digests of sources to paths."""
        variant, interpreter = self._targets[number]
        sources = ((digest, self._file(digest)) for digest in todo)
        compiled = compile_sources(
            interpreter, variant.optimization, sources, jobs=jobs
        )
        for done, (digest, result) in enumerate(compiled, 1):
            if isinstance(result, SyntaxProblem):
                path = todo[digest]
                self.problems.setdefault(path, []).append(
                    f"{path}:{result.lineno or 1}: no {variant} bytecode: "
                    f"{result.message}; importing it will fail as the file would"
                )
            else:
                code = Code(len(result), sha256(result))
                self._codes.setdefault(digest, {})[number] = code
                place = self._spool.seek(0, os.SEEK_END)
                self._spooled[code.digest] = (place, code.size)
                self._spool.write(result)
                self.compiled += 1
            self._reporter.step(f"compiling for {variant}", done, len(todo))

    def _patch(
        self,
        old: Index,
        before: Iterable[str],
        entries: list[Entry],
        flags: dict[str, int],
    ) -> Patch:
        """Return what turns *old*, of the files *before*, into this index.

        *entries* are those of the files that were read, *flags* of the packages.
        """
        changed = []
        for entry in entries:
            known = old.entry(entry.path)
            if known is None or known.row() != entry.row():
                changed.append(entry)
        removed = before - self.flags.keys()
        moved = removed | (self.flags.keys() - before)
        directories = directories_of(self.flags)
        touched = directories_of(moved) if moved else set()
        changed += self._list(directories & touched, flags)
        for path in (flags.keys() & directories) - touched:
            known = old.entry(path)
            assert known is not None
            if known.flags != flags[path]:
                size, digest = known.size, known.digest
                changed.append(Entry(path, size, digest, DIRECTORY, flags[path]))
        gone = directories_of(before) - directories
        return Patch(changed, [*removed, *gone])

    def _list(self, directories: set[str], flags: dict[str, int]) -> Iterator[Entry]:
        """Yield an entry for each of *directories*, whose listing can be read then."""
        children: dict[str, dict[str, int]] = {path: {} for path in directories}
        if not children:
            return
        inner = directories_of(self.flags) - {""}
        for kind, paths in (FILE, self.flags), (DIRECTORY, inner):
            for path in paths:
                directory, _, name = path.rpartition("/")
                if directory in children:
                    children[directory][name] = kind
        for path, names in children.items():
            listing = listing_of(names.items())
            digest = sha256(listing)
            self._listings[digest] = listing
            yield Entry(path, len(listing), digest, DIRECTORY, flags.get(path, 0))
