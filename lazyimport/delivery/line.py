"""Line: so many requests at a time, and those that somebody waits for before others."""

from __future__ import annotations

import os
from _thread import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import Any, TypeAlias

    Turns: TypeAlias = AbstractContextManager[Any]


def taking_turns(connections: int) -> Turns:
    """Return what as many threads may enter as decode faster than one of them alone.

    The others wait for bytes meanwhile, or here, and not for the interpreter's lock.
    """
    if not connections:
        return allocate_lock()
    from threading import Semaphore

    return Semaphore(max((os.cpu_count() or 1) // 2, 1))


class Line:
    """So many *connections*: whoever asks over one has a turn of this meanwhile.

    Turns are those of the ``first``, which somebody waits for, and of the ``rest``.
    Those of the rest are half of all at most, so that what is wished later finds the
    line less full, and none begins while there is any of the first: large requests
    need few turns, and all of the line.
    """

    def __init__(self, connections: int) -> None:
        import threading  # what is small comes at once, without threads

        self._free = connections
        self._free_to_rest = max(connections // 2, 1)
        #: those of the first that wait, or have begun
        self._wanted = 0
        self._changed = threading.Condition()
        self.first = _Turn(self._enter_first, self._leave_first)
        self.rest = _Turn(self._enter_rest, self._leave_rest)

    def _enter_first(self) -> None:
        with self._changed:
            self._wanted += 1
            while not self._free:
                self._changed.wait()
            self._free -= 1

    def _leave_first(self) -> None:
        with self._changed:
            self._wanted -= 1
            self._free += 1
            self._changed.notify_all()

    def _enter_rest(self) -> None:
        with self._changed:
            while self._wanted or not (self._free and self._free_to_rest):
                self._changed.wait()
            self._free -= 1
            self._free_to_rest -= 1

    def _leave_rest(self) -> None:
        with self._changed:
            self._free_to_rest += 1
            self._free += 1
            self._changed.notify_all()


class Share:
    """The part of a line that one of several transfers has: its *turns*.

    So many bytes come *behind* it: while there are any, its connections are not idle
    when they are done. *asked* is called when all of it has been asked for.
    """

    __slots__ = ("asked", "behind", "turns")

    def __init__(
        self, turns: Callable[[], Turns], behind: int, asked: Callable[[], object]
    ) -> None:
        self.turns = turns
        self.behind = behind
        self.asked = asked


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
