"""Filling: an archive is decoded and proved while it comes, each member in its place.

The index says how large everything is, so the archive is laid out, and its room is
reserved, before the first member comes. What a dead process left of it is proved
again, and what holds is not fetched again.
"""

from __future__ import annotations

from _thread import allocate_lock
from zlib import crc32

from lazyimport.delivery.demand import CHUNK, Demand
from lazyimport.delivery.pieces import Member, cut
from lazyimport.delivery.rooms import FileRoom
from lazyimport.delivery.transfer import bring
from lazyimport.errors import DamagedArchive
from lazyimport.format import sha256
from lazyimport.format.entries import listings
from lazyimport.format.sections import AWAITED, HEADER_SIZE, MARK, SLOT, Header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from lazyimport.cache.partial import Wishes
    from lazyimport.delivery.heads import Head
    from lazyimport.delivery.rooms import MemoryRoom
    from lazyimport.delivery.transfer import Piece

    Data: TypeAlias = bytes | memoryview
    Room: TypeAlias = FileRoom | MemoryRoom

#: Bytes of a piece: enough to outweigh asking for it, few enough to hold several.
_LEAST = 1 << 20
_MOST = 8 << 20
#: Bytes that are read from the room at a time, to be proved.
_CHUNK = 1 << 20


class Filling:
    """The archive of *head*, with members *raw* or as they came; listings are raw.

    What its object lacks, which is a delta then, is in those of *others*. ``size`` is
    that of the archive: a room must have it. ``damage`` is raised when all else is
    there. ``known`` are checksums of what was proved in the room before.
    """

    def __init__(self, head: Head, *others: Head, raw: bool) -> None:
        index = head.index
        assert index is not None
        self._head = head
        self._heads = {each.key: each for each in (head, *others)}
        self._index = index
        self._lock = allocate_lock()
        self._is_open = False
        self.known: dict[bytes, int] = {}
        self.damage: DamagedArchive | None = None
        self._room: Room
        slots: dict[bytes, list[int]] = {}
        directories: set[bytes] = set()
        self._entries = list(index.entries())
        for entry in self._entries:
            if entry.is_directory:
                directories.add(entry.digest)
            for slot, _, digest in entry.members():
                slots.setdefault(digest, []).append(slot)
        header = self._header = Header(
            head.header.hash,
            root_check=crc32(index.root),
            root_size=len(index.root),
            pages_size=len(index.body),
            slots_size=index.slots * SLOT.size,
            notes_size=head.header.notes_size,
            blobs=any(each.blobs for each in (head, *others)),
        )
        self._slots = bytearray(header.slots_size)
        self._set_blobs(slots)
        self._members: list[Member] = []
        for each in (head, *others):
            for stored in each.members:
                if (its := slots.pop(stored[3], None)) is None:
                    continue
                place = header.members_size
                is_raw = raw or stored[3] in directories
                member = Member(each, stored, its, place, raw=is_raw)
                self._members.append(member)
                header.members_size += member.length
                if stored[0] < each.header.warm:
                    header.warm = header.members_size
        if slots:
            raise head.lacking(slots)
        self.size = header.size
        self._total = head.header.size + sum(
            end - start
            for _, start, end in (m.span for m in self._members if m.head is not head)
        )
        for member in self._members:
            self._set_slots(member, AWAITED | member.place, 0)
            member.place += header.members_at

    def _set_blobs(self, slots: dict[bytes, list[int]]) -> None:
        """Take blobs, which do not come with the archive, out of *slots*."""
        for head in self._heads.values():
            for digest, blob in head.blobs.items():
                for slot in slots.pop(digest, ()):
                    at = slot * SLOT.size
                    self._slots[at : at + SLOT.size] = blob.slot

    def fits(self, descriptor: int) -> bool:
        """Return whether what is in a file is laid out as this archive is.

        Else it must stay as it is, for processes that have it open.
        """
        room = FileRoom(descriptor, self.size)
        if not room.fits:
            return False
        if not self.is_open(room):
            return True
        found = room.read(0, self._header.members_at)
        beginning, at = self._beginning(), self._header.slots_at
        return found[:at] == beginning[:at] and all(
            found[at + n :: SLOT.size] == beginning[at + n :: SLOT.size]
            for n in range(SLOT.size - 4)  # without the checksum
            if n != MARK
        )

    def is_open(self, room: Room) -> bool:
        """Return whether processes may have open what is in *room*."""
        return any(room.read(0, HEADER_SIZE))

    def fill(
        self,
        room: Room,
        connections: int,
        tell: Callable[[int, int], object],
        wishes: Wishes | None = None,
        opened: Callable[[], object] = bool,
    ) -> None:
        """Fill *room*; *tell* is called with how many bytes have come, and of how many.

        With *wishes*, processes may open the archive while it comes, and what they wish
        comes first; *opened* is called when they may.

        Raises StoreError, ArchiveError for what is not this archive, or OSError from
        the room.
        """
        self._room = room
        head = self._head
        key, size = head.key, head.header.size
        missing = self._missing()
        most = max(min(self._total // (4 * connections), _MOST), _LEAST)
        plan = cut(missing, CHUNK if wishes else most)
        if len(head.data) < size:  # one byte more than there is, to see none follows
            notes = (key, max(len(head.data), head.header.notes_at), size)
            last = next((p for p in plan if p[::2] == (key, notes[1])), notes)
            plan[key, last[1], size + 1] = plan.pop(last, [])
        coming = sum(end - start for _, start, end in plan) - (len(head.data) < size)
        if wishes:
            self._open_up(missing)
            opened()
        else:
            room.reserve()
        self._entries.clear()
        for each in self._heads.values():
            here = [m for m in missing if m.head is each and m.span[1] < len(each.data)]
            self._put(each, 0, each.data, here)

        if wishes:
            room.reserve()  # takes time in memory (tmpfs), where much is needed

        def take(piece: Piece, data: bytes) -> None:
            nonlocal coming
            key, start, end = piece
            its = self._heads[key]
            end = min(end, its.header.size)
            its.check_end(data, start, end)
            self._put(its, start, data, plan[piece])
            with self._lock:
                coming -= end - start
                its.moved += end - start
                tell(self._total - coming, self._total)

        tell(self._total - coming, self._total)
        if wishes:
            demand = Demand(plan, wishes, most)
            bring(head.store, demand, connections, take, demand.urgent)
        else:
            bring(head.store, list(plan), connections, take)
        if self.damage is not None:
            raise self.damage
        if awaited := [member.digest for member in missing if self._awaits(member)]:
            raise head.lacking(awaited)
        room.write(0, self._beginning())

    def _open_up(self, missing: list[Member]) -> None:
        """Let processes open what is in the room: from now on they see what comes.

        Imports look into directories before they wait for anything, so the listings
        of these are made here.
        """
        digests = {member.digest: member for member in missing}
        for listing in listings(self._entries):
            member = digests.pop(sha256(listing), None)
            if member is not None and len(listing) == member.length:
                self._write([(member, listing)])
        beginning = self._beginning()
        self._room.write(HEADER_SIZE, beginning[HEADER_SIZE:])
        self._room.write(0, beginning[:HEADER_SIZE])
        self._is_open = True

    def _beginning(self) -> bytes:
        """Return header, index and slots of the archive."""
        index = self._index
        return b"".join([self._header.encode(), index.root, index.body, self._slots])

    def _set_slots(self, member: Member, offset: int, crc: int) -> None:
        for slot in member.slots:
            SLOT.pack_into(self._slots, slot * SLOT.size, offset, member.length, crc)

    def _awaits(self, member: Member) -> bool:
        at = member.slots[0] * SLOT.size + MARK
        return self._slots[at] == AWAITED >> 8 * MARK

    def _settle(self, member: Member, crc: int) -> None:
        """Say that a member, which has been proved, is in place."""
        self._set_slots(member, member.place - self._header.members_at, crc)

    def _show_slots(self) -> None:
        """Let processes see what has been proved, and put in place, by now."""
        if self._is_open:
            with self._lock:  # all slots at once: a call for each would cost more
                self._room.write(self._header.slots_at, bytes(self._slots))

    def _missing(self) -> list[Member]:
        parts = iter([*self._room.parts(), (self.size, self.size)])
        start, end = next(parts)
        missing = []
        for member in self._members:
            while end <= member.place < self.size:
                start, end = next(parts)
            is_new = member.length and member.place + member.length <= start
            if is_new or not self._holds(member):
                missing.append(member)
        return missing

    def _holds(self, member: Member) -> bool:
        if (crc := self.known.get(member.digest)) is not None:
            self._settle(member, crc)
            return True
        try:
            self._prove_in_room(member)
        except DamagedArchive:
            return False
        return True

    def _put(
        self, head: Head, start: int, data: bytes, members: Iterable[Member]
    ) -> None:
        """Put in place what *data*, at *start* of an object, has of *members*."""
        view, stop = memoryview(data), start + len(data)
        run: list[tuple[Member, Data]] = []
        end = 0
        for member in members:
            low, high = max(member.span[1], start), min(member.span[2], stop)
            part: Data = view[low - start : high - start]
            if (low, high) != member.span[1:]:
                self._put_part(member, low, part)
                continue
            try:
                content = self._proved(member, part)
            except DamagedArchive as error:
                self._note(error)
                continue
            if member.place != end:
                self._write(run)
                end = member.place
                run = []
            run.append((member, content))
            end += member.length
        self._write(run)
        self._show_slots()
        notes_at = head.header.notes_at
        if head is self._head and stop > notes_at:
            low = max(start, notes_at)
            place = self._header.notes_at + low - notes_at
            self._room.write(place, view[low - start :])

    def _write(self, run: list[tuple[Member, Data]]) -> None:
        """Write members, which have been proved and lie side by side."""
        if run:
            parts = [data for _, data in run]
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            self._room.write(run[0][0].place, data)
            for member, part in run:
                self._settle(member, crc32(part))

    def _put_part(self, member: Member, start: int, part: Data) -> None:
        """Put a part of *member*; when it is the last, prove the whole."""
        _, begin, end = member.span
        as_it_is = member.length == end - begin
        if as_it_is:
            self._room.write(member.place + start - begin, part)
        with self._lock:
            if not as_it_is:
                member.held[start] = bytes(part)
            member.missing -= len(part)
            if member.missing:
                return
        try:
            if as_it_is:
                self._prove_in_room(member)
            else:
                data = b"".join(member.held[at] for at in sorted(member.held))
                member.held.clear()
                self._write([(member, self._proved(member, data))])
        except DamagedArchive as error:
            self._note(error)

    def _note(self, damage: DamagedArchive) -> None:
        """Raise *damage*, or later: who does not need that member gets the others."""
        if not self._is_open:
            raise damage
        self.damage = self.damage or damage

    def _prove_in_room(self, member: Member) -> None:
        """Raise DamagedArchive unless the room has *member*."""
        if member.length != member.size or not member.size:
            data = self._room.read(member.place, member.length)
            self._proved(member, data)
            self._settle(member, crc32(data))
            return
        import hashlib  # small archives need no OpenSSL

        total, crc = hashlib.sha256(), 0
        end = member.place + member.size
        for at in range(member.place, end, _CHUNK):
            part = self._room.read(at, min(_CHUNK, end - at))
            total.update(part)
            crc = crc32(part, crc)
        if (actual := total.digest()) != member.digest:
            raise member.head.damaged(member.digest, member.path, actual=actual)
        self._settle(member, crc)

    def _proved(self, member: Member, data: Data) -> Data:
        """Return what is to be stored of *member*, which *data* holds."""
        found = member.head.proved(data, member.size, member.digest, member.path)
        return found if member.length == member.size else data
