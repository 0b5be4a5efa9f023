"""Rooms: where an archive comes to lie that is fetched, on the disk or in memory."""

from __future__ import annotations

import os
from errno import EINVAL, EOPNOTSUPP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmap import mmap
    from typing import TypeAlias

    from lazyimport.delivery.transfer import Piece

    Data: TypeAlias = bytes | memoryview


class FileRoom:
    """The room of an archive in the file of *descriptor*, reserved on its disk.

    Raises OSError if there is none.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._parts = (
            _data_in(descriptor) if os.fstat(descriptor).st_size == size else []
        )
        if not self._parts:
            os.ftruncate(descriptor, 0)
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in {EINVAL, EOPNOTSUPP}:
                raise
            os.ftruncate(descriptor, size)  # a file system that cannot reserve

    def parts(self) -> list[Piece]:
        """Return where something was written before."""
        return self._parts

    def read(self, at: int, size: int) -> bytes:
        """Return bytes that were written."""
        return os.pread(self._descriptor, size, at)

    def write(self, at: int, data: Data) -> None:
        """Write all of *data*."""
        view = memoryview(data)
        while view:
            done = os.pwrite(self._descriptor, view, at)
            view = view[done:]
            at += done


class MemoryRoom:
    """The room of an archive in *buffer*, a memory map."""

    def __init__(self, buffer: mmap) -> None:
        self._buffer = buffer

    def parts(self) -> list[Piece]:
        """Return that nothing was written before."""
        return []

    def read(self, at: int, size: int) -> bytes:
        """Return bytes that were written."""
        return self._buffer[at : at + size]

    def write(self, at: int, data: Data) -> None:
        """Write all of *data*."""
        self._buffer[at : at + len(data)] = bytes(data)


def _data_in(descriptor: int) -> list[Piece]:
    """Return where a file has data, as far as the file system tells holes from it."""
    parts = []
    end = 0
    try:
        while True:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
            parts.append((start, end))
    except OSError:
        return parts  # ENXIO: no data follows
