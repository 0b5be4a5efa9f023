"""The gate: a swap waits for imports that are under way, and they for it."""

from __future__ import annotations

import threading
import time


class Gate:
    """Lets any number of threads import, or one thread change what is imported.

    The order of events it guards: a thread is in the middle of importing ``a`` of the
    old version; a swap takes the old modules away; the thread ends, and puts ``a`` of
    the old version among the new modules. With the gate the swap waits for the thread,
    and a thread that begins to import meanwhile waits for the swap.
    """

    def __init__(self) -> None:
        self._inside: dict[int, int] = {}
        self.forked()

    def forked(self) -> None:
        """Forget other threads; this one may be importing."""
        thread = threading.get_ident()
        self._condition = threading.Condition(threading.Lock())
        self._inside = {k: n for k, n in self._inside.items() if k == thread}
        self._closed_by = 0

    def __enter__(self) -> None:
        thread = threading.get_ident()
        with self._condition:
            while self._closed_by not in {0, thread} and thread not in self._inside:
                self._condition.wait()
            self._inside[thread] = self._inside.get(thread, 0) + 1

    def __exit__(self, *_: object) -> None:
        thread = threading.get_ident()
        with self._condition:
            self._inside[thread] -= 1
            if not self._inside[thread]:
                del self._inside[thread]
                self._condition.notify_all()

    def close(self, seconds: float) -> bool:
        """Wait for imports under way; return whether they ended in that time."""
        until = time.monotonic() + seconds
        with self._condition:
            self._closed_by = threading.get_ident()
            while self._inside:
                left = until - time.monotonic()
                if left <= 0:
                    self._closed_by = 0
                    self._condition.notify_all()
                    return False
                self._condition.wait(left)
        return True

    def open(self) -> None:
        """Let threads import again."""
        with self._condition:
            self._closed_by = 0
            self._condition.notify_all()
