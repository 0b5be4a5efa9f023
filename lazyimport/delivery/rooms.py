"""Rooms: where an archive comes to lie that is fetched, on the disk or in memory.

In memory only as much as the machine, or the container, has left.
"""

from __future__ import annotations

import os
from errno import EINVAL, ENOMEM, EOPNOTSUPP

from lazyimport.errors import CacheError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmap import mmap
    from typing import TypeAlias

    Data: TypeAlias = bytes | memoryview
    #: Where a part of a file begins and ends.
    Part: TypeAlias = tuple[int, int]

#: A container's limit, use and statistics, in version 2 and 1 of control groups.
_GROUPS = (
    ("memory.max", "memory.current", "memory.stat"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
    ),
)
_FOLDER = "/sys/fs/cgroup"
#: Buffers that are written with one call: what Linux takes (IOV_MAX).
_AT_ONCE = 1024
#: What each process of a node may take because the disk does not work: the others
#: will, too.
_SHARE = 4


class FileRoom:
    """The room of an archive of *size* bytes in the file of *descriptor*.

    All methods raise OSError if the disk refuses.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self._parts = _data_in(descriptor)

    @property
    def fits(self) -> bool:
        """Whether the file is new, or has the right size already."""
        return os.fstat(self._descriptor).st_size in {0, self._size}

    @property
    def missing(self) -> int:
        """The bytes that the disk does not have for it yet."""
        return self._size - os.fstat(self._descriptor).st_blocks * 512

    def reserve(self) -> None:
        """Reserve the space on the disk."""
        descriptor, size = self._descriptor, self._size
        try:
            os.posix_fallocate(descriptor, 0, size)
        except (AttributeError, OSError) as error:  # macOS has no such call
            if getattr(error, "errno", EINVAL) not in {EINVAL, EOPNOTSUPP}:
                raise
            os.ftruncate(descriptor, size)  # a file system that cannot reserve

    def parts(self) -> list[Part]:
        """Return where something was written before."""
        return self._parts

    def read(self, at: int, size: int) -> bytes:
        """Return bytes that were written."""
        return os.pread(self._descriptor, size, at)

    def write(self, at: int, *parts: Data) -> None:
        """Write all of *parts*, one behind the other."""
        for first in range(0, len(parts), _AT_ONCE):
            some = parts[first : first + _AT_ONCE]
            end = at + sum(map(len, some))
            at += os.pwritev(self._descriptor, some, at)
            if at < end:  # the disk is full, or will say what it is
                left = memoryview(b"".join(some))[at - end :]
                while left:
                    done = os.pwrite(self._descriptor, left, at)
                    left = left[done:]
                    at += done


class MemoryRoom:
    """The room of an archive in *buffer*, a memory map."""

    def __init__(self, buffer: mmap) -> None:
        self._buffer = buffer

    def reserve(self) -> None:
        """Do nothing: memory is taken where it is written to."""

    def parts(self) -> list[Part]:
        """Return that nothing was written before."""
        return []

    def read(self, at: int, size: int) -> bytes:
        """Return bytes that were written."""
        return self._buffer[at : at + size]

    def write(self, at: int, *parts: Data) -> None:
        """Write all of *parts*, one behind the other."""
        for part in parts:
            self._buffer[at : at + len(part)] = bytes(part)
            at += len(part)


def _data_in(descriptor: int) -> list[Part]:
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


def require_memory(hash: str, size: int, cache: str, *, because: object = None) -> None:
    """Raise CacheError if *size* bytes for the archive *hash* are too many.

    All that is free may be taken for what is to run from memory; a quarter of it
    *because* the disk of the *cache* takes nothing.
    """
    free = available()
    if free is None or size <= (free // _SHARE if because else free):
        return
    many = f"archive {hash} needs {size} bytes of memory"
    text = f"{many}, and {free} are free; set LAZYIMPORT_CACHE_MODE to raw or zstd"
    if because:
        text = (
            f"{because}; and {many}, more than a quarter of the {free} that are free, "
            "so it does not run from there either"
        )
    raise CacheError(text, path=cache, errno=ENOMEM)


def available() -> int | None:
    """Return the bytes of memory that are free for this process; None if unknown."""
    found = []
    try:
        found.append(_counts("/proc/meminfo")[b"MemAvailable:"] << 10)
    except (OSError, ValueError, LookupError):
        pass
    for names in _GROUPS:
        limit, use, counts = (f"{_FOLDER}/{name}" for name in names)
        try:
            # What was read from files counts as used there, and gives way.
            stat = _counts(counts)
            files = stat[b"inactive_file"] + stat[b"active_file"]
            with open(limit, "rb") as most, open(use, "rb") as used:
                found.append(max(int(most.read()) - int(used.read()) + files, 0))
        except (OSError, ValueError, LookupError):
            pass  # no such group, or one without a limit
    return min(found, default=None)


def _counts(path: str) -> dict[bytes, int]:
    """Return the numbers in a file with a name and a number in each line."""
    with open(path, "rb") as file:
        return {line.split()[0]: int(line.split()[1]) for line in file if line.strip()}
