"""Locks between processes, and between the threads of one, on files."""

from __future__ import annotations

import os
from errno import EACCES, EAGAIN
from fcntl import LOCK_EX, LOCK_NB, flock

from lazyimport.files import tries, unclaim
from lazyimport.regular import open_regular


class LockTimeout(Exception):
    """Another process or thread held a lock until the time to wait for it was over."""


class FileLock:
    """An exclusive lock between processes and threads, on the file *path*.

    ``with FileLock(path, timeout):`` waits for at most *timeout* seconds and then
    raises LockTimeout; it raises OSError if the file cannot be made or the file
    system has no locks. The lock ends with the block, whatever was forked meanwhile
    and still has the file open, or when its holder dies.

    A child that is forked meanwhile closes the file: else it would hold the lock for as
    long as it lives.

    The holder may remove the file. A waiter that gets the lock on a file that has
    lost its name starts again with the file that has the name now; otherwise two
    processes would hold locks on two files of one name.
    """

    def __init__(self, path: str, timeout: float) -> None:
        self.path = path
        self.timeout = timeout
        self.descriptor = -1
        self._handed_over = False

    def __enter__(self) -> FileLock:
        try:
            for _ in tries(self.timeout):
                if self.take():
                    return self
            raise LockTimeout(self.path)
        except BaseException:
            self.leave()
            raise

    def __exit__(self, *_: object) -> None:
        self.leave()

    def take(self) -> bool:
        """Take the lock if it is free; return whether it is held. Raises OSError.

        Either way, `leave` closes the file.
        """
        if self.descriptor < 0:
            self.descriptor = self.open()
            _open[self.descriptor] = self
        if not self._lock():
            return False
        if os.fstat(self.descriptor).st_nlink:
            return True
        self.leave()
        return self.take()

    def leave(self) -> None:
        """Free the lock if it is held; after `hand_over`, only close the file."""
        descriptor, self.descriptor = self.descriptor, -1
        if _open.pop(descriptor, None) is None:
            return
        if not self._handed_over:
            # Closing alone would leave the lock to whatever was forked since.
            unclaim(descriptor)
        os.close(descriptor)

    def hand_over(self) -> int:
        """Return the descriptor for a process that is started with it.

        It has the lock then, and this process does not free it any more: an interrupt
        may come when nobody knows yet whether the other one was started. The lock is
        free when nobody has the descriptor open.
        """
        self._handed_over = True
        return self.descriptor

    def open(self) -> int:
        """Return a descriptor of the file, which is made if it is missing."""
        return open_regular(self.path, os.O_RDWR | os.O_CREAT)

    def remove(self) -> None:
        """Remove the file of this lock, which is held and not needed any more."""
        os.unlink(self.path)

    def _lock(self) -> bool:
        try:
            flock(self.descriptor, LOCK_EX | LOCK_NB)
        except OSError as error:
            if error.errno not in {EAGAIN, EACCES}:
                raise
            return False
        return True


#: The locks of this process whose files are open, by descriptor.
_open: dict[int, FileLock] = {}


def _close_in_child() -> None:
    while _open:
        descriptor, lock = _open.popitem()
        lock.descriptor = -1
        os.close(descriptor)


os.register_at_fork(after_in_child=_close_in_child)
