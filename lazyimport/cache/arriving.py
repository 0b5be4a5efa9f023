"""Arriving: the file in which a blob comes to be that is fetched.

It has its final size and keeps what a killed process has put into it.
"""

from __future__ import annotations

import os

from lazyimport.cache.layout import BLOBS
from lazyimport.cache.seals import finish
from lazyimport.files import make_directories

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from lazyimport.cache.layout import Layout
    from lazyimport.cache.node import NodeCache
    from lazyimport.format.blobs import Blob


def begin_blob(cache: NodeCache, blob: Blob) -> BinaryIO:
    """Open the file in which a blob comes to be; see `finish_blob`.

    What a killed process left of it is still in it. The lock of the digest must be
    held. Raises OSError, or CacheError if the cache may not be trusted.
    """
    cache.make_folder(BLOBS)
    return cache.begin_file(_path(cache, blob))


def reserved(layout: Layout, blob: Blob) -> int:
    """Return how many bytes the disk has for a blob already. Raises OSError."""
    try:
        return min(os.lstat(_path(layout, blob)).st_blocks * 512, blob.size)
    except FileNotFoundError:
        return 0


def finish_blob(layout: Layout, blob: Blob, file: BinaryIO) -> None:
    """Give the *file* of `begin_blob`, all of which was proved, its name.

    Raises OSError.
    """
    path = layout.blob_path(blob.digest, executable=blob.executable)
    make_directories(os.path.dirname(path))
    mode = 0o555 if blob.executable else 0o444
    finish(file, _path(layout, blob), path, blob.name, mode)


def _path(layout: Layout, blob: Blob) -> str:
    return f"{layout.folder(BLOBS)}/.{blob.name}.part.tmp"
