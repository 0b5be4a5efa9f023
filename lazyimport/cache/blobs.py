"""Blobs: large files, once for all archives of the node.

Those from `LARGE` bytes on lie here and not in the file of an archive; of a tree those
from `SHARED` bytes on do. A small file is a copy in each tree, so that editing it in
one changes no other. A large one is called by its digest and cloned into each tree
where the file system can do that, else it is a hard link; it is sealed
(`lazyimport.cache.sealed.is_sealed`), and whoever finds the seal broken takes a new
one. Eviction removes a blob to which no tree links and no archive refers.
"""

from __future__ import annotations

import os
import posix
from mmap import ACCESS_READ, mmap
from time import time_ns

from lazyimport.cache.growth import Growing
from lazyimport.cache.layout import BLOBS, SHARED
from lazyimport.cache.marks import is_as_put
from lazyimport.cache.sealed import is_sealed, note_use
from lazyimport.cache.seals import seal, sealing
from lazyimport.files import (
    AtomicFile,
    is_there,
    make_directories,
    remove_file,
    remove_leftovers,
    unfinished_path,
)
from lazyimport.format import sha256
from lazyimport.lazy import errors
from lazyimport.regular import open_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from lazyimport.cache.layout import Layout
    from lazyimport.format.archive import Archive
    from lazyimport.format.blobs import Blob
    from lazyimport.format.entries import Entry

#: Bytes from which on a file is no part of an archive. It costs a node two requests
#: of its own, which is what so many bytes cost on a fast link.
LARGE = 8 << 20
_CHUNK = 1 << 20
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
#: The request that clones a file (ioctl_ficlonerange(2)).
_CLONE = 0x40049409


def put_file(archive: Archive, entry: Entry, path: str, layout: Layout) -> None:
    """Put the file *entry* of *archive* at *path*, whole, unless it is there.

    Its directory must be there. Raises OSError if the disk refuses, DamagedArchive.
    """
    if not is_as_put(path, entry):
        replace_file(archive, entry, path, layout)


def replace_file(archive: Archive, entry: Entry, path: str, layout: Layout) -> None:
    """Put a file at *path*, whatever is there. Raises as `put_file` does."""
    if entry.size >= SHARED:
        _share(archive, entry, path, layout)
        return
    _appear(path, entry, lambda hidden: write_file(archive, entry, hidden))


def is_here(entry: Entry, path: str, layout: Layout) -> bool:
    """Return whether a file, whose place is *path*, can be put there as it is now."""
    blob = layout.blob_path(entry.digest, executable=entry.executable)
    return is_as_put(path, entry) or is_as_put(blob, entry)


def put_later(archive: Archive, entry: Entry, path: str, layout: Layout) -> None:
    """Put a link at *path* that leads to a file once somebody has fetched it.

    If it has been fetched, it is put there as `put_file` does. Raises OSError.
    """
    blob = layout.blob_path(entry.digest, executable=entry.executable)
    if is_here(entry, path, layout):
        put_file(archive, entry, path, layout)
    elif not is_there(path):
        posix.symlink(blob, path)


def write_file(archive: Archive, entry: Entry, path: str, *folder: int) -> None:
    """Write a new file, at *path* from *folder* on. Raises as `put_file` does."""
    content, done = archive.content(entry), 0
    descriptor = _create(path, entry, *folder)
    try:
        while done < len(content):
            done += posix.write(descriptor, content[done:])
    finally:
        posix.close(descriptor)


def is_large(path: str, size: int) -> bool:
    """Return whether a file of an archive is to be a blob; code never is."""
    return size >= LARGE and not path.endswith((".py", ".pyc"))


