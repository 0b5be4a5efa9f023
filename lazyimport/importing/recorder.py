"""The recorder: what this process reads from its archive and imports, with times.

It makes lines of ``docs/profiles.md``, which are written as soon as no import waits for
that: processes are killed more often than they end. `lazyimport.importing.recorded`
calls it.
"""

from __future__ import annotations

import os
import sys
from _json import encode_basestring_ascii
from _thread import allocate_lock, get_ident
from time import perf_counter, time

from lazyimport.importing import hidden

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from lazyimport.format.entries import Entry
    from lazyimport.importing.tree import Tree

    Result = TypeVar("Result")

#: So many lines are written, of a few hundred bytes each.
MOST = 150_000
#: Lines are written after so many, or seconds, while an import goes on.
_LINES, _SECONDS = 200, 1.0
#: what an import does: the indexes of its times
FIND, PUT, READ, LOAD, RUN, WAIT = range(6)


class Recorder:
    """Records what is read from the archive of *tree*, and all imports.

    *write* takes lines, the first one when code of the archive is read. A forked child
    begins anew, with what it does itself.
    """

    def __init__(self, tree: Tree, write: Callable[[str], object]) -> None:
        self._tree = tree
        self._write = write
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self.started = time()
        self._began = self._flushed = perf_counter()
        self._threads: dict[int, _Thread] = {}
        self._seen: set[tuple[str, str]] = set()
        self._lines: list[str] = []
        self._writing = allocate_lock()
        self._count = 0
        self._has_code = False
        tree = self._tree
        variants = tree.archive.index.variants
        self._add(
            lazyimport_profile=1,
            hash=tree.hash,
            python=variants[tree.variant].python if tree.variant >= 0 else "",
            version=sys.version.split()[0],
            host=os.uname().nodename,
            pid=os.getpid(),
            program=_program(),
            started=self.started,
        )

    def _add(self, **fields: object) -> None:
        self._count += 1
        if self._count <= MOST:
            self._lines.append(_encoded(fields))
        elif self._count == MOST + 1:
            self._lines.append('{"complete":false}\n')

    def _perhaps_flush(self, thread: _Thread) -> None:
        waits = perf_counter() - self._flushed
        if not thread.imports or len(self._lines) >= _LINES or waits > _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was noted so far, if code of the archive was read.

        One thread at a time writes, without waiting for another: that looks again.
        """
        self._flushed = perf_counter()
        while self._lines and self._has_code and self._writing.acquire(blocking=False):
            try:
                size = len(self._lines)
                lines, self._lines[:size] = self._lines[:size], []
                self._write("".join(lines))
            finally:
                self._writing.release()

    def _thread(self) -> _Thread:
        ident = get_ident()
        thread = self._threads.get(ident)
        if thread is None:
            thread = self._threads[ident] = _Thread(len(self._threads))
        return thread

    def begin(self, name: str) -> _Import:
        """Note that this thread begins to import *name*."""
        thread = self._thread()
        thread.turn()
        outer = thread.imports[-1] if thread.imports else None
        parent = outer.name if outer else ""
        if outer and outer.name.startswith(f"{name}."):  # a package of what it finds
            parent = outer.parent
        new = _Import(name, parent, thread)
        thread.imports.append(new)
        return new

    def end(self, done: _Import, *, failed: bool) -> None:
        """Note that this thread has imported what it began last."""
        thread = self._thread()
        thread.turn()
        if thread.imports[-1:] != [done]:  # this is a child, forked in the middle of it
            return
        thread.imports.pop()
        if thread.imports and thread.imports[-1].name.startswith(f"{done.name}."):
            thread.begin_again()  # a package of it stands beside it
        self._add(**done.facts(self._began, thread.since), failed=failed)
        self._perhaps_flush(thread)

    @hidden
    def during(self, phase: int, function: Callable[..., Result], *args: Any) -> Result:
        """Call *function*, whose time is that of *phase* of the import under way."""
        thread = self._thread()
        before = thread.turn(phase)
        try:
            return function(*args)
        finally:
            thread.turn(before)

    def importing(self) -> tuple[_Thread, str]:
        """Return this thread and what it imports, "" if that was found already."""
        thread = self._thread()
        under_way = thread.imports[-1] if thread.imports else None
        return thread, under_way.name if under_way and not under_way.path else ""

    def read(
        self,
        kind: str,
        entry: Entry,
        member: tuple[bytes, int],
        function: Callable[..., Result],
        *args: Any,
    ) -> Result:
        """Call *function*, which reads the *member* (digest, size) of *entry*."""
        thread = self._thread()
        at = perf_counter()
        try:
            phase = READ if thread.phase == LOAD else thread.phase
            return self.during(phase, function, *args)
        finally:
            digest, size = member
            if not thread.holds(entry):
                self._note(thread, kind, entry.path, digest, at, size)

    def put(self, top: str, function: Callable[[str], Result]) -> Result:
        """Call *function*, which puts the package *top* on disk."""
        thread = self._thread()
        at = perf_counter()
        thread.packages.append([top, 0])
        try:
            return function(top)
        finally:
            _, size = thread.packages.pop()
            self._note(thread, "package", top, b"", at, size)

    def look(self, path: str, looker: str) -> None:
        """Note that *looker* is the first to look at *path*."""
        self._add(looked=path, by=looker)
        self._perhaps_flush(self._thread())

    def _note(
        self, thread: _Thread, kind: str, path: str, digest: bytes, at: float, size: int
    ) -> None:
        if (kind, path) in self._seen or self._count > MOST:
            return
        self._seen.add((kind, path))
        self._has_code = self._has_code or kind == "code"
        self._add(
            read=kind,
            path=path,
            digest=digest.hex(),
            at=at - self._began,
            seconds=perf_counter() - at,
            size=size,
        )
        self._perhaps_flush(thread)


class _Thread:
    """What a thread imports: each one for the one before it."""

    __slots__ = ("imports", "number", "packages", "since")

    def __init__(self, number: int) -> None:
        self.number = number
        self.imports: list[_Import] = []
        #: what it puts on disk, and the bytes that it has read for that
        self.packages: list[list[Any]] = []
        self.since = perf_counter()

    @property
    def phase(self) -> int:
        """What the import under way does; `FIND` without one."""
        return self.imports[-1].phase if self.imports else FIND

    def turn(self, phase: int | None = None) -> int:
        """Count the time since the last turn for the import under way.

        It enters *phase*, and the one before is returned.
        """
        now = perf_counter()
        before = FIND
        if self.imports:
            under_way = self.imports[-1]
            before = under_way.phase
            under_way.spent[before] += now - self.since
            under_way.phase = before if phase is None else phase
        self.since = now
        return before

    def begin_again(self) -> None:
        """Let the import under way begin now; its time until now is the outer one's."""
        again, *outer = reversed(self.imports)
        if outer:
            outer[0].spent[outer[0].phase] += sum(again.spent)
        again.begin(self.since)

    def holds(self, entry: Entry) -> bool:
        """Whether *entry* is read to put a package on disk, as whose it counts."""
        for package in self.packages:
            top: str = package[0]
            if entry.path.startswith(f"{top}/") if top else "/" not in entry.path:
                package[1] += 0 if entry.is_directory else entry.size
                return True
        return False


