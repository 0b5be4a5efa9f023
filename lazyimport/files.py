"""Files that several processes share: directories, atomic writes, locks."""

from __future__ import annotations

import os

from lazyimport import lazy_errors as errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import BinaryIO

__all__ = [
    "AtomicFile",
    "FileLock",
    "ensure_directory",
    "is_directory",
    "make_directories",
    "remove_leftovers",
]


def ensure_directory(path: str) -> str:
    """Return *path*, a directory of this user's (or root's), closed to the others.

    Creates it and its parents, open to this user only, where they are missing.
    Raises CacheError if that cannot be done, and as `is_directory` does.
    """
    if not is_directory(path):
        try:
            make_directories(path)
        except OSError as error:
            raise errors.CacheError(
                f"cannot create the cache directory {path}: {error.strerror}; set "
                "LAZYIMPORT_CACHE_DIR to a directory this user may write",
                path=path,
                errno=error.errno,
            ) from error
        is_directory(path)
    return path


def is_directory(path: str) -> bool:
    """Whether the directory *path* is there, and may be trusted.

    Its group may write to it: Kubernetes mounts volumes that way (fsGroup). Raises
    CacheError if it cannot be reached, is no directory, belongs to another user or
    can be written by everybody: what lies in it is code that will run.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise errors.CacheError(
            f"cannot use the cache directory {path}: {error.strerror}; set "
            "LAZYIMPORT_CACHE_DIR to a directory this user may write",
            path=path,
            errno=error.errno,
        ) from error
    if status.st_mode & 0o170000 != 0o040000:
        raise errors.CacheError(
            f"the cache directory {path} is not a directory; remove what is there, or "
            "set LAZYIMPORT_CACHE_DIR to another",
            path=path,
        )
    if status.st_uid not in {os.geteuid(), 0}:
        whose, other = f"belongs to user {status.st_uid}", "another"
    elif status.st_mode & 0o002:
        whose = "can be written by everybody"
        other = f"a folder in it, such as {path}/cache, or to another"
    else:
        return True
    raise errors.CacheError(
        f"refusing the cache directory {path}: it {whose}, who could put code "
        f"there that this process would run; set LAZYIMPORT_CACHE_DIR to {other}",
        path=path,
    )


def make_directories(path: str) -> None:
    """Make the directory *path* and its parents, where missing, for this user only.

    What `os.makedirs` takes as mode counts for the last one alone. Raises OSError.
    """
    parent = os.path.dirname(path)
    if parent not in {"", path} and not os.path.isdir(parent):
        make_directories(parent)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise


class AtomicFile:
    """A binary file that appears at *path* whole, or not at all.

    ``with AtomicFile(path) as file:`` writes to a sibling; leaving the block
    normally makes it durable and renames it, leaving it by an exception
    removes it. *mode* are the permissions of the result. With *durable* its
    bytes are on the disk before its name is, so that a power cut leaves it whole
    or not at all; what is proved when it is read can do without.
    A process that is killed leaves ``.NAME.PID-RANDOM.tmp`` behind and nothing
    else; `remove_leftovers` clears those.
    """

    def __init__(self, path: str, mode: int = 0o644, *, durable: bool = True) -> None:
        folder, name = os.path.split(path)
        self.path = path
        temporary = f".{name}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
        self.temporary = os.path.join(folder, temporary)
        self._mode = mode
        self._durable = durable
        self._file: BinaryIO | None = None

    def __enter__(self) -> BinaryIO:
        self._file = open(self.temporary, "x+b")
        return self._file

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
                    file.flush()
                    os.fchmod(file.fileno(), self._mode)
                    if self._durable:
                        os.fsync(file.fileno())
            if kind is None:
                os.replace(self.temporary, self.path)
        finally:
            if os.path.exists(self.temporary):
                os.unlink(self.temporary)


def remove_leftovers(path: str) -> None:
    """Remove what killed writers of *path* left; its lock must be held."""
    folder, name = os.path.split(path)
    for found in os.listdir(folder):
        if found.startswith(f".{name}.") and found.endswith(".tmp"):
            os.unlink(f"{folder}/{found}")


class FileLock:
    """An exclusive lock between processes and threads, free when its holder dies.

    Whoever holds it may remove its file (`remove`): a waiter that gets the lock
    on a file that is no longer there begins anew with the one that is, or two
    would hold locks on two files of one name. It ends with the block, whatever was
    forked meanwhile and still has the file open.
    """

    def __init__(self, path: str, timeout: float) -> None:
        self.path = path
        self.timeout = timeout
        self._descriptor = -1

    def __enter__(self) -> FileLock:
        self._open()
        try:
            self._wait()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _wait(self) -> None:
        """Lock the file that has the name when it is locked."""
        import fcntl
        import time
        from errno import EACCES, EAGAIN

        deadline = time.monotonic() + self.timeout
        pause = 0.002
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in {EAGAIN, EACCES}:
                    raise errors.CacheError(
                        f"cannot lock {self.path}: {error.strerror}; the node cache "
                        "needs a file system with locks, see LAZYIMPORT_CACHE_DIR",
                        path=self.path,
                        errno=error.errno,
                    ) from error
                if time.monotonic() > deadline:
                    raise errors.CacheError(
                        f"another process has held {self.path} for more than "
                        f"{self.timeout:g} s; it is probably still downloading "
                        "(raise LAZYIMPORT_TIMEOUT), or it hangs (find it with "
                        f"'fuser {self.path}')",
                        path=self.path,
                    ) from None
                time.sleep(pause)
                pause = min(pause * 1.5, 0.1)
            else:
                if os.fstat(self._descriptor).st_nlink:
                    return
                self._close()
                self._open()

    def remove(self) -> None:
        """Remove the file of this lock, which is held: nobody needs it any more."""
        os.unlink(self.path)

    def _open(self) -> None:
        try:
            self._descriptor = os.open(
                self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise errors.CacheError(
                f"cannot make the lock {self.path}: {error.strerror}; set "
                "LAZYIMPORT_CACHE_DIR to a directory this user may write",
                path=self.path,
                errno=error.errno,
            ) from error

    def _close(self) -> None:
        import fcntl

        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return  # _open() failed after another one was closed
        try:
            # Closing alone leaves it to whoever was forked since.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        except OSError:
            pass  # a file system without locks
        finally:
            os.close(descriptor)
