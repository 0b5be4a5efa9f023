"""Malicious archives and deltas give content or a clean error, and use little memory.

After each change the digests are made valid again, so that the code behind them runs
as well: a hash says that bytes are as they were named, not that they are harmless.
"""

from __future__ import annotations

import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import pairwise
from zlib import crc32

import pytest

from lazyimport.format.archive import Archive
from lazyimport.format.index import PAGE, ROOT, START_SIZE, root_head_size
from lazyimport.format.sections import HEADER_SIZE, Header
from tests.support.read_everything import CLEAN, read_delta, read_everything
from tests.support.scale import scaled
from tests.support.trees import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.support.trees import Files

ARCHIVES = scaled(1_500, 200_000)
MEMORY = 256 << 20

FILES: Files = {
    **{f"pkg/m{n}.py": f"x = {n}\n" for n in range(5)},
    "pkg/__init__.py": "",
    "pkg/words.txt": "word " * 60,
}
CHANGED: Files = {**FILES, "pkg/m3.py": "x = 'other'\n", "new.txt": "new " * 40}
NUMBERS = [0, 1, 0x7F, 0xFF, 0xFFFF, 1 << 31, (1 << 32) - 1, (1 << 63), (1 << 64) - 1]


def mutate(data: bytearray, chance: random.Random) -> None:
    """Change a few places: flip bits, set numbers, copy, remove or insert bytes."""
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(data))
        what = chance.randrange(5)
        if what == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif what == 1:
            size = chance.choice((1, 2, 4, 8))
            number = chance.choice(NUMBERS) & ((1 << 8 * size) - 1)
            data[at : at + size] = number.to_bytes(size, "little")
        elif what == 2:
            end = at + chance.randrange(1, 40)
            other = chance.randrange(len(data))
            data[at:end] = data[other : other + end - at]
        elif what == 3:
            del data[at : at + chance.randrange(1, 20)]
        else:
            data[at:at] = chance.randbytes(chance.randrange(1, 20))
        if not data:
            data.extend(b"\0")


def sections(data: bytes) -> list[bytearray]:
    """Return header, root, pages, slots, members and notes."""
    header = Header.decode(data)
    ends = [
        0,
        HEADER_SIZE,
        header.pages_at,
        header.slots_at,
        header.members_at,
        header.notes_at,
        header.size,
    ]
    return [bytearray(data[a:b]) for a, b in pairwise(ends)]


def sealed(parts: list[bytearray], *, delta: bool) -> tuple[bytes, str]:
    """Return an object of *parts*, with valid digests as far as that is possible."""
    head, root, pages, slots, members, notes = parts
    if not delta and len(root) > ROOT.size:
        at = root_head_size(min(root[32], 64))
        at += START_SIZE * ((len(root) - at) // (START_SIZE + PAGE.size))
        start = 0
        while at + PAGE.size <= len(root):
            _, end, first, _ = PAGE.unpack_from(root, at)
            digest = sha256(pages[start:end]).digest()
            PAGE.pack_into(root, at, digest, end, first, crc32(pages[start:end]))
            at, start = at + PAGE.size, end
    name = bytes(head[16:48]) if delta else sha256(root).digest()
    sizes = (len(root), len(pages), len(slots), len(members))
    head[16:48] = name
    for number, size in enumerate(sizes):
        head[80 + 8 * number : 88 + 8 * number] = size.to_bytes(8, "little")
    head[112:116] = len(notes).to_bytes(4, "little")
    head[124:128] = crc32(bytes(head[:124])).to_bytes(4, "little")
    return bytes(b"".join(parts)), name.hex()


@contextmanager
def little_memory() -> Iterator[None]:
    """Let every allocation fail that is larger than these archives justify."""
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.slow
@pytest.mark.timeout(scaled(300, 3600))
@pytest.mark.parametrize("kind", ["raw", "zstd", "delta"])
def test_malicious_objects(kind: str) -> None:
    chance = random.Random(kind)
    base = Tree(FILES).archive(raw=True)
    if kind == "delta":
        made = Tree(CHANGED).delta(Archive(*base).index)
        assert made is not None
        data = made[0]
    else:
        data, _ = Tree(FILES).archive(raw=kind == "raw")
    original = sections(data)
    read = refused = 0
    with little_memory():
        for _ in range(ARCHIVES // 3):
            parts = [bytearray(part) for part in original]
            number = chance.choice((1, 2, 2, 3, 4))
            mutate(parts[number], chance)
            changed, name = sealed(parts, delta=kind == "delta")
            try:
                if kind == "delta":
                    read_delta(changed, name, base)
                else:
                    read_everything(changed, name)
                read += 1
            except CLEAN:
                refused += 1
    print(f"{kind}: {read} read, {refused} refused")
    assert refused > read
