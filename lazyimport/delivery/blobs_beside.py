"""What comes beside an archive: large files that processes want while it comes.

The fetcher of the archive hears of them. It runs already, and has the line: a fetcher
of their own has to start, and shares the line with what nobody waits for.
"""

from __future__ import annotations

from _thread import allocate_lock

from lazyimport.delivery.line import Line, Share

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Event, Thread

    from lazyimport.delivery.heads import Head
    from lazyimport.delivery.line import Turns
    from lazyimport.format.blobs import Blob


class Beside:
    """Large files that are wanted, each of which *bring* brings, given its share.

    It returns the bytes that came; ``moved`` are those of all. They come in their order
    and before what nobody waits for, over the same *connections*: each begins when the
    last but one before it has been asked for, so that none of these is idle.
    """

    def __init__(self, connections: int, bring: Callable[[Blob, Share], int]) -> None:
        self._connections = connections
        self._bring = bring
        self._line: Line | None = None
        self._lock = allocate_lock()
        self._seen: set[bytes] = set()
        #: the bytes of those that have not begun
        self._waiting = 0
        #: of each that has a thread: that, and what is set when it has been asked for
        self._begun: list[tuple[Thread, Event]] = []
        self.moved = 0

    def rest(self) -> Turns:
        """Return the turns of what nobody waits for."""
        return self._its_line().rest

    def heard(self, head: Head) -> Callable[[Sequence[int]], object]:
        """Return what takes slots of the archive of *head* that processes wish."""
        blobs = head.blobs
        large = {e.slot: blobs[e.digest] for e in head.entries if e.digest in blobs}

        def hear(slots: Sequence[int]) -> None:
            self.want(*(large[slot] for slot in slots if slot in large))

        return hear if large else bool

    def want(self, *blobs: Blob) -> None:
        """Bring *blobs* after those that were wanted before; do not wait for them."""
        from threading import Event, Thread  # few archives have any

        new = {blob.digest: blob for blob in blobs if blob.digest not in self._seen}
        self._seen.update(new)
        with self._lock:
            self._waiting += sum(blob.size for blob in new.values())
        for blob in new.values():
            asked = Event()
            before = [event for _, event in self._begun[-2:-1]]
            work = blob, asked, before
            thread = Thread(target=self._work, args=work, daemon=True)
            thread.start()
            self._begun.append((thread, asked))

    def wait(self) -> None:
        """Return when all has come that was wanted."""
        for thread, _ in self._begun:
            thread.join()

    def _work(self, blob: Blob, asked: Event, before: Sequence[Event]) -> None:
        try:
            for event in before:
                event.wait()
            with self._lock:
                self._waiting -= blob.size
                share = Share(self._first, self._waiting, asked.set)
            moved = self._bring(blob, share)
        finally:
            asked.set()
        with self._lock:
            self.moved += moved

    def _first(self) -> Turns:
        """Return the turns of what is wanted."""
        return self._its_line().first

    def _its_line(self) -> Line:
        with self._lock:
            self._line = self._line or Line(self._connections)
            return self._line
