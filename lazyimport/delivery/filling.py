"""Filling: an archive is decoded and proved while it comes, each member in its place.

The index says how large everything is, so the archive is laid out, and its room is
reserved, before the first member comes. What a dead process left of it is proved
again, and what holds is not fetched again.
"""

from __future__ import annotations

from _thread import allocate_lock
from zlib import crc32

from lazyimport.delivery.demand import Demand
from lazyimport.delivery.line import taking_turns
from lazyimport.delivery.pieces import CHUNK, arrived, lay_out, piece_size, plan_of
from lazyimport.delivery.rooms import FileRoom
from lazyimport.delivery.slots import Slots
from lazyimport.delivery.transfer import bring
from lazyimport.errors import DamagedArchive
from lazyimport.format import sha256
from lazyimport.format.entries import DIRECTORY, each_member, listings
from lazyimport.format.sections import AWAITED, HEADER_SIZE, MARK, SLOT, Header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeAlias

    from lazyimport.cache.partial import Wishes
    from lazyimport.delivery.feeds import Piece
    from lazyimport.delivery.heads import Head
    from lazyimport.delivery.line import Turns
    from lazyimport.delivery.pieces import Member
    from lazyimport.delivery.rooms import MemoryRoom
    from lazyimport.delivery.running_digest import RunningDigest

    Data: TypeAlias = bytes | memoryview
    Room: TypeAlias = FileRoom | MemoryRoom


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
        self._entries = head.entries or list(index.entries())
        for slot, _, digest, entry in each_member(self._entries):
            slots.setdefault(digest, []).append(slot)
            if entry.kind == DIRECTORY:
                directories.add(digest)
        header = self._header = Header(
            head.header.hash,
            root_check=crc32(index.root),
            root_size=len(index.root),
            pages_size=len(index.body),
            slots_size=index.slots * SLOT.size,
            notes_size=head.header.notes_size,
            blobs=any(each.blobs for each in (head, *others)),
        )
        self._slots = Slots(header.slots_size)
        self._set_blobs(slots)
        heads = (head, *others)
        self._members, end, header.warm = lay_out(heads, slots, directories, raw=raw)
        header.members_size = end
        if slots:
            raise head.lacking(slots)
        self.size = header.size
        self._total = head.header.size + sum(
            end - start
            for _, start, end in (m.span for m in self._members if m.head is not head)
        )
        for member in self._members:
            self._slots.put(member, AWAITED | member.place)
            member.place += header.members_at

    def _set_blobs(self, slots: dict[bytes, list[int]]) -> None:
        """Take blobs, which do not come with the archive, out of *slots*."""
        for head in self._heads.values():
            for digest, blob in head.blobs.items():
                self._slots.refer(slots.pop(digest, ()), blob)

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
        turns: Callable[[], Turns] | None = None,
    ) -> None:
        """Fill *room*; *tell* is called with how many bytes have come, and of how many.

        With *wishes*, processes may open the archive while it comes, and what they wish
        comes first; *opened* is called when they may. *turns* are as for
        `lazyimport.delivery.transfer.bring`.

        Raises StoreError, ArchiveError for what is not this archive, or OSError from
        the room.
        """
        self._room = room
        head = self._head
        missing = self._missing()
        plan = plan_of(missing, head, piece_size(0 if wishes else connections))
        here = arrived(missing, CHUNK)
        threads = connections if plan else 0
        alone = taking_turns(threads)
        coming = sum(min(end, self._heads[k].header.size) - at for k, at, end in plan)

        def take(piece: Piece, at: int, data: Data) -> None:
            nonlocal coming
            its = self._heads[piece[0]]
            its.check_part(at, len(data), piece[2])
            with alone:
                self._put(at, data, plan[piece])
            self._put_notes(its, at, data)
            with self._lock:
                coming -= len(data)
                its.moved += len(data)
                tell(self._total - coming, self._total)

        def put_here(pieces: Iterable[Piece]) -> None:
            for piece in pieces:
                key, start, end = piece
                with alone:
                    self._put(start, self._heads[key].data[start:end], here[piece])
            self._put_notes(head, 0, head.data)

        tell(self._total - coming, self._total)
        if wishes:
            self._open_up(missing)
            opened()
            self._entries.clear()
            its_half = piece_size((connections + 1) // 2)
            demand = Demand(plan, wishes, its_half, here)

            def meanwhile() -> None:
                put_here(iter(demand.here, None))
                room.reserve()  # takes time in memory (tmpfs), where much is needed

            bring(head.store, demand, threads, take, demand.urgent, meanwhile, turns)
        else:
            self._entries.clear()
            room.reserve()
            put_here(here)
            bring(head.store, list(plan), connections, take)
        if self.damage is not None:
            raise self.damage
        if awaited := [
            member.digest for member in missing if self._slots.awaits(member)
        ]:
            raise head.lacking(awaited)
        room.write(0, self._beginning())

    def _open_up(self, missing: list[Member]) -> None:
        """Let processes open what is in the room: from now on they see what comes.

        Imports look into directories before they wait for anything, so the listings
        of these are made before anything is decoded; meanwhile those who have opened
        it find what to put on disk.
        """
        beginning = self._beginning()
        self._room.write(HEADER_SIZE, beginning[HEADER_SIZE:])
        self._room.write(0, beginning[:HEADER_SIZE])
        self._is_open = True
        digests = {member.digest: member for member in missing}
        for listing in listings(self._entries):
            member = digests.pop(sha256(listing), None)
            if member is not None and len(listing) == member.length:
                self._write([(member, listing)])
        self._show_slots()

    def _beginning(self) -> bytes:
        """Return header, index and slots of the archive."""
        index = self._index
        return b"".join(
            [self._header.encode(), index.root, index.body, self._slots.data]
        )

    def _settle(self, member: Member, crc: int) -> None:
        """Say that a member, which has been proved, is in place."""
        self._slots.put(member, member.place - self._header.members_at, crc)

    def _show_slots(self) -> None:
        """Let processes see what has been proved, and put in place, by now."""
        if self._is_open:
            with self._lock:  # all slots at once: a call for each would cost more
                self._room.write(self._header.slots_at, bytes(self._slots.data))

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

    def _put(self, start: int, data: Data, members: Sequence[Member]) -> None:
        """Put in place what *data*, at *start* of an object, has of *members*."""
        view, stop = memoryview(data), start + len(data)
        run: list[tuple[Member, Data]] = []
        end = 0
        for member in self._slots.awaited(members, start, stop):  # listings are there
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

    def _put_notes(self, head: Head, start: int, data: Data) -> None:
        """Put in place what *data*, at *start* of an object, has of the notes."""
        low = max(start, head.header.notes_at)
        if head is self._head and start + len(data) > low:
            place = self._header.notes_at + low - head.header.notes_at
            self._room.write(place, memoryview(data)[low - start :])

    def _write(self, run: list[tuple[Member, Data]]) -> None:
        """Write members, which have been proved and lie side by side."""
        if run:
            self._room.write(run[0][0].place, *(data for _, data in run))
            for member, part in run:
                self._settle(member, crc32(part))

    def _put_part(self, member: Member, start: int, part: Data) -> None:
        """Put a part of *member*; when it is the last, prove the whole."""
        _, begin, end = member.span
        as_it_is = member.length == end - begin
        place = member.place + start - begin
        if as_it_is:
            self._room.write(place, part)
        with self._lock:
            if not as_it_is:
                member.held[start] = bytes(part)
            elif member.length == member.size and member.running is None:
                member.running = self._digest_of(member)
            member.missing -= len(part)
            is_last = not member.missing
        try:
            if member.running is not None:
                if member.running.add(place, place + len(part), part):
                    self._settle_running(member, member.running)
            elif not is_last:
                return
            elif as_it_is:
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
        running = self._digest_of(member)
        running.add(member.place, member.place + member.length)
        self._settle_running(member, running)

    def _digest_of(self, member: Member) -> RunningDigest:
        from lazyimport.delivery.running_digest import (
            RunningDigest,
        )  # small ones need none

        start, end = member.place, member.place + member.length
        return RunningDigest(self._room, start, end, checksum=True)

    def _settle_running(self, member: Member, running: RunningDigest) -> None:
        if (actual := running.digest()) != member.digest:
            raise member.head.damaged(member.digest, member.path, actual=actual)
        self._settle(member, running.crc)

    def _proved(self, member: Member, data: Data) -> Data:
        """Return what is to be stored of *member*, which *data* holds."""
        found = member.head.proved(data, member.size, member.digest, member.path)
        return found if member.length == member.size else data
