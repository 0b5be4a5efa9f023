"""Blobs: the files of trees, once for all archives of the node.

A blob is called by its digest. In each tree its file is a hard link to it, so it is
read-only; eviction removes it after the last link.
"""

from __future__ import annotations

import os
from mmap import ACCESS_READ, mmap

from lazyimport.files import AtomicFile, make_directories
from lazyimport.format.digest import sha256
from lazyimport.format.entries import EXECUTABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.cache.layout import Layout
    from lazyimport.format.archive import Archive
    from lazyimport.format.entries import Entry


def link_file(archive: Archive, entry: Entry, path: str, layout: Layout) -> None:
    """Put the file *entry* of *archive* at *path*, whole, unless something is there.

    Raises OSError if the disk refuses, DamagedArchive.
    """
    if os.path.exists(path):
        return
    make_directories(os.path.dirname(path))
    mode = 0o555 if entry.flags & EXECUTABLE else 0o444
    blob = layout.blob_path(entry.digest, executable=mode == 0o555)
    if not _is_sound(blob, entry):
        make_directories(os.path.dirname(blob))
        _write(archive, entry, blob, mode)
    try:
        os.link(blob, path)
    except FileExistsError:
        pass
    except OSError:  # a disk without hard links, or one file with too many
        _write(archive, entry, path, mode)


def _write(archive: Archive, entry: Entry, path: str, mode: int) -> None:
    with AtomicFile(path, mode, durable=False) as file:
        file.write(archive.content(entry))


def _is_sound(blob: str, entry: Entry) -> bool:
    """Return whether a blob is there, perhaps of another archive, and not damaged.

    Somebody may have edited it: it is the same file in every tree.
    """
    try:
        if os.stat(blob).st_size != entry.size:
            return False
        return file_digest(blob)[0] == entry.digest.hex()
    except FileNotFoundError:
        return False


def file_digest(path: str) -> tuple[str, int]:
    """Return the SHA-256 of a file in hex, and its size in bytes. Raises OSError."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            return sha256(b"").hex(), 0
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            return sha256(data).hex(), size