def take_out(archive: Archive, layout: Layout) -> dict[bytes, Blob]:
    """Make blobs of the large files of *archive*; return all that it refers to then.

    Raises DamagedArchive, or OSError.
    """
    from lazyimport.format.blobs import Blob
    from lazyimport.format.codec import pays

    blobs = archive.blobs()
    for entry in archive.index.entries():
        inside = not entry.is_directory and entry.digest not in blobs
        if inside and is_large(entry.path, entry.size):
            content = archive.content(entry)
            path = layout.blob_path(entry.digest, executable=entry.executable)
            if not is_as_put(path, entry):
                with Growing(layout.path, entry.size):
                    _write_sealed(content, entry, path, durable=True)
            blobs[entry.digest] = Blob.of(entry, compressed=pays(content))
    return blobs


def missing_blob(
    layout: Layout, blob: Blob, hash: str = "", store: str | None = None
) -> errors.MemberMissing:
    """Return the error that *blob* is not here, nor in *store* if one is named."""
    whose = f" of archive {hash}" if hash else ""
    text = f"{blob.path}{whose} ({blob.size} bytes, SHA-256 {blob.name}) is "
    if store is None:
        text += (
            f"not in the node cache {layout.path}, and no store is named to fetch it "
            "from; set LAZYIMPORT_STORE, or pass store= or --store"
        )
    else:
        text += (
            f"neither in {store} nor in the node cache {layout.path}; push the tree "
            f"there again: lazyimport push DIR --store {store}"
        )
    return errors.MemberMissing(text, hash=hash, member=blob.path, store=store)


def find_blob(layout: Layout, blob: Blob) -> BinaryIO | None:
    """Return the open file of a blob, or None if it is not here or damaged.

    Raises OSError.
    """
    for executable in (blob.executable, not blob.executable):
        path = layout.blob_path(blob.digest, executable=executable)
        try:
            file = open(path, "rb", opener=open_regular)  # noqa: SIM115 - the caller closes it
        except FileNotFoundError:
            continue
        status = os.fstat(file.fileno())
        if status.st_size == blob.size and (
            is_sealed(status, blob.name) or _is_proved(file, path, blob.name)
        ):
            note_use(file.fileno(), os.fstat(file.fileno()))
            return file
        file.close()
    return None


def _is_proved(file: BinaryIO, path: str, digest: str) -> bool:
    """Read all of a blob with a broken seal: once, whoever needs it.

    It is sealed again, or removed if it is damaged.
    """
    before = os.fstat(file.fileno())
    has_digest = _digest(file)[0] == digest
    try:
        if not has_digest:
            if os.path.samestat(before, posix.stat(path)):  # not replaced meanwhile
                remove_file(path)
        elif os.fstat(file.fileno()).st_mtime_ns == before.st_mtime_ns:
            os.fsync(file.fileno())  # costs nothing where it is on the disk already
            seal(file.fileno(), digest)
    except OSError:
        pass  # a cache that this user may not write
    return has_digest


def take_in(
    source: BinaryIO, size: int, layout: Layout, *, executable: bool
) -> tuple[bytes, int]:
    """Make a blob of the first *size* bytes of a file; return its digest and size.

    It is smaller if the file is. Raises OSError, or CacheError if the cache may not be
    trusted.
    """
    import hashlib  # few trees have such files

    new = _NewBlob(layout, executable=executable)
    with Growing(layout.path, size), new as file:
        try:
            _clone_from(source, file.fileno())
            file.truncate(size)
            source = file
        except OSError:
            pass  # another disk, or one that cannot
        total, taken = hashlib.sha256(), 0
        while chunk := source.read(min(_CHUNK, size - taken)):
            if source is not file:
                file.write(chunk)
            total.update(chunk)
            taken += len(chunk)
        file.flush()
        new.digest = total.digest()
    return new.digest, taken


class _NewBlob(AtomicFile):
    """A file that becomes the blob *digest*, unless that is there."""

    def __init__(self, layout: Layout, *, executable: bool) -> None:
        mode = 0o555 if executable else 0o444
        path = f"{layout.make_folder(BLOBS)}/new"
        remove_leftovers(path, held=False)  # they may be large
        super().__init__(path, mode)
        self.digest = b""
        self._layout = layout
        self._executable = executable

    def publish(self) -> None:
        path = self._layout.blob_path(self.digest, executable=self._executable)
        try:
            status = posix.lstat(path)
        except FileNotFoundError:
            pass
        else:
            if is_sealed(status, self.digest.hex()):
                os.utime(path, ns=(time_ns(), status.st_mtime_ns))  # it is in use
                return
        os.utime(self.temporary, ns=sealing(self.digest.hex()))
        make_directories(os.path.dirname(path))
        os.replace(self.temporary, path)


