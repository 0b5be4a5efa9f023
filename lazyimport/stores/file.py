"""A store in a folder, on this machine or on a file system that many share."""

from __future__ import annotations

import errno
import io
import os
import time

from lazyimport.errors import (
    KeyMissing,
    SettingsError,
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreUnavailable,
)
from lazyimport.stores.protocol import (
    Item,
    Reported,
    check_key,
    check_range,
    is_key,
    redact,
    store_error,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

__all__ = ["FileStore"]

_CHUNK = 1 << 20
#: Seconds to wait for another writer that is about to publish the same key.
_PATIENCE = 30.0

_NOT_THERE = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
)
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_FULL = {errno.ENOSPC, errno.EDQUOT}
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
#: How file systems say that they have no hard links (EPERM: FAT; the others:
#: FUSE and SMB). ENOTSUP and EOPNOTSUPP are two numbers on some systems.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


class FileStore:
    """The objects are the files below *folder*, an absolute path.

    `put` creates the folder when it is not there; everything else raises
    StoreMissing then.

    Two writers of one key::

        A: writes .tmp-a      B: writes .tmp-b
        A: link .tmp-a key    (succeeds: A created the object)
                              B: link .tmp-b key  (EEXIST: it existed)
        A: unlink .tmp-a      B: unlink .tmp-b

    A rename in place of the link would let B replace what A was told it had
    created. A writer that is killed leaves at most a ``.tmp-*`` file, which no
    listing shows and which may be deleted whenever no writer runs.

    `replace` and `delete` hold a lock on ``.lock`` in the folder of the store,
    so that neither comes between another one's look at an object and its
    rename. The system frees it when its holder dies. Over NFS it holds among
    all clients; a file system whose locks hold on one machine only is no place
    for channels that several machines change.

    Permissions follow the umask, so that other users can read what one wrote.
    There is no checksum here: file systems keep their own, or none.
    """

    __slots__ = ("folder", "url")

    def __init__(self, folder: str) -> None:
        if not folder.startswith("/") or "\0" in folder:
            raise SettingsError(
                f"the folder of a store must be an absolute path, not {folder!r}",
                name="store",
                value=folder,
            )
        self.folder = folder.rstrip("/") or "/"
        self.url = "file://" + self.folder.replace("%", "%25")

    @classmethod
    def from_url(cls, url: str) -> FileStore:
        """Return the store that ``file:///folder`` names.

        Raises SettingsError for a URL with a host, or without an absolute path.
        """
        host, slash, path = url.partition("://")[2].partition("/")
        if not slash or host not in ("", "localhost"):
            raise SettingsError(
                f"not a folder on this machine: {redact(url)!r} (write "
                "file:///absolute/folder, with three slashes)",
                name="store",
                value=redact(url),
            )
        if "%" in path:
            from urllib.parse import unquote  # only for the few that need it

            path = unquote(path, errors="surrogateescape")
        return cls("/" + path)

    def __repr__(self) -> str:
        return f"FileStore({self.folder!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return FileStore, (self.folder,)

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes from *start* up to and without *end*; see `ReadStore`."""
        check_range(start, end)
        path = self._path(key)
        with Reported(self._failed, "read", key), open(path, "rb") as file:
            # Not on the word of the caller: read() allocates what it is asked.
            size = os.fstat(file.fileno()).st_size
            stop = size if end is None else min(end, size)
            if start >= stop:
                return b""
            file.seek(start)
            return file.read(stop - start)

    def download(self, key: str, out: BinaryIO, start: int = 0) -> int:
        """Write the object from *start* on to *out*; see `ReadStore.download`."""
        check_range(start, None)
        path = self._path(key)
        reported = Reported(self._failed, "read", key)
        total = 0
        with reported:
            file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed below
        with file:
            file.seek(start)
            while True:
                with reported:
                    chunk = file.read(_CHUNK)
                if not chunk:
                    return total
                out.write(chunk)
                total += len(chunk)

    def put(self, key: str, data: BinaryIO) -> bool:
        """Create the object unless it exists; see `Store.put`.

        Durable on return: the file and the folders made for it are synced.

        On a file system without hard links a ``.claim-*`` file, made with
        ``O_EXCL``, guards the moment of check and rename. A writer killed in
        just that moment leaves the claim, and later ones raise
        StoreUnavailable with its path.
        """
        path = self._path(key)
        reported = Reported(self._failed, "store", key)
        data.seek(0)
        with reported:
            if os.path.lexists(path):
                return self._existed(path, key)
            _make_folder(os.path.dirname(path))
        temporary = self._written(path, data, reported)
        try:
            with reported:
                created = self._publish(temporary, path, key)
                if created:
                    _sync_folder(os.path.dirname(path))
                return created
        finally:
            _remove(temporary)

    def list(self, prefix: str = "") -> Iterator[Item]:
        """Yield the objects below *prefix*, ordered by key; see `Store.list`.

        Symbolic links to folders are not followed. What is created or deleted
        meanwhile may be listed or not.
        """
        with Reported(self._failed, "list", None):
            yield from self._walk("", prefix)

    def delete(self, key: str) -> None:
        """Delete the object; see `Store.delete`. Its folder stays."""
        path = self._path(key)
        with Reported(self._failed, "delete", key), self._locked("delete", key):
            os.unlink(path)

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        """Return the object and its version; see `MutableStore.read_versioned`.

        The version is a digest of the content: what was changed and changed
        back has the version it had.
        """
        data = self.read(key)
        return data, _version(data)

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        """Replace the object if it has *version*; see `MutableStore.replace`."""
        if version is None:
            return self.put(key, io.BytesIO(data))
        path = self._path(key)
        reported = Reported(self._failed, "replace", key)
        with reported, self._locked("replace", key):
            try:
                there = self.read(key)
            except KeyMissing:
                return False
            if _version(there) != version:
                return False
            temporary = self._written(path, io.BytesIO(data), reported)
            try:
                os.rename(temporary, path)
                _sync_folder(os.path.dirname(path))
            finally:
                _remove(temporary)
        return True

    def _path(self, key: str) -> str:
        return f"{self.folder.rstrip('/')}/{check_key(key)}"

    def _walk(self, folder: str, prefix: str) -> Iterator[Item]:
        for key, entry in _entries(self.folder, folder, prefix):
            if key.endswith("/"):
                yield from self._walk(key, prefix)
                continue
            try:
                status = entry.stat()
            except FileNotFoundError:
                continue
            yield Item(key, status.st_size, status.st_mtime)

    def _written(self, path: str, data: BinaryIO, reported: Reported) -> str:
        """Write all of *data* to a new file beside *path*, durably; return its path.

        On failure nothing is left.
        """
        temporary = f"{os.path.dirname(path)}/.tmp-{os.urandom(8).hex()}"
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        with reported:
            descriptor = os.open(temporary, flags, 0o666)
        try:
            with open(descriptor, "wb", buffering=0) as file:
                while chunk := data.read(_CHUNK):
                    with reported:
                        _write(file.fileno(), chunk)
                with reported:
                    os.fsync(file.fileno())
        except BaseException:
            _remove(temporary)
            raise
        return temporary

    def _locked(self, verb: str, key: str) -> _Lock:
        path = f"{self.folder.rstrip('/')}/.lock"
        what = f"another process has held {path} for {_PATIENCE:.0f} s"
        advice = f"see who does with 'fuser {path}', and try again"
        return _Lock(path, self._error(StoreUnavailable, verb, key, what, advice))

    def _existed(self, path: str, key: str) -> bool:
        """Return False, the answer for an object that is there already."""
        if os.path.isdir(path):
            what = "it is the folder of other objects"
            advice = "choose another key, or delete what lies below it"
            raise self._error(StoreError, "store", key, what, advice)
        return False

    def _publish(self, temporary: str, path: str, key: str) -> bool:
        try:
            os.link(temporary, path)
        except FileExistsError:
            # NFS repeats a request whose answer got lost, and then the second
            # one finds what the first one made.
            if os.path.samefile(temporary, path):
                return True
            return self._existed(path, key)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return self._publish_by_claim(temporary, path, key)
        return True

    def _publish_by_claim(self, temporary: str, path: str, key: str) -> bool:
        folder, name = os.path.split(path)
        claim = f"{folder}/.claim-{name}"
        if not self._claim(claim, path, key):
            return self._existed(path, key)
        try:
            if os.path.lexists(path):
                return self._existed(path, key)
            os.rename(temporary, path)
            return True
        finally:
            _remove(claim)

    def _claim(self, claim: str, path: str, key: str) -> bool:
        """Make the file *claim*; return False if *path* came to be meanwhile."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            except FileExistsError:
                if os.path.lexists(path):
                    return False
                if time.monotonic() > until:
                    what = f"another writer has held {claim} for {_PATIENCE:.0f} s"
                    advice = "if it was killed, delete that file and try again"
                    raise self._error(
                        StoreUnavailable, "store", key, what, advice
                    ) from None
                time.sleep(0.01)
            else:
                return True

    def _failed(
        self, verb: str, key: str | None, error: Exception
    ) -> StoreError | None:
        """Return the error of ours for one of the operating system."""
        if not isinstance(error, OSError):
            return None
        what = os.strerror(error.errno or 0)
        if error.filename:
            what += f" ({os.fsdecode(error.filename)})"
        kind, advice = _kind_of(error)
        if isinstance(error, _NOT_THERE):
            if not os.path.isdir(self.folder):
                what = "the folder of the store does not exist or is no folder"
                kind, advice = StoreMissing, "mount it, or correct LAZYIMPORT_STORE"
            elif verb in ("read", "delete", "replace"):
                what = "no such object"
                kind, advice = KeyMissing, "publish it, or correct the name or store"
        return self._error(kind, verb, key, what, advice)

    def _error(
        self, kind: type[StoreError], verb: str, key: str | None, what: str, advice: str
    ) -> StoreError:
        return store_error(kind, self.url, verb, key, what, advice)


