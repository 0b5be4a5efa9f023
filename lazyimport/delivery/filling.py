"""Filling: an archive is decoded and proved while it comes, each member in its place.

The index says how large everything is, so the archive is laid out, and its room is
reserved, before the first member comes. What a dead process left of it is proved
again, and what holds is not fetched again.
"""

from __future__ import annotations

from _thread import allocate_lock
from zlib import crc32

from lazyimport.delivery.transfer import bring
from lazyimport.errors import DamagedArchive
from lazyimport.format.header import SLOT, Header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from lazyimport.delivery.heads import Head
    from lazyimport.delivery.rooms import FileRoom, MemoryRoom
    from lazyimport.delivery.transfer import Piece

    Data: TypeAlias = bytes | memoryview
    Room: TypeAlias = FileRoom | MemoryRoom

#: Bytes of a piece: enough to outweigh asking for it, few enough to hold several.
_LEAST = 1 << 20
_MOST = 8 << 20
#: Bytes that are read from the room at a time, to be proved.
_CHUNK = 1 << 20


class _Member:
    """A member: its *span* in the object, its *place* in the archive, its proof."""

    __slots__ = (
        "crc",
        "digest",
        "held",
        "length",
        "missing",
        "path",
        "place",
        "size",
        "span",
    )

    def __init__(
        self, span: Piece, place: int, length: int, size: int, digest: bytes, path: str
    ) -> None:
        self.span = span
        self.place = place
        self.length = length
        self.size = size
        self.digest = digest
        self.path = path
        self.crc = 0
        #: bytes that have not come, and those that are held until all of it has
        self.missing = span[1] - span[0]
        self.held: dict[int, bytes] = {}


