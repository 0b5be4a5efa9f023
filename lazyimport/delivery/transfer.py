"""Transfers: pieces of objects that come over several connections at once."""

from __future__ import annotations

import time
from _thread import allocate_lock
from itertools import groupby

from lazyimport.delivery.feeds import Enough, Feed, Stream
from lazyimport.delivery.line import Line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from lazyimport.delivery.feeds import Data, Piece, Take
    from lazyimport.delivery.line import Turns
    from lazyimport.stores import ReadStore

#: Seconds after which a piece may be slow, and how much slower than others it must be.
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
    asked: Callable[[], object] = bool,
) -> None:
    """Bring *pieces* of objects, in order, over so many *connections*; *take* each.

    The parts of a piece are taken as they come: in order, each byte once, in any
    thread. An empty part says that the object ends there, before the piece does.
    *take* is not called any more when this has returned or raised.

    The rest of a piece that comes slowly is asked for again by a connection that has
    nothing else to do, and what comes first counts. A store that sends no parts of
    objects sends all from the first piece on in one stream.

    *urgent*, if it is given, returns a piece that somebody waits for, or None; one more
    connection keeps asking it. *pieces* do not yield what it has returned. *meanwhile*
    is called when all connections are at work. With no *connections*, this thread reads
    the *pieces* one after the other. *turns* returns those of a `Line` which others
    share; else what comes beside something *urgent* has half of the connections.
    *asked* may be called when the last piece is asked for, unless any is *urgent*.

    The first error of the store, of *pieces* or of *take* is raised.
    """
    if not store.ranges:
        meanwhile()
        for key, run in groupby(sorted(pieces), lambda piece: piece[0]):
            Stream(list(run), take).run(store, key)
        return
    threads = connections
    if urgent is None:
        pieces = list(pieces)
        # beside others, one more may ask again for what is slow
        threads = min(threads, len(pieces) + bool(turns))
    if not connections or (urgent is None and turns is None and threads <= 1):
        meanwhile()
        for piece in pieces:
            Feed(piece, piece[1], take).run(store)
    else:
        if turns is not None:
            its = turns()
        else:
            line = Line(connections)
            its = line.first if urgent is None else line.rest
        waiting = iter(pieces) if urgent else _telling(list(pieces), asked)
        _Connections(store, waiting, take, urgent, its).run(threads, meanwhile)


def _telling(pieces: Sequence[Piece], asked: Callable[[], object]) -> Iterator[Piece]:
    """Yield *pieces*, and call *asked* before the last one."""
    yield from pieces[:-1]
    asked()
    yield from pieces[-1:]


class _Coming:
    """A *piece* on its way. All before ``at`` has been taken."""

    __slots__ = ("asking", "at", "began", "is_over", "lock", "piece", "tries")

    def __init__(self, piece: Piece) -> None:
        self.piece = piece
        self.at = piece[1]
        self.began = time.monotonic()
        self.lock = allocate_lock()
        self.is_over = False
        #: how often it was asked for: twice at most; and the requests that are left
        self.tries = self.asking = 0


class _Connections:
    """Threads that ask for one piece after the other, in *turns*, and take them."""

    def __init__(
        self,
        store: ReadStore,
        pieces: Iterator[Piece],
        take: Take,
        urgent: Callable[[], Piece | None] | None,
        turns: Turns,
    ) -> None:
        self._store = store
        self._take = take
        self._urgent = urgent
        self._turns = turns
        import threading  # what is small comes at once, without threads

        self._waiting = pieces
        self._ended = False
        self._running: set[_Coming] = set()
        #: what has come as a whole, the seconds that it took, and at most for a byte
        self._came = 0
        self._took = self._slowest = 0.0
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
            # What takes a part is not to go on when this has returned.
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
        self, find: Callable[[], _Coming | None], turns: Turns, pause: float
    ) -> None:
        """Bring what *find* returns, in *turns*; look again after a *pause*."""
        try:
            while not self._is_over():
                with turns:
                    with self._changed:
                        coming = None if self._is_over() else find()
                    if coming is not None:
                        self._bring(coming)
                if coming is None:
                    with self._changed:
                        if not self._is_over():
                            self._changed.wait(pause)
        except BaseException as error:  # noqa: BLE001 - raised where it was asked for
            with self._changed:
                self._error = self._error or error
                self._changed.notify_all()

    def _bring(self, coming: _Coming) -> None:
        """Bring what is missing of a piece, unless another connection is faster."""

        def take(_: Piece, at: int, data: Data) -> None:
            with coming.lock:
                if coming.is_over:
                    raise Enough
                skip = coming.at - at
                if not skip or skip < len(data):
                    self._give(coming, data[skip:])

        try:
            Feed(coming.piece, coming.at, take).run(self._store)
        except Enough:
            pass
        except BaseException as error:  # noqa: BLE001 - as above
            with self._changed:
                coming.asking -= 1  # another try may succeed
                if not (coming.asking or coming.is_over):
                    self._error = self._error or error
                self._changed.notify_all()

    def _give(self, coming: _Coming, data: Data) -> None:
        """Take what comes next; raise Enough if all this has ended."""
        with self._changed:
            if self._error is not None:
                raise Enough
            self._taking += 1
        failed = None
        try:
            self._take(coming.piece, coming.at, data)
        except BaseException as error:  # noqa: BLE001 - as above
            failed = error
        with self._changed:
            self._error = self._error or failed
            self._taking -= 1
            coming.at += len(data)
            if not data or coming.at >= coming.piece[2]:
                coming.is_over = True
                self._running.discard(coming)
                size, took = (
                    coming.at - coming.piece[1],
                    time.monotonic() - coming.began,
                )
                self._came += size
                self._took += took
                self._slowest = max(self._slowest, took / max(size, 1))
            self._changed.notify_all()

    def _next(self) -> _Coming | None:
        """Return what to ask for next; None for nothing now."""
        if (piece := next(self._waiting, None)) is not None:
            return self._asked(_Coming(piece))
        if not self._ended:
            self._ended = True
            self._changed.notify_all()  # this may be all that was waited for
        return self._slow_piece()

    def _next_urgent(self) -> _Coming | None:
        """Return what somebody waits for, or what is slow; None for nothing now."""
        assert self._urgent is not None
        if (piece := self._urgent()) is None:
            return self._slow_piece()
        return self._asked(_Coming(piece))

    def _asked(self, coming: _Coming) -> _Coming:
        coming.tries += 1
        coming.asking += 1
        self._running.add(coming)
        return coming

    def _slow_piece(self) -> _Coming | None:
        """Return a piece that comes much slower than all others did, or None.

        That is slower than any that has come, since all of them may have stalled, and
        than the average. If nothing comes at all, asking again would not help; it may
        if one is alone.
        """
        now = time.monotonic()
        came, took = self._came, self._took
        for coming in self._running:
            came += coming.at - coming.piece[1]
            took += now - coming.began
        for coming in self._running:
            _, start, end = coming.piece
            here, seconds = coming.at - start, now - coming.began
            patience = max(_SLOW, _SLOWER * self._slowest * (end - start))
            if coming.tries > 1 or seconds < patience:
                continue
            if came == here:
                is_slow = took == seconds and not here
            else:
                is_slow = _SLOWER * here * (took - seconds) <= (came - here) * seconds
            if is_slow:
                return self._asked(coming)
        return None