class _Lock:
    """An exclusive lock on the file *path*; raises *busy* if it is not to be had."""

    __slots__ = ("_busy", "_descriptor", "_path")

    def __init__(self, path: str, busy: StoreError) -> None:
        self._path = path
        self._busy = busy
        self._descriptor = -1

    def __enter__(self) -> None:
        import fcntl  # only for who changes or deletes

        self._descriptor = _open_lock(self._path)
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    os.close(self._descriptor)
                    raise self._busy from None
                time.sleep(0.01)
            except BaseException:
                os.close(self._descriptor)
                raise
            else:
                return

    def __exit__(self, *_: object) -> None:
        import fcntl

        try:
            # closing alone leaves it to whoever was forked since
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            os.close(self._descriptor)


def _open_lock(path: str) -> int:
    """Open or make the file, so that whoever may write beside it may lock it."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o666)
    if os.fstat(descriptor).st_uid == os.geteuid():
        os.fchmod(descriptor, os.stat(os.path.dirname(path)).st_mode & 0o666)
    return descriptor


def _version(data: bytes) -> str:
    import hashlib  # only for objects that change

    return hashlib.sha256(data).hexdigest()


def _kind_of(error: OSError) -> tuple[type[StoreError], str]:
    if error.errno in _DENIED:
        user = os.geteuid()
        return StoreDenied, f"give user id {user} the right to do so, or run as another"
    if error.errno in _FULL:
        return StoreError, "make room there and try again"
    if error.errno in _AWAY:
        return StoreUnavailable, "see whether its disk or file server is up; try again"
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return StoreError, "an object lies where its folder should be; use another key"
    return StoreError, "see whether the folder and its file system are sound"


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


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
                if not is_key(key):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    key += "/"
                    wanted = key.startswith(prefix[: len(key)])
                else:
                    wanted = key.startswith(prefix) and entry.is_file()
                if wanted:
                    found.append((key, entry))
    except (FileNotFoundError, NotADirectoryError):
        if not folder:
            raise
    return sorted(found, key=lambda pair: pair[0])


def _make_folder(folder: str) -> None:
    """Make *folder* and those above it, durably; others may do so meanwhile."""
    if os.path.isdir(folder):
        return
    parent = os.path.dirname(folder)
    _make_folder(parent)
    try:
        os.mkdir(folder)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise
    else:
        _sync_folder(parent)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
