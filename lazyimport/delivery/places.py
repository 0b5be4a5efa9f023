"""Places: where everything of an archive is to lie in its file.

How large that is, the index says at once; where members lie takes longer to find out,
and processes may open the file before. Until then all of its slots await their members.
"""

from __future__ import annotations

from zlib import crc32

from lazyimport.delivery.pieces import lay_out
from lazyimport.delivery.slots import Slots
from lazyimport.format.entries import DIRECTORY, each_member
from lazyimport.format.sections import AWAITED, HEADER_SIZE, MARK, SLOT, Header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.delivery.heads import Head
    from lazyimport.delivery.pieces import Member
    from lazyimport.delivery.rooms import FileRoom, MemoryRoom


class Places:
    """The places in the archive of *head*, with members *raw* or as they came.

    What its object lacks, which is a delta then, is in those of *others*. ``slots`` and
    ``members``, by their places in the objects, say where each lies once `find` has
    found that out. Raises ArchiveError.
    """

    def __init__(self, head: Head, *others: Head, raw: bool) -> None:
        index = head.index
        assert index is not None
        self._index = index
        self._heads = (head, *others)
        self._raw = raw
        self.entries = head.entries or list(index.entries())
        self.slots = Slots(index.slots)
        self.members: list[Member] = []
        self._are_found = False
        self.header = Header(
            head.header.hash,
            root_check=crc32(index.root),
            root_size=len(index.root),
            pages_size=len(index.body),
            slots_size=index.slots * SLOT.size,
            notes_size=head.header.notes_size,
            blobs=any(each.blobs for each in self._heads),
        )
        if raw:
            sizes = {digest: size for _, size, digest, _ in each_member(self.entries)}
            for each in self._heads:
                for digest in each.blobs:
                    sizes.pop(digest, None)
            self.header.members_size = sum(sizes.values())
        else:
            self.find()

    def find(self) -> None:
        """Find out where each member lies, unless that is known."""
        if self._are_found:
            return
        head, header = self._heads[0], self.header
        slots: dict[bytes, list[int]] = {}
        directories: set[bytes] = set()
        for slot, _, digest, entry in each_member(self.entries):
            slots.setdefault(digest, []).append(slot)
            if entry.kind == DIRECTORY:
                directories.add(digest)
        for each in self._heads:  # blobs do not come with the archive
            for digest, blob in each.blobs.items():
                self.slots.refer(slots.pop(digest, ()), blob)
        self.members, end, header.warm = lay_out(
            self._heads, slots, directories, raw=self._raw
        )
        if slots:
            raise head.lacking(slots)
        if self._raw and header.members_size != end:
            raise head.malformed("its members are not as large as its index says")
        header.members_size = end
        for member in self.members:
            self.slots.put(member, AWAITED | member.place)
            member.place += header.members_at
        self._are_found = True

    @property
    def total(self) -> int:
        """The bytes that come, all in all."""
        head = self._heads[0]
        spans = (m.span for m in self.members if m.head is not head)
        return head.header.size + sum(end - start for _, start, end in spans)

    def fit(self, room: FileRoom) -> bool:
        """Return whether what is in a room is laid out in this way, or not at all.

        Else it must stay as it is, for processes that have it open.
        """
        if not room.fits:
            return False
        if not is_open(room):
            return True
        found, early = room.read(0, self.header.members_at), self.beginning()
        if found == early:
            return True
        self.find()
        headers = {early[:HEADER_SIZE], self.header.encode()}
        at = self.header.slots_at
        if found[HEADER_SIZE:at] != early[HEADER_SIZE:at]:
            return False
        slots = self.slots.data
        return found[:HEADER_SIZE] in headers and all(
            found[at + n :: SLOT.size] == slots[n :: SLOT.size]
            for n in range(SLOT.size - 4)  # without the checksum
            if n != MARK
        )

    def beginning(self) -> bytes:
        """Return header, index and slots of the archive, as far as they are known."""
        index = self._index
        return b"".join([self.header.encode(), index.root, index.body, self.slots.data])


def is_open(room: FileRoom | MemoryRoom) -> bool:
    """Return whether processes may have open what is in *room*."""
    return any(room.read(0, HEADER_SIZE))
