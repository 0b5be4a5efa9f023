"""The slots of an archive that is coming: which of its members are in their places."""

from __future__ import annotations

from lazyimport.format.sections import AWAITED, MARK, SLOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

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
