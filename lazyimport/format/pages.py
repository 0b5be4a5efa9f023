"""A page of the index as a whole, in the one form that it may have."""

from __future__ import annotations

from zlib import crc32

from lazyimport.format.entries import (
    CODE,
    COUNT,
    DIRECTORY,
    DIRECTORY_ITEM,
    KNOWN_FLAGS,
    MAX_MEMBER,
    MAX_PATH,
    MODULE_SUFFIXES,
    ROW,
    Entry,
    Variant,
    check_paths,
    stem_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from mmap import mmap


def decode_page(  # noqa: C901 - one check after the other
    buffer: bytes | mmap,
    start: int,
    end: int,
    variants: Sequence[Variant],
    mask: int = 0,
    number: int = 0,
    first_slot: int = 0,
) -> list[Entry]:
    """Return the entries of the page in ``[start, end)``, checked for the one form.

    Slots are counted from *first_slot*. *mask* and *number* say which stems belong
    here. Raises struct.error or ValueError.
    """
    page = buffer[start:end]
    (count,) = COUNT.unpack_from(page)
    row = COUNT.size + count * DIRECTORY_ITEM.size
    if row > len(page):
        raise ValueError("its directory exceeds it")
    slots, last, known = 0, (-1, 0, b""), len(variants)
    entries = []
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
        here = (crc, kind, encoded)
        if here <= last or crc & mask != number:
            raise ValueError("its entries are out of order")
        is_module = not kind and path.endswith(MODULE_SUFFIXES)
        if crc != crc32(stem_of(path).encode() if is_module else encoded):
            raise ValueError("an entry under a stem that is not its own")
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