class Filling:
    """The archive of *head*, a full object, with members *raw* or as they came.

    ``size`` is that of the archive: a room must have it.
    """

    def __init__(self, head: Head, *, raw: bool) -> None:
        assert head.index is not None
        self._head = head
        self._raw = raw
        self._lock = allocate_lock()
        self._room: Room
        came, index = head.header, head.index
        header = Header(
            came.hash,
            root_size=came.root_size,
            pages_size=came.pages_size,
            slots_size=came.slots_size,
            notes_size=came.notes_size,
        )
        self._members: list[_Member] = []
        known: set[bytes] = set()
        for offset, stored, size, digest, path in head.members:
            if digest in known:
                continue
            known.add(digest)
            length = size if raw else stored
            span = came.members_at + offset, came.members_at + offset + stored
            place = header.members_at + header.members_size
            self._members.append(_Member(span, place, length, size, digest, path))
            header.members_size += length
            if offset < came.warm:
                header.warm = header.members_size
        self._header, self._index = header, index
        self.size = header.size

    def fill(
        self, room: Room, connections: int, tell: Callable[[int, int], object]
    ) -> None:
        """Fill *room*; *tell* is called with how many bytes have come, and of how many.

        Raises StoreError, ArchiveError for what is not this archive, or OSError from
        the room.
        """
        self._room = room
        head = self._head
        here, size = len(head.data), head.header.size
        missing = self._missing()
        most = max(min(size // (4 * connections), _MOST), _LEAST)
        plan = _cut([m for m in missing if m.span[1] > here], here, most)
        if here < size:  # one byte more than there is, to see that none follows
            last = next(reversed(plan), (0, 0))
            at_end = plan.pop(last) if last[1] == head.header.notes_at else []
            start = last[0] if at_end else max(here, head.header.notes_at)
            plan[start, size + 1] = at_end
        coming = sum(min(end, size) - start for start, end in plan)
        self._put(0, head.data, [m for m in missing if m.span[0] < here])

        def take(piece: Piece, data: bytes) -> None:
            nonlocal coming
            start, end = piece[0], min(piece[1], size)
            head.check_end(data, start, end)
            self._put(start, data, plan[piece])
            with self._lock:
                coming -= end - start
                head.moved += end - start
                tell(size - coming, size)

        tell(size - coming, size)
        bring(head.store, head.key, list(plan), connections, take)
        room.write(0, self._beginning())

    def _beginning(self) -> bytes:
        """Return header, index and slots of the archive, all of which is in place."""
        at = self._header.members_at
        slots = {
            member.digest: SLOT.pack(member.place - at, member.length, member.crc)
            for member in self._members
        }
        index = self._index
        table = [slots[d] for e in index.entries() for _, _, d in e.members()]
        return b"".join([self._header.encode(), index.root, index.body, *table])

    def _missing(self) -> list[_Member]:
        parts = iter([*self._room.parts(), (self.size, self.size)])
        start, end = next(parts)
        missing = []
        for member in self._members:
            while end <= member.place < self.size:
                start, end = next(parts)
            if member.place + member.length <= start or not self._holds(member):
                missing.append(member)
        return missing

    def _holds(self, member: _Member) -> bool:
        try:
            self._prove_in_room(member)
        except DamagedArchive:
            return False
        return True

    def _put(self, start: int, data: bytes, members: Iterable[_Member]) -> None:
        """Put in place what *data*, at *start* of the object, has of *members*."""
        view = memoryview(data)
        stop = start + len(data)
        run: list[Data] = []
        place = end = 0
        for member in members:
            low, high = max(member.span[0], start), min(member.span[1], stop)
            part: Data = view[low - start : high - start]
            if (low, high) != member.span:
                self._put_part(member, low, part)
                continue
            content = self._proved(member, part)
            if member.place != end:
                self._write(place, run)
                place = end = member.place
                run = []
            run.append(content if self._raw else part)
            end += member.length
        self._write(place, run)
        notes_at = self._head.header.notes_at
        if stop > notes_at:
            low = max(start, notes_at)
            place = self._header.notes_at + low - notes_at
            self._room.write(place, view[low - start :])

    def _write(self, place: int, run: list[Data]) -> None:
        if run:
            self._room.write(place, run[0] if len(run) == 1 else b"".join(run))

    def _put_part(self, member: _Member, start: int, part: Data) -> None:
        """Put a part of *member*; when it is the last, prove the whole."""
        as_it_is = member.length == member.span[1] - member.span[0]
        if as_it_is:
            self._room.write(member.place + start - member.span[0], part)
        with self._lock:
            if not as_it_is:
                member.held[start] = bytes(part)
            member.missing -= len(part)
            if member.missing:
                return
        if as_it_is:
            self._prove_in_room(member)
        else:
            data = b"".join(member.held[at] for at in sorted(member.held))
            member.held.clear()
            self._room.write(member.place, self._proved(member, data))

    def _prove_in_room(self, member: _Member) -> None:
        """Raise DamagedArchive unless the room has *member*."""
        if member.length != member.size:
            self._proved(member, self._room.read(member.place, member.length))
            return
        import hashlib  # small archives need no OpenSSL

        total, member.crc = hashlib.sha256(), 0
        end = member.place + member.size
        for at in range(member.place, end, _CHUNK):
            part = self._room.read(at, min(_CHUNK, end - at))
            total.update(part)
            member.crc = crc32(part, member.crc)
        if (actual := total.digest()) != member.digest:
            raise self._head.damaged(member.digest, member.path, actual=actual)

    def _proved(self, member: _Member, data: Data) -> Data:
        """Return what *data* holds, which is *member*, as it is or compressed."""
        found = self._head.proved(data, member.size, member.digest, member.path)
        member.crc = crc32(found if self._raw else data)
        return found


def _cut(
    members: Iterable[_Member], here: int, most: int
) -> dict[Piece, list[_Member]]:
    """Return pieces of *most* bytes with what is in them of *members*, from *here* on.

    A member that is larger is cut itself.
    """
    plan: dict[Piece, list[_Member]] = {}
    start = end = -1
    inside: list[_Member] = []
    for member in members:
        low, high = max(member.span[0], here), member.span[1]
        if low != end or high - start > most:
            if inside:
                plan[start, end] = inside
            start, inside = low, []
            while high - start > most:
                plan[start, start + most] = [member]
                start += most
        inside.append(member)
        end = high
    if inside:
        plan[start, end] = inside
    return plan
