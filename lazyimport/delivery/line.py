"""Line: so many requests at a time, and those that somebody waits for before others."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: What has come, beyond what is on its way over all connections, and is not taken yet.
SPARE = 2


class Line:
    """So many *connections*: whoever asks over one has a turn of this meanwhile.

    Turns are those of the ``first``, which somebody waits for, and of the ``rest``.
    Those of the rest are half of all at most, so that what is wished later finds the
    line less full, and none begins while any of the first waits for its turn.
    """

    def __init__(self, connections: int) -> None:
        import threading  # what is small comes at once, without threads

        self._free = connections
        self._free_to_rest = max(connections // 2, 1)
        self._waiting = 0
        self._changed = threading.Condition()
        self.first = _Turn(self._enter_first, self._leave_first)
        self.rest = _Turn(self._enter_rest, self._leave_rest)

    def _enter_first(self) -> None:
        with self._changed:
            self._waiting += 1
            while not self._free:
                self._changed.wait()
            self._waiting -= 1
            self._free -= 1
            self._changed.notify_all()

    def _leave_first(self) -> None:
        with self._changed:
            self._free += 1
            self._changed.notify_all()

    def _enter_rest(self) -> None:
        with self._changed:
            while self._waiting or not (self._free and self._free_to_rest):
                self._changed.wait()
            self._free -= 1
            self._free_to_rest -= 1

    def _leave_rest(self) -> None:
        with self._changed:
            self._free_to_rest += 1
            self._leave_first()


class _Turn:
    """What *enter* begins and *leave* ends, as a context manager for any threads."""

    def __init__(
        self, enter: Callable[[], object], leave: Callable[[], object]
    ) -> None:
        self._enter, self._leave = enter, leave

    def __enter__(self) -> None:
        self._enter()

    def __exit__(self, *_: object) -> None:
        self._leave()
