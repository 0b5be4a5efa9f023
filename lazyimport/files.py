"""Files that several processes share: written atomically, claimed, removed.

This module and `lazyimport.cache` treat files of a tree with the functions of `posix`:
those of `os` may be wrapped, to notice who looks at such files.
"""

from __future__ import annotations

import os
import posix
import stat
import time

# io's own home of it: from Python 3.14 on a bare interpreter has not loaded io
from _io import BufferedRandom, FileIO
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, flock

from lazyimport.regular import open_any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import BinaryIO


#: Bytes of a name that the unfinished names made from it have too.
_LONG = 240


def is_directory(path: str) -> bool:
    """Return whether a directory is at *path*, or a link to one."""
    try:
        return stat.S_ISDIR(posix.stat(path).st_mode)
    except OSError:
        return False


def is_there(path: str) -> bool:
    """Return whether anything is at *path*, also a link that leads nowhere."""
    try:
        posix.lstat(path)
    except OSError:
        return False
    return True


def make_directories(path: str) -> None:
    """Make the directory *path* and its parents, where missing, for this user only.

    `os.makedirs` would use its mode for the last one only.
    Raises OSError.
    """
    missing, tried = [path], {""}
    while missing:
        try:
            make_directory(missing[-1])
        except FileNotFoundError:
            parent = os.path.dirname(missing[-1])
            if parent == missing[-1] or parent in tried:
                raise  # as in /proc, where none is made
            tried.add(parent)
            missing.append(parent)
            continue
        except FileExistsError:
            if not is_directory(missing[-1]):
                raise
        missing.pop()


def make_directory(path: str) -> bool:
    """Make the directory *path* for this user only; return if the umask forbids it."""
    posix.mkdir(path, 0o700)
    if masked := posix.stat(path).st_mode & 0o700 != 0o700:
        posix.chmod(path, 0o700)
    return masked


def remove_file(path: str) -> None:
    """Remove a file, if it is there. Raises OSError."""
    try:
        posix.unlink(path)
    except FileNotFoundError:
        pass


def unfinished_path(path: str) -> str:
    """Return a new name beside *path*, for what gets that name when it is finished.

    It has the form ``.NAME.RANDOM.tmp``, with the beginning of a long NAME, also if
    *path* is unfinished itself, as ``.NAME.tmp``.
    """
    folder, name = os.path.split(path)
    if is_unfinished(name):
        name = name[1:-4]
    return os.path.join(folder, f"{_hidden(name)}{os.urandom(4).hex()}.tmp")


def _hidden(name: str) -> str:
    """Return how unfinished names of *name* begin; a name has at most 255 bytes."""
    return f".{os.fsdecode(os.fsencode(name)[:_LONG])}."


def is_unfinished(name: str) -> bool:
    """Whether *name*, without a folder, is one that `unfinished_path` gives."""
    return name[:1] == "." and name[-4:] == ".tmp" and name.count(".") > 2


def is_abandoned(path: str) -> bool:
    """Return whether the writer of the unfinished file or directory *path* is dead.

    A living one holds a lock on it (`claim`). Without locks, False.
    """
    try:
        descriptor = open_any(path, os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def claim(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an unfinished file or directory that was just made, until it is closed.

    With *shared*, others may do so as well. Returns False if another process was faster
    and found it abandoned.
    """
    try:
        flock(descriptor, (LOCK_SH if shared else LOCK_EX) | LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks
    return os.fstat(descriptor).st_nlink > 0


def unclaim(descriptor: int) -> None:
    """Release what `claim` locked before it is closed: it is finished."""
    try:
        flock(descriptor, LOCK_UN)
    except OSError:
        pass  # a file system without locks


def remove_leftovers(path: str, *, held: bool = True) -> None:
    """Remove what killed writers of *path* left.

    Unless its lock is *held*, files of living writers stay.
    """
    folder, name = os.path.split(path)
    for found in posix.listdir(folder):
        is_its = found.startswith(_hidden(name)) and is_unfinished(found)
        if is_its and (held or is_abandoned(f"{folder}/{found}")):
            remove_file(f"{folder}/{found}")


class AtomicFile:
    """A binary file that appears at *path* whole, or not at all.

    ``with AtomicFile(path) as file:`` opens an unfinished file. Leaving the block
    normally gives it its name, leaving it by an exception removes it; a process
    that is killed leaves it behind, abandoned (`is_abandoned`).

    *mode* are the permissions of the result; None leaves that to the umask. With
    *durable* the bytes are on the disk before the name is, so that a power cut
    leaves the file whole or not at all; a file that is proved when it is read does
    not need that. An OSError of the file names *path*.
    """

    def __init__(
        self, path: str, mode: int | None = 0o644, *, durable: bool = True
    ) -> None:
        self.path = path
        self.temporary = unfinished_path(path)
        self._mode = mode
        self._durable = durable
        self._file: BinaryIO | None = None

    def __enter__(self) -> BinaryIO:
        try:
            while True:
                file = BufferedRandom(FileIO(self.temporary, "x+"))  # what open does
                if claim(file.fileno()):
                    break
                file.close()
                self.temporary = unfinished_path(self.path)
        except OSError as error:
            self._name(error)
            raise
        self._file = file
        return file

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        file = self._file
        assert file is not None
        try:
            with file:
                if kind is None:
                    self._finish(file)
                    self.publish()
                    # Closing alone would leave the lock to whatever was forked since.
                    unclaim(file.fileno())
        except OSError as failure:
            self._name(failure)
            raise
        finally:
            self._name(error)
            remove_file(self.temporary)

    def _name(self, error: BaseException | None) -> None:
        """Let an error name the file, and not the temporary one, which is gone."""
        if isinstance(error, OSError) and error.filename in {None, self.temporary}:
            error.filename, error.filename2 = self.path, None

    def _finish(self, file: BinaryIO) -> None:
        file.flush()
        if self._mode is not None:
            os.fchmod(file.fileno(), self._mode)
        if self._durable:
            os.fsync(file.fileno())

    def publish(self) -> None:
        """Give the file, which is whole now, its name."""
        posix.replace(self.temporary, self.path)


def tries(
    timeout: float, first: float = 0.002, longest: float = 0.1, growth: float = 1.2
) -> Iterator[None]:
    """Yield once, then after growing pauses, until *timeout* seconds are over.

    The pauses begin with *first* seconds and end with *longest*.
    """
    deadline = time.monotonic() + timeout
    pause = first
    yield
    while time.monotonic() <= deadline:
        time.sleep(pause)
        pause = min(pause * growth, longest)
        yield
