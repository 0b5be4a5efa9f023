"""A fetcher that somebody has stopped (SIGSTOP): it holds its lock and brings nothing.

It is ended. So its lock is free, and who waits starts another one, which goes on.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # loads no enum
import os

#: The descriptor that is the file of its lock; see `lazyimport.delivery.starting`.
_LOCK = 2
#: What the command of a fetcher names: others, without stderr, may have the file there.
_MAIN = b"lazyimport.delivery.fetcher"


def end_stopped(lock: str) -> int | None:
    """End the fetcher whose lock is the file *lock*, if it is stopped.

    Returns its process ID. None if it is not, if that cannot be seen (it is another
    user's or another container's, or there is no ``/proc``), or if it may not be ended.
    """
    try:
        status = os.stat(lock)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if _has_as_lock(pid, status) and _is_stopped_fetcher(pid):
                os.kill(int(pid), signal.SIGKILL)
                return int(pid)
    except OSError:
        pass
    return None


def _has_as_lock(pid: str, lock: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/fd/{_LOCK}"), lock)
    except OSError:
        return False  # it has ended, or is another user's


def _is_stopped_fetcher(pid: str) -> bool:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        is_fetcher = _MAIN in file.read()
    with open(f"/proc/{pid}/stat", "rb") as file:
        return is_fetcher and file.read().rpartition(b")")[2].split()[:1] == [b"T"]
