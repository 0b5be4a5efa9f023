"""What comes beside an archive: large files that processes want while it comes.

The fetcher of the archive hears of them. It runs already, and has the line: a fetcher
of their own has to start, and shares the line with what nobody waits for.
"""

from __future__ import annotations

from _thread import allocate_lock

from lazyimport.delivery.line import Line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Thread

    from lazyimport.delivery.heads import Head
    from lazyimport.delivery.line import Turns
    from lazyimport.format.blobs import Blob


class Beside:
    """Large files that are wanted, each of which *bring* brings, given turns for it.

    It returns the bytes that came; ``moved`` are those of all. They come in their order
    and before what nobody waits for, over the same *connections*: two at a time, so
    that the end of one leaves none of these idle.
    """

    def __init__(
        self, connections: int, bring: Callable[[Blob, Callable[[], Turns]], int]
    ) -> None:
        self._connections = connections
        self._bring = bring
        self._line: Line | None = None
        self._lock = allocate_lock()
        self._seen: set[bytes] = set()
        self._threads: list[Thread] = []
        self.moved = 0

    def first(self) -> Turns:
        """Return the turns of what is wanted."""
        return self._its_line().first

    def rest(self) -> Turns:
        """Return the turns of what nobody waits for."""
        return self._its_line().rest

    def heard(self, head: Head) -> Callable[[Sequence[int]], object]:
        """Return what takes slots of the archive of *head* that processes wish."""
        blobs = head.blobs
        large = {e.slot: blobs[e.digest] for e in head.entries if e.digest in blobs}

        def hear(slots: Sequence[int]) -> None:
            for slot in slots:
                if slot in large:
                    self.want(large[slot])

        return hear if large else bool

    def want(self, blob: Blob) -> None:
        """Bring *blob* after those that were wanted before; do not wait for it."""
        from threading import Thread  # few archives have any

        if blob.digest not in self._seen:
            self._seen.add(blob.digest)
            before = self._threads[-2:-1]
            thread = Thread(target=self._work, args=(blob, before), daemon=True)
            thread.start()
            self._threads.append(thread)

    def wait(self) -> None:
        """Return when all has come that was wanted."""
        for thread in self._threads:
            thread.join()

    def _work(self, blob: Blob, before: Sequence[Thread]) -> None:
        for thread in before:
            thread.join()
        moved = self._bring(blob, self.first)
        with self._lock:
            self.moved += moved

    def _its_line(self) -> Line:
        with self._lock:
            self._line = self._line or Line(self._connections)
            return self._line