def file_digest(path: str) -> tuple[str, int]:
    """Return the SHA-256 of a file in hex, and its size in bytes. Raises OSError."""
    with open(path, "rb", opener=open_regular) as file:
        return _digest(file)


def _digest(file: BinaryIO) -> tuple[str, int]:
    size = os.fstat(file.fileno()).st_size
    if not size:
        return sha256(b"").hex(), 0
    with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        return sha256(data).hex(), size


def _create(path: str, entry: Entry, folder: int | None = None) -> int:
    """Return the descriptor of a new file, which can be run if it is a program.

    Whatever the umask is: the file stays longer than that.
    """
    descriptor = posix.open(path, _NEW, 0o444, dir_fd=folder)
    if entry.executable:
        os.fchmod(descriptor, 0o555)
    return descriptor


def is_sound(path: str, entry: Entry) -> bool:
    """Return whether the file at *path* is as it should be.

    It is read, unless it is large and sealed.
    """
    try:
        descriptor = open_regular(path, os.O_NOFOLLOW)
    except OSError:
        return False
    with open(descriptor, "rb") as file:
        status, digest = os.fstat(descriptor), entry.digest.hex()
        if status.st_size != entry.size:
            return False
        if entry.size < SHARED:
            return sha256(file.read()) == entry.digest
        return is_sealed(status, digest) or _is_proved(file, path, digest)


def _share(archive: Archive, entry: Entry, path: str, layout: Layout) -> None:
    blob = layout.blob_path(entry.digest, executable=entry.executable)
    if not is_sound(blob, entry):
        content = archive.content(entry)
        if not is_as_put(blob, entry):  # as it is now, if it had to be fetched
            _write_sealed(content, entry, blob)
    try:
        _appear(path, entry, lambda hidden: _clone_or_link(blob, hidden, entry))
    except OSError:  # a disk without hard links, or one file with too many
        _write_sealed(archive.content(entry), entry, path)


def _write_sealed(
    content: bytes | memoryview, entry: Entry, path: str, *, durable: bool = False
) -> None:
    make_directories(os.path.dirname(path))
    mode = 0o555 if entry.executable else 0o444
    with AtomicFile(path, mode, durable=durable) as file:
        file.write(content)
        file.flush()
        seal(file.fileno(), entry.digest.hex(), durable=durable)


def _appear(path: str, entry: Entry, make: Callable[[str], object]) -> None:
    """Let what *make* makes under another name appear at *path*, whole.

    Beside the tree: somebody may be listing the directory.
    """
    root = path.removesuffix(f"/{entry.path}")
    for again in (True, False):
        hidden = unfinished_path(root)
        try:
            make(hidden)
            posix.replace(hidden, path)
        except FileNotFoundError:  # eviction may have found it abandoned
            if not again:
                raise
        else:
            return
        finally:
            remove_file(hidden)  # also a link to the file that is there already


def _clone_or_link(blob: str, path: str, entry: Entry) -> None:
    try:
        _clone(blob, path, entry)
    except OSError:
        remove_file(path)
        posix.link(blob, path)


def _clone_from(file: BinaryIO, descriptor: int) -> None:
    from fcntl import ioctl

    ioctl(descriptor, _CLONE, file.fileno())


def _clone(blob: str, path: str, entry: Entry) -> None:
    descriptor = _create(path, entry)
    try:
        with open(blob, "rb", opener=open_regular) as file:
            _clone_from(file, descriptor)
        seal(descriptor, entry.digest.hex(), durable=False)
    finally:
        os.close(descriptor)
