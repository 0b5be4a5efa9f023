"""A store in a folder, on this machine or on a file system that many share."""

from __future__ import annotations

import errno
import io
import os
import stat
from io import FileIO
from itertools import chain

from lazyimport.errors import StoreDenied, StoreError, StoreMissing, StoreUnavailable
from lazyimport.files import AtomicFile
from lazyimport.locks import FileLock, LockTimeout
from lazyimport.regular import open_regular
from lazyimport.stores.attempt import Attempt
from lazyimport.stores.base import StoreBase, Write
from lazyimport.stores.durable import NewFile, make_folder, sync_folder
from lazyimport.stores.keys import is_key, not_a_store
from lazyimport.stores.protocol import Item
from lazyimport.values import file_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

_FORM = "file:///absolute/folder"
#: Bytes that are read and written at a time.
_CHUNK = 1 << 20
#: Seconds to wait for another writer of the same key, or of any that changes.
_PATIENCE = 30.0

_NOT_THERE = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
)
_DENIED = {errno.EACCES, errno.EPERM}
_FULL = {errno.ENOSPC, errno.EDQUOT}
#: Files of `NewFile` and `AtomicFile`, whose names are no keys.
_UNFINISHED = r"\..+\.[0-9a-f]{8}\.tmp|\.claim-.+"
#: A network file system that lost its server, for now or for this file handle.
_AWAY = {
    errno.EAGAIN,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EIO,
    errno.ENOTCONN,
    errno.ESTALE,
    errno.ETIMEDOUT,
}


class FileStore(StoreBase):
    """The objects are the files below *folder*, an absolute path.

    `put` creates the folder if it is missing; everything else then raises
    StoreMissing. Two writers of one key do what `NewFile` says. A writer that is
    killed leaves at most a ``.*.tmp`` file, which no listing shows and which `sweep`
    removes.

    `replace` and `delete` hold a lock on ``.lock`` in the folder, so that neither acts
    between the other's look at an object and its rename. The system frees the lock when
    its holder dies.

    What `put` and `replace` made is on the disk when they return. Permissions follow
    the umask. The version that `replace` takes is a digest of the content. A listing
    does not follow symbolic links to folders.
    """

    __slots__ = ("folder", "url")

    def __init__(self, folder: str) -> None:
        if not folder.startswith("/") or "\0" in folder:
            why = "the folder is an absolute path"
            raise not_a_store(f"file://{folder}", _FORM, why)
        self.folder = folder.rstrip("/") or "/"
        self.url = file_url(self.folder)

    @classmethod
    def from_url(cls, url: str, _: float = 0.0) -> FileStore:
        """Return the store that ``file:///folder`` names.

        Raises SettingsError for a URL with a host, or without an absolute path.
        """
        host, slash, path = url.partition("://")[2].partition("/")
        if not slash or host not in ("", "localhost"):
            raise not_a_store(url, _FORM, "it has three slashes, and no host")
        if "%" in path:
            from urllib.parse import unquote  # only for the few that need it

            path = unquote(path, errors="surrogateescape")
        return cls("/" + path)

    def __repr__(self) -> str:
        return f"FileStore({self.folder!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return FileStore, (self.folder,)

    def sweep(
        self, folders: Iterable[str], before: float, *, dry_run: bool = False
    ) -> list[str]:
        """Remove what killed writers left in *folders*, unchanged since *before*.

        A folder is the beginning of keys, up to a slash. Returns the paths of what is
        removed, or would be. Raises StoreError.
        """
        import re  # a fetcher starts without it

        found = []
        with self._attempt("delete", ""):
            tops = [self._path(folder).rstrip("/") for folder in folders]
            walks = chain.from_iterable(
                os.walk(top) for top in tops if not os.path.islink(top)
            )
            for place, _, names in walks:
                for name in names:
                    if not re.fullmatch(_UNFINISHED, name):
                        continue
                    path = f"{place}/{name}"
                    try:
                        status = os.lstat(path)
                        if stat.S_ISREG(status.st_mode) and status.st_mtime < before:
                            if not dry_run:
                                os.unlink(path)
                            found.append(path)
                    except FileNotFoundError:
                        pass  # its writer has finished, or another collection was faster
        return found

    def _receive(
        self, attempt: Attempt, write: Write, start: int, end: int | None
    ) -> None:
        with self._open(attempt) as file:
            at = file.seek(start)
            while chunk := file.read(_CHUNK if end is None else min(_CHUNK, end - at)):
                write(chunk)
                at += len(chunk)

    def _put(self, attempt: Attempt, data: BinaryIO) -> bool:
        path = self._path(attempt.key)
        attempt.pass_through(data.seek, 0)
        if not os.path.lexists(path):
            make_folder(os.path.dirname(path))
            new = NewFile(path, _PATIENCE)
            with new as file:
                while chunk := attempt.pass_through(data.read, _CHUNK):
                    file.write(chunk)
            if new.created:
                return True
        if os.path.isdir(path):
            what = "it is the folder of other objects"
            advice = "choose another key, or delete what lies below it"
            raise attempt.error(StoreError, what, advice)
        return False

    def _list(self, prefix: str, folder: str = "") -> Iterator[Item]:
        for key, entry in _entries(self.folder, folder, prefix):
            if key.endswith("/"):
                yield from self._list(prefix, key)
                continue
            try:
                status = entry.stat()
            except FileNotFoundError:
                continue
            # whoever changes a file can set its mtime back, but not its ctime
            seen = status.st_ino, status.st_mtime_ns, status.st_ctime_ns
            version = "-".join(map(str, seen))
            yield Item(key, status.st_size, status.st_mtime, version)

    def _delete(self, attempt: Attempt) -> None:
        with self._lock():
            os.unlink(self._path(attempt.key))

    def _read_versioned(self, attempt: Attempt, write: Callable[[bytes], bool]) -> str:
        import hashlib  # only for objects that change

        digest, enough = hashlib.sha256(), False
        with self._open(attempt) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                enough = enough or write(chunk)
        return digest.hexdigest()

    def _replace(self, attempt: Attempt, data: bytes, version: str | None) -> bool:
        if version is None:
            return self._put(attempt, io.BytesIO(data))
        path = self._path(attempt.key)
        with self._lock():
            try:
                if self._read_versioned(attempt, lambda _: True) != version:
                    return False
            except _NOT_THERE:
                return False
            with AtomicFile(path, None) as file:
                file.write(data)
            sync_folder(os.path.dirname(path))
        return True

    def _open(self, attempt: Attempt) -> FileIO:
        path = self._path(attempt.key)
        try:
            return FileIO(open_regular(path))
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.ENXIO}:
                raise
        advice = "delete it there"
        raise attempt.error(StoreError, f"{path} is no regular file", advice)

    def _path(self, key: str) -> str:
        return f"{self.folder.rstrip('/')}/{key}"

    def _lock(self) -> FileLock:
        return _SharedLock(f"{self.folder.rstrip('/')}/.lock", _PATIENCE)

    def _explain(self, attempt: Attempt, error: Exception) -> StoreError | None:
        if isinstance(error, LockTimeout):
            what = f"another process has held {error} for {_PATIENCE:g} s"
            advice = (
                "try again; 'fuser' names it, and if none is left, delete that file"
            )
            return attempt.error(StoreUnavailable, what, advice)
        if not isinstance(error, OSError):
            return None
        if isinstance(error, _NOT_THERE):
            # A listing finds only its root missing, which put() may have made since.
            if attempt.verb == "list" or not os.path.isdir(self.folder):
                what = "the folder of the store does not exist or is not a folder"
                advice = "mount it, or correct LAZYIMPORT_STORE"
                return attempt.error(StoreMissing, what, advice)
            if attempt.verb in {"read", "delete", "replace"}:
                return attempt.key_missing()
        what = os.strerror(error.errno or 0)
        if error.filename:
            what += f" ({os.fsdecode(error.filename)})"
        kind, advice = _kind_of(error)
        return attempt.error(kind, what, advice)


