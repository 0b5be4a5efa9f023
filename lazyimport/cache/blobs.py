"""Blobs: the large files of trees, once for all archives of the node.

A small file is a copy in each tree, so that editing it in one changes no other. A large
one is called by its digest and cloned into each tree where the file system can do that,
else it is a hard link; it is sealed (`lazyimport.cache.layout.is_sealed`), and whoever
finds the seal broken takes a new one. Eviction removes a blob after the last link.
"""

from __future__ import annotations

import os
from mmap import ACCESS_READ, mmap

from lazyimport.cache.layout import is_sealed, seal
from lazyimport.files import AtomicFile, make_directories, remove_file, unfinished_path
from lazyimport.format.digest import sha256
from lazyimport.format.entries import EXECUTABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.cache.layout import Layout
    from lazyimport.format.archive import Archive
    from lazyimport.format.entries import Entry

#: Bytes from which on a file is shared. Those that programs edit are smaller; in
#: an environment of 8,000 files, eight were larger, and had 44 % of the bytes.
SHARED = 1 << 20
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
#: The request that clones a file (ioctl_ficlonerange(2)).
_CLONE = 0x40049409


def put_file(archive: Archive, entry: Entry, path: str, layout: Layout) -> None:
    """Put the file *entry* of *archive* at *path*, whole, unless it is there.

    Its directory must be there. Raises OSError if the disk refuses, DamagedArchive.
    """
    if entry.size >= SHARED:
        if not _is_sealed(path, entry):
            _share(archive, entry, path, layout)
    elif not os.path.lexists(path):
        hidden = unfinished_path(path)
        try:
            write_file(archive, entry, hidden, layout)
            os.rename(hidden, path)
        except OSError:
            remove_file(hidden)
            raise


def write_file(archive: Archive, entry: Entry, path: str, _: Layout) -> None:
    """Write a new file, which nobody looks at yet. Raises as `put_file` does."""
    content = memoryview(archive.content(entry))
    descriptor = os.open(path, _NEW, _mode(entry))
    try:
        while content:
            content = content[os.write(descriptor, content) :]
    finally:
        os.close(descriptor)


def file_digest(path: str) -> tuple[str, int]:
    """Return the SHA-256 of a file in hex, and its size in bytes. Raises OSError."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            return sha256(b"").hex(), 0
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            return sha256(data).hex(), size


def _mode(entry: Entry) -> int:
    return 0o555 if entry.flags & EXECUTABLE else 0o444


def _is_sealed(path: str, entry: Entry) -> bool:
    """Return whether a large file is there, and nobody has changed it."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    return status.st_size == entry.size and is_sealed(status, entry.digest.hex())


def _share(archive: Archive, entry: Entry, path: str, layout: Layout) -> None:
    blob = layout.blob_path(entry.digest, executable=_mode(entry) == 0o555)
    if not _is_sealed(blob, entry):
        make_directories(os.path.dirname(blob))
        _write_sealed(archive, entry, blob)
    hidden = unfinished_path(path)
    try:
        try:
            _clone(blob, hidden, entry)
        except OSError:
            remove_file(hidden)
            os.link(blob, hidden)
        os.replace(hidden, path)
        remove_file(hidden)  # a link to the file that is there already stays
    except OSError:  # a disk without hard links, or one file with too many
        _write_sealed(archive, entry, path)


def _write_sealed(archive: Archive, entry: Entry, path: str) -> None:
    with AtomicFile(path, _mode(entry), durable=False) as file:
        file.write(archive.content(entry))
        file.flush()
        seal(file.fileno(), entry.digest.hex())


def _clone(blob: str, path: str, entry: Entry) -> None:
    from fcntl import ioctl

    descriptor = os.open(path, _NEW, _mode(entry))
    try:
        with open(blob, "rb") as file:
            ioctl(descriptor, _CLONE, file.fileno())
        seal(descriptor, entry.digest.hex())
    finally:
        os.close(descriptor)
