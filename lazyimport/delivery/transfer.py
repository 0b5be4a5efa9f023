"""Transfers: bytes that come over several connections at once, and those that go."""

from __future__ import annotations

import os
import time
from _thread import allocate_lock
from itertools import groupby

from lazyimport.delivery.line import SPARE, Line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import Any, BinaryIO, TypeAlias

    from lazyimport.reporting import Reporter
    from lazyimport.stores import ReadStore

    Turns: TypeAlias = AbstractContextManager[Any]
    #: The key of an object, and where a piece of it begins and ends.
    Piece: TypeAlias = tuple[str, int, int]
    #: Takes the bytes of a piece that have come: in any thread, a piece once.
    Take: TypeAlias = Callable[[Piece, bytes], object]

#: Seconds after which a piece may be slow, and how much slower than the slowest of
#: those that have come it must be.
_SLOW = 2.0
_SLOWER = 3.0
#: Seconds between two looks whether something is slow, or has become urgent.
_PAUSE = 0.1
_OFTEN = 0.002


def bring(
    store: ReadStore,
    pieces: Iterable[Piece],
    connections: int,
    take: Take,
    urgent: Callable[[], Piece | None] | None = None,
    meanwhile: Callable[[], object] = bool,
    turns: Callable[[], Turns] | None = None,
) -> None:
    """Bring *pieces* of objects, in order, over so many *connections*; *take* each.

    A piece that takes long is asked for again by a connection that has nothing else
    to do, and the first answer counts. A store that sends no parts of objects sends
    all from the first piece on in one stream.

    *urgent*, if it is given, returns a piece that somebody waits for, or None; one more
    connection keeps asking it. *pieces* do not yield what it has returned. *meanwhile*
    is called when all connections are at work. With no *connections*, this thread reads
    the *pieces* one after the other. *turns* returns those of a `Line` which others
    share; else what comes beside something *urgent* has half of the connections.

    *take* gets fewer bytes of a piece if the object ends before, and is not called any
    more when this has returned or raised. The first error of the store, of *pieces* or
    of *take* is raised.
    """
    if not store.ranges:
        meanwhile()
        for key, run in groupby(sorted(pieces), lambda piece: piece[0]):
            _Stream(list(run), take).run(store, key)
        return
    threads = connections + SPARE
    if urgent is None:
        pieces = list(pieces)
        threads = min(threads, len(pieces))
    if not connections or (urgent is None and min(connections, threads) <= 1):
        meanwhile()
        for piece in pieces:
            take(piece, store.read(*piece))
    else:
        if turns is not None:
            its = turns()
        else:
            line = Line(connections)
            its = line.first if urgent is None else line.rest
        _Connections(store, iter(pieces), take, urgent, its).run(threads, meanwhile)


