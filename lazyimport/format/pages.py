"""The pages of an index as a whole, in the one form that they may have.

``docs/format.md`` section 4.
"""

from __future__ import annotations

from zlib import crc32

from lazyimport.format.entries import (
    CODE,
    COUNT,
    DIRECTORY,
    DIRECTORY_ITEM,
    FILE,
    KNOWN_FLAGS,
    MAX_MEMBER,
    MAX_PATH,
    MODULE_SUFFIXES,
    ROW,
    Entry,
    Variant,
    check_paths,
    first_place,
    folder_of,
    place_of,
    stem_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from mmap import mmap
    from typing import Any, TypeAlias

    #: a place, how many entries have it, and what they are
    Placed: TypeAlias = tuple[int, int, Any]

#: A page has no more entries, unless all of them have one place.
MOST_ENTRIES = 64


def divide(placed: Sequence[Placed]) -> Iterator[tuple[int, Sequence[Placed]]]:
    """Yield start and content of each page that an index has for *placed*, sorted.

    Where there are more than a page may have, the first half of all places has one
    part and the second half the other, and so on.
    """
    from bisect import bisect_left  # what only reads archives goes without
    from itertools import accumulate

    places = [place for place, *_ in placed]
    before = [0, *accumulate(count for _, count, _ in placed)]
    parts = [(0, 64, 0, len(placed))]
    while parts:
        start, bits, first, end = parts.pop()
        if before[end] - before[first] > MOST_ENTRIES and bits:
            bits -= 1
            middle = start + (1 << bits)
            cut = bisect_left(places, middle, first, end)
            parts += (middle, bits, cut, end), (start, bits, first, cut)
        elif first < end:
            yield start, placed[first:end]


def walk(
    pages: Iterable[list[Entry]],
    starts: Sequence[int],
    files: int,
    directories: int,
    slots: int,
) -> Iterator[Entry]:
    """Yield the entries of all *pages*, in the order of their slots.

    Raises ValueError unless there are so many, in pages that begin at *starts*.
    """
    counts = [0, 0]
    slot = 0
    ends: list[Placed] = []  # the first and the last place of each page
    for number, page in enumerate(pages):
        if not page or page[0].slot != slot:
            raise ValueError(f"page {number} is empty, or its slots do not follow")
        slot = page[-1].slot + page[-1].slots
        folders = sum([entry.kind for entry in page])
        counts[DIRECTORY] += folders
        counts[FILE] += len(page) - folders
        first, last = (
            place_of(stem_of(entry.path, entry.kind)) for entry in (page[0], page[-1])
        )
        ends += (first, len(page) - 1, number), (last, 1, number)
        yield from page
    if (*counts, slot) != (files, directories, slots):
        raise ValueError("its numbers of entries and slots do not add up")
    divided = [
        (start, *(number for *_, number in page)) for start, page in divide(ends)
    ]
    if divided != [(start, n, n) for n, start in enumerate(starts[: number + 1])]:
        raise ValueError("its pages do not begin where they must")


def decode_page(  # noqa: C901 - one check after the other
    buffer: bytes | mmap,
    start: int,
    end: int,
    variants: Sequence[Variant],
    first_slot: int = 0,
    places: tuple[int, ...] = (0, 1 << 64),
) -> list[Entry]:
    """Return the entries of the page in ``[start, end)``, checked for the one form.

    Slots are counted from *first_slot*. All of it must have a place from the first of
    *places* on, and before the second one. Raises struct.error or ValueError.
    """
    page = buffer[start:end]
    (count,) = COUNT.unpack_from(page)
    row = COUNT.size + count * DIRECTORY_ITEM.size
    if row > len(page):
        raise ValueError("its directory exceeds it")
    slots, last, known = 0, (-1, 0, b""), len(variants)
    entries = []
    least: dict[str, int] = {}
    for crc, offset, slot in DIRECTORY_ITEM.iter_unpack(page[COUNT.size : row]):
        if offset != row or slot != slots:
            raise ValueError("a row is not where it should be")
        # What `decode_row` does, without a call for each: who reads all rows waits.
        kind, flags, length, bits, size, digest = ROW.unpack_from(page, row)
        path_at = row + ROW.size
        row = codes_at = path_at + length
        if bits:
            row += bits.bit_count() * CODE.size
        if (
            row > len(page)
            or length > MAX_PATH
            or kind > DIRECTORY
            or size > MAX_MEMBER
        ):
            raise ValueError("a row exceeds its page or a limit")
        encoded = page[path_at:codes_at]
        path = encoded.decode()
        is_module = not kind and path.endswith(MODULE_SUFFIXES)
        stem = stem_of(path) if is_module else path
        if crc != crc32(stem.encode() if is_module else encoded):
            raise ValueError("an entry under a stem that is not its own")
        folder = folder_of(stem)
        place = crc | (
            least.get(folder) or least.setdefault(folder, first_place(folder))
        )
        here = (place, kind, encoded)
        if here <= last or not places[0] <= place < places[1]:
            raise ValueError("its entries are out of order")
        if flags & ~KNOWN_FLAGS[kind] or bits >> known:
            raise ValueError("an entry with unknown flags or variants")
        if bits and not (is_module and path.endswith(".py")):
            raise ValueError("bytecode of something that is not a source")
        if not (length or kind):
            raise ValueError("a file with the path of the top directory")
        codes = page[codes_at:row]
        at = first_slot + slot
        entries.append(Entry(path, size, digest, kind, flags, bits, codes, at))
        last = here
        slots += 1 + bits.bit_count()
    if row != len(page):
        raise ValueError("something follows its last row")
    check_paths([entry.path for entry in entries])
    return entries
