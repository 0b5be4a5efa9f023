"""A page of the index as a whole, in the one form that it may have."""

from __future__ import annotations

from zlib import crc32

from lazyimport.format.entries import (
    COUNT,
    DIRECTORY_ITEM,
    KNOWN_FLAGS,
    ROW,
    Entry,
    Variant,
    check_path,
    decode_row,
    stem_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from mmap import mmap


def decode_page(
    buffer: bytes | mmap,
    start: int,
    end: int,
    variants: Sequence[Variant],
    mask: int = 0,
    number: int = 0,
) -> Iterator[Entry]:
    """Yield the entries of the page in ``[start, end)``, checked for the one form.

    Slots are counted from 0. *mask* and *number* say which stems belong here.
    Raises struct.error or ValueError.
    """
    (count,) = COUNT.unpack_from(buffer, start)
    items = start + COUNT.size
    row = items + count * DIRECTORY_ITEM.size
    if row > end:
        raise ValueError("its directory exceeds it")
    slots = 0
    last = (-1, 0, b"")
    for at in range(items, row, DIRECTORY_ITEM.size):
        crc, offset, slot = DIRECTORY_ITEM.unpack_from(buffer, at)
        if start + offset != row or slot != slots:
            raise ValueError("a row is not where it should be")
        entry = decode_row(buffer, row, end, slot)
        path = entry.path.encode()
        here = (crc, entry.kind, path)
        if here <= last or crc & mask != number:
            raise ValueError("its entries are out of order")
        if crc != crc32(stem_of(entry.path, entry.kind).encode()):
            raise ValueError("an entry under a stem that is not its own")
        if entry.flags & ~KNOWN_FLAGS[entry.kind] or entry.variants >> len(variants):
            raise ValueError("an entry with unknown flags or variants")
        if entry.variants and (entry.kind or not path.endswith(b".py")):
            raise ValueError("bytecode of something that is not a source")
        if not (path or entry.kind):
            raise ValueError("a file with the path of the top directory")
        check_path(entry.path)
        last = here
        slots += entry.slots
        row += ROW.size + len(path) + len(entry.packed_codes)
        yield entry
    if row != end:
        raise ValueError("something follows its last row")