def taking_turns(connections: int) -> Turns:
    """Return what as many threads may enter as decode faster than one of them alone.

    The others wait for bytes meanwhile, or here, and not for the interpreter's lock.
    """
    if not connections:
        return allocate_lock()
    from threading import Semaphore  # what is small comes at once, without threads

    return Semaphore(max((os.cpu_count() or 1) // 2, 1))


class _Connections:
    """Threads that ask for one piece after the other, in *turns*, and take them.

    There are more than turns, so a thread that takes a piece, or waits to take it,
    keeps no connection from asking.
    """

    def __init__(
        self,
        store: ReadStore,
        pieces: Iterator[Piece],
        take: Take,
        urgent: Callable[[], Piece | None] | None,
        turns: Turns,
    ) -> None:
        self._read = store.read
        self._take = take
        self._urgent = urgent
        self._turns = turns
        import threading  # what is small comes at once, without threads

        self._waiting = pieces
        self._ended = False
        #: Since when a piece has been on its way. One is asked for twice at most.
        self._running: dict[Piece, float] = {}
        self._again: set[Piece] = set()
        self._slowest = 0.0
        self._taking = 0
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def run(self, threads: int, meanwhile: Callable[[], object]) -> None:
        """Bring everything. A thread that still waits then is left to its end."""
        try:
            self._start(threads)
            meanwhile()
            with self._changed:
                while not self._is_over():
                    self._changed.wait()
        except BaseException as error:  # noqa: BLE001 - raised below
            self._error = error  # an interrupt, or no more threads: nobody takes more
        with self._changed:
            # What takes a piece is not to go on when this has returned.
            while self._taking:
                self._changed.wait()
            if self._error is not None:
                raise self._error

    def _start(self, threads: int) -> None:
        import threading
        from contextlib import nullcontext

        kinds: list[Any] = [(self._next, self._turns, _PAUSE)] * threads
        if self._urgent is not None:
            kinds.append((self._next_urgent, nullcontext(), _OFTEN))
        for number, kind in enumerate(kinds):
            name = f"lazyimport-{number}"
            threading.Thread(
                target=self._work, args=kind, name=name, daemon=True
            ).start()

    def _is_over(self) -> bool:
        return self._error is not None or (self._ended and not self._running)

    def _work(
        self, find: Callable[[], Piece | None], turns: Turns, pause: float
    ) -> None:
        """Bring what *find* returns, in *turns*; look again after a *pause*."""
        try:
            while not self._is_over():
                with turns:
                    with self._changed:
                        piece = None if self._is_over() else find()
                    data = None if piece is None else self._ask(piece)
                if piece is None:
                    with self._changed:
                        if not self._is_over():
                            self._changed.wait(pause)
                elif data is not None:
                    self._give(piece, data)
        except BaseException as error:  # noqa: BLE001 - raised where it was asked for
            with self._changed:
                self._error = self._error or error
                self._changed.notify_all()

    def _ask(self, piece: Piece) -> bytes | None:
        """Return a piece; None if another connection was faster, or is to bring it."""
        began = time.monotonic()
        try:
            data = self._read(*piece)
        except BaseException as error:  # noqa: BLE001 - as above
            with self._changed:
                if piece in self._again:
                    self._again.remove(piece)  # the other try may succeed
                elif piece in self._running:
                    self._error = self._error or error
                self._changed.notify_all()
            return None
        with self._changed:
            if self._running.pop(piece, None) is None:
                return None
            self._slowest = max(self._slowest, time.monotonic() - began)
            if self._error is not None:
                return None
            self._taking += 1
        return data

    def _give(self, piece: Piece, data: bytes) -> None:
        failed = None
        try:
            self._take(piece, data)
        except BaseException as error:  # noqa: BLE001 - as above
            failed = error
        with self._changed:
            self._error = self._error or failed
            self._taking -= 1
            self._changed.notify_all()

    def _next(self) -> Piece | None:
        """Return what to ask for next; None for nothing now."""
        if (piece := next(self._waiting, None)) is not None:
            self._running[piece] = time.monotonic()
            return piece
        if not self._ended:
            self._ended = True
            self._changed.notify_all()  # this may be all that was waited for
        return self._slow_piece()

    def _next_urgent(self) -> Piece | None:
        """Return what somebody waits for, or what is slow; None for nothing now."""
        assert self._urgent is not None
        if (piece := self._urgent()) is None:
            return self._slow_piece()
        self._running[piece] = time.monotonic()
        return piece

    def _slow_piece(self) -> Piece | None:
        now = time.monotonic()
        patience = max(_SLOW, _SLOWER * self._slowest)
        for piece, since in self._running.items():
            if now - since > patience and piece not in self._again:
                self._again.add(piece)
                return piece
        return None


class _Stream:
    """A file to download into, which cuts what comes into pieces."""

    def __init__(self, pieces: Sequence[Piece], take: Take) -> None:
        self._pieces = list(reversed(pieces))
        self._take = take
        self._at = pieces[0][1]
        self._held = bytearray()

    def run(self, store: ReadStore, key: str) -> None:
        out: Any = self
        try:
            store.download(key, out, self._at)
        except _Enough:
            return
        for piece in reversed(self._pieces):  # the object has ended
            self._take(piece, bytes(self._held))
            self._held.clear()

    def write(self, data: Any) -> int:
        """Take what comes next."""
        self._held += data
        while self._pieces and self._at + len(self._held) >= self._pieces[-1][2]:
            piece = self._pieces.pop()
            start, end = (place - self._at for place in piece[1:])
            self._take(piece, bytes(memoryview(self._held)[start:end]))
            del self._held[:end]
            self._at += end
        if not self._pieces:
            raise _Enough
        return len(data)


class _Enough(Exception):
    """Nothing more is needed of what a store sends."""


class _Stopped(Exception):
    """What is sent beside this has failed."""


class Outgoing:
    """A file to upload: all of *data*, a seekable binary file, unless *is_stopped*."""

    def __init__(
        self,
        data: BinaryIO,
        text: str,
        reporter: Reporter,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._data = data
        self._text = text
        self._reporter = reporter
        self._is_stopped = is_stopped
        self._total = data.seek(0, os.SEEK_END)

    def read(self, size: int = -1) -> bytes:
        """Read as the file does, and report how far it has been read."""
        if self._is_stopped():
            raise _Stopped
        data = self._data.read(size)
        self._reporter.step(self._text, self._data.tell(), self._total, "bytes")
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)
