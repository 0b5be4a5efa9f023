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
    MODULE_SUFFIXES,
    ROW,
    Entry,
    Variant,
    check_path,
    stem_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from mmap import mmap


def decode_page(  # noqa: C901 - one check after the other
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
    slots, last = 0, (-1, 0, b"")
    for crc, offset, slot in DIRECTORY_ITEM.iter_unpack(buffer[items:row]):
        if start + offset != row or slot != slots:
            raise ValueError("a row is not where it should be")
        # What `decode_row` does, without a call for each: who reads all rows waits.
        kind, flags, length, bits, size, digest = ROW.unpack_from(buffer, row)
        codes_at = row + ROW.size + length
        stop = codes_at + bits.bit_count() * CODE.size
        if stop > end or kind > DIRECTORY or size > MAX_MEMBER:
            raise ValueError("a row exceeds its page or a limit")
        encoded = buffer[row + ROW.size : codes_at]
        path = encoded.decode()
        here = (crc, kind, encoded)
        if here <= last or crc & mask != number:
            raise ValueError("its entries are out of order")
        is_module = not kind and path.endswith(MODULE_SUFFIXES)
        if crc != crc32(stem_of(path).encode() if is_module else encoded):
            raise ValueError("an entry under a stem that is not its own")
        if flags & ~KNOWN_FLAGS[kind] or bits >> len(variants):
            raise ValueError("an entry with unknown flags or variants")
        if bits and not (is_module and path.endswith(".py")):
            raise ValueError("bytecode of something that is not a source")
        if not (length or kind):
            raise ValueError("a file with the path of the top directory")
        check_path(path)
        yield Entry(path, size, digest, kind, flags, bits, buffer[codes_at:stop], slot)
        last, row = here, stop
        slots += 1 + bits.bit_count()
    if row != end:
        raise ValueError("something follows its last row")
