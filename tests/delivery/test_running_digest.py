"""A digest runs along with what comes, in any order."""

from __future__ import annotations

import hashlib
import itertools
from mmap import mmap
from zlib import crc32

import pytest

from lazyimport.delivery.rooms import MemoryRoom
from lazyimport.delivery.running_digest import RunningDigest

DATA = bytes(range(90))


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
@pytest.mark.parametrize("given", [True, False])
def test_parts_come_in_any_order(order: tuple[int, ...], given: bool) -> None:
    room = MemoryRoom(mmap(-1, 100))
    running = RunningDigest(room, 10, 100, checksum=True)
    ends = []
    for number in order:
        at = 30 * number
        part = DATA[at : at + 30]
        room.write(10 + at, part)
        ends.append(running.add(10 + at, 40 + at, part if given else None))

    assert ends == [False, False, True]
    assert running.digest() == hashlib.sha256(DATA).digest()
    assert running.crc == crc32(DATA)


def test_what_comes_in_its_turn_is_not_read_back() -> None:
    class Unread(MemoryRoom):
        def read(self, at: int, size: int) -> bytes:
            raise AssertionError

    running = RunningDigest(Unread(mmap(-1, 90)), 0, 90)
    assert not running.add(0, 50, DATA[:50])
    assert running.add(50, 90, DATA[50:])
    assert running.digest() == hashlib.sha256(DATA).digest()
