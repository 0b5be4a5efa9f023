"""Rooms: what is written in many parts, and what a disk that is full has taken."""

from __future__ import annotations

import errno
import resource
from mmap import mmap
from pathlib import Path

import pytest

from lazyimport.delivery.rooms import FileRoom, MemoryRoom

PARTS = [b"%d," % number for number in range(3_000)]  # more than one call takes
ALL = b"".join(PARTS)


def test_parts_lie_one_behind_the_other(tmp_path: Path) -> None:
    with open(tmp_path / "file", "w+b") as file:
        room = FileRoom(file.fileno(), 5 + len(ALL))
        room.write(5, *PARTS)
        room.write(0, b"first")
        assert room.read(0, 1 << 20) == b"first" + ALL
    buffer = mmap(-1, 5 + len(ALL))
    memory = MemoryRoom(buffer)
    memory.write(5, *[memoryview(part) for part in PARTS])
    memory.write(0, b"first")
    assert buffer[:] == b"first" + ALL


def test_a_disk_takes_a_part(tmp_path: Path) -> None:
    """The system writes what fits, and says why it is less when it is asked again."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open(tmp_path / "file", "w+b", buffering=0) as file:
        room = FileRoom(file.fileno(), len(ALL))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
        try:
            with pytest.raises(OSError) as caught:
                room.write(0, *PARTS)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert caught.value.errno == errno.EFBIG
        assert room.read(0, 1 << 20) == ALL[:1_000]
