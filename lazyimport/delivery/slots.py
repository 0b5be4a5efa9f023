"""The slots of an archive that is coming: which of its members are in their places."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from lazyimport.format.sections import AWAITED, MARK, SLOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lazyimport.delivery.pieces import Member
    from lazyimport.format.blobs import Blob

_SIZE, _pack = SLOT.size, SLOT.pack_into


class Slots:
    """The section of slots, of *size* bytes; ``data`` are these."""

    def __init__(self, size: int) -> None:
        self.data = bytearray(size)

    def put(self, member: Member, offset: int, crc: int = 0) -> None:
        """Let the slots of *member* say that it lies at *offset* of the members."""
        for slot in member.slots:
            _pack(self.data, slot * _SIZE, offset, member.length, crc)

    def refer(self, slots: Iterable[int], blob: Blob) -> None:
        """Let *slots* refer to *blob*, which does not come with the archive."""
        for slot in slots:
            self.data[slot * _SIZE : (slot + 1) * _SIZE] = blob.slot

    def awaits(self, member: Member) -> bool:
        """Return whether *member* is still coming."""
        return self.data[member.slots[0] * _SIZE + MARK] == AWAITED >> 8 * MARK

    def awaited(
        self, members: Sequence[Member], start: int, stop: int
    ) -> Iterator[Member]:
        """Return which of *members* are coming and have bytes in a part of an object.

        They are in the order of the object.
        """
        first = bisect_right(members, start, key=lambda member: member.span[2])
        last = bisect_left(members, stop, key=lambda member: member.span[1])
        return filter(self.awaits, members[first:last])