class _Import:
    __slots__ = (
        "at",
        "file",
        "name",
        "parent",
        "path",
        "phase",
        "size",
        "spent",
        "thread",
    )

    def __init__(self, name: str, parent: str, thread: _Thread) -> None:
        self.name = name
        self.parent = parent
        self.thread = thread.number
        self.path = self.file = ""
        self.size = 0
        self.begin(thread.since)

    def begin(self, at: float) -> None:
        self.at = at
        self.phase = FIND
        self.spent = [0.0] * 6

    def comes_from(self, tree: Tree, entry: Entry) -> None:
        """Note that it is *entry* of the archive."""
        code = entry.code(tree.variant)
        self.path, self.file = entry.path, tree.inside + entry.path
        self.size = code.size if code is not None else entry.size

    def facts(self, began: float, end: float) -> dict[str, object]:
        """Return the fields of its line: it has ended at *end*."""
        find, put, read, load, run, wait = self.spent
        if not self.path:
            find, run = 0.0, find + run
        return {
            "module": self.name,
            "path": self.path,
            "file": self.file or _file_of(self.name),
            "parent": self.parent,
            "thread": self.thread,
            "at": self.at - began,
            "find": find,
            "put": put,
            "read": read,
            "load": load,
            "run": run,
            "wait": wait,
            "total": end - self.at,
            "size": self.size,
        }


def _file_of(name: str) -> str:
    try:
        file = sys.modules[name].__file__
    except Exception:  # noqa: BLE001 - a program may put anything there
        return ""
    return file if isinstance(file, str) else ""


def _program() -> str:
    """Return the script or module that runs; "-c" for a program in the command line."""
    words = getattr(sys, "argv", None) or [""]
    if words[0] != "-m":
        return str(words[0])
    return sys.orig_argv[-len(words)].removeprefix("-m")  # Python has yet to find it


def _encoded(fields: dict[str, object]) -> str:
    """Return a line of JSON; loading `json` for it would hide a program's import."""
    pairs = []
    for name, value in fields.items():
        if isinstance(value, str):
            text = encode_basestring_ascii(value)
        elif isinstance(value, float):
            text = repr(round(value, 6))
        else:
            text = str(value).lower()
        if value:
            pairs.append(f'"{name}":{text}')
    return f"{{{','.join(pairs)}}}\n"