class _SharedLock(FileLock):
    """A lock for every user who may write to its folder, whoever made its file."""

    def open(self) -> int:
        """Return a descriptor of the file, which is made if it is missing."""
        try:
            return self._open()
        except FileNotFoundError:
            pass
        try:
            descriptor = self._open(os.O_CREAT | os.O_EXCL)
        except FileExistsError:  # another process was faster
            return self._open()
        mode = os.stat(os.path.dirname(self.path)).st_mode
        os.fchmod(descriptor, mode & 0o666)
        return descriptor

    def _open(self, flags: int = 0) -> int:
        # Not through a link, which any user that may write to the folder can make.
        return open_regular(self.path, flags | os.O_RDWR | os.O_NOFOLLOW, 0o666)


def _kind_of(error: OSError) -> tuple[type[StoreError], str]:
    """Return lazyimport's error for one of the system, and what to do about it."""
    if error.errno == errno.EROFS:
        return StoreDenied, "mount its file system for writing, or name another store"
    if error.errno in _DENIED:
        whom = f"user id {os.geteuid()}"
        return StoreDenied, f"give {whom} the right to do so, or run as another user"
    if error.errno in _AWAY:
        advice = "see whether its disk or file server is up; try again"
        return StoreUnavailable, advice
    advice = "see whether the folder and its file system are sound"
    if error.errno in _FULL:
        advice = "make room there and try again"
    elif isinstance(error, (FileExistsError, NotADirectoryError)):
        advice = "an object lies where its folder should be; use another key"
    return StoreError, advice


def _entries(root: str, folder: str, prefix: str) -> list[tuple[str, os.DirEntry[str]]]:
    """Return what lies in *folder* below *root* and matters for *prefix*.

    *folder* is empty or ends with a slash. A folder in it comes with a slash
    and sorts with it, because that is how the keys below it go on:
    ``a-b``, ``a.b``, ``a/b``, ``a0``.
    """
    found = []
    try:
        with os.scandir(f"{root}/{folder}") as entries:
            for entry in entries:
                key = folder + entry.name
                matches = key.startswith(prefix)
                # first: of thousands in a folder, few may be asked for
                if not (matches or prefix.startswith(f"{key}/")) or not is_key(key):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    found.append((f"{key}/", entry))
                elif matches and _is_object(entry):
                    found.append((key, entry))
    except (FileNotFoundError, NotADirectoryError):
        if not folder:
            raise
    return sorted(found, key=lambda pair: pair[0])


def _is_object(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return False  # a link that leads in a circle
