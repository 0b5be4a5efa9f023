"""Regular files: opening one never waits, whatever lies in its place.

Whoever may write to a shared folder can put a pipe there, which is open when somebody
opens its other end, or a link to a device, which has no end.
"""

from __future__ import annotations

import os
import posix
import stat
from errno import EINVAL, EISDIR


def open_regular(path: str, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """Return a descriptor of the file at *path*; it can be the ``opener`` of `open`.

    Raises OSError, also for what is no regular file.
    """
    descriptor = posix.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    try:
        _refuse_others(path, posix.fstat(descriptor))
    except OSError:
        posix.close(descriptor)
        raise
    return descriptor


def open_any(path: str, flags: int = 0) -> int:
    """Return a descriptor of what is at *path*, also a directory, to lock it."""
    return posix.open(path, flags | os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def require_regular(path: str) -> None:
    """Raise OSError if no regular file is at *path*, which something else will open."""
    _refuse_others(path, posix.stat(path))


def replaceable(path: str) -> str:
    """Return where the file *path* lies, which a user wants written, links followed.

    Raises OSError if a device, a pipe or a directory is there: nobody made that for us
    to replace.
    """
    path = os.path.realpath(path)
    try:
        kind = posix.stat(path).st_mode
    except FileNotFoundError:
        return path
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), path)
    if not stat.S_ISREG(kind):
        text = "it is no regular file, so it is not replaced; name another file"
        raise OSError(EINVAL, text, path)
    return path


def _refuse_others(path: str, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    number = EISDIR if stat.S_ISDIR(status.st_mode) else EINVAL
    raise OSError(number, "it is no regular file; remove it", path)
