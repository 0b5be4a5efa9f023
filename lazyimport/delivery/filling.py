"""Filling: an archive is decoded and proved while it comes, each member in its place.

The index says how large everything is, so processes may open the archive at once, and
its room is reserved before much of it has come. What a dead process left of it is
proved again, and what holds is not fetched again.
"""

from __future__ import annotations

from _thread import allocate_lock
from zlib import crc32

from lazyimport.delivery.demand import Demand
from lazyimport.delivery.line import taking_turns
from lazyimport.delivery.pieces import CHUNK, arrived, piece_size, plan_of
from lazyimport.delivery.places import Places, is_open
from lazyimport.delivery.rooms import FileRoom
from lazyimport.delivery.transfer import bring
from lazyimport.errors import DamagedArchive
from lazyimport.format import sha256
from lazyimport.format.entries import listings
from lazyimport.format.sections import HEADER_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
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
        self._head = head
        self._heads = {each.key: each for each in (head, *others)}
        self._places = Places(head, *others, raw=raw)
        self._header, self._slots = self._places.header, self._places.slots
        self._lock = allocate_lock()
        self._is_open = False
        self.known: dict[bytes, int] = {}
        self.damage: DamagedArchive | None = None
        self._room: Room
        self.size = self._header.size

    def fits(self, descriptor: int) -> bool:
        """Return whether the archive can be filled into what is in a file.

        Else it must stay as it is, for processes that have it open.
        """
        return self._places.fit(FileRoom(descriptor, self.size))

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
        head, places = self._head, self._places
        if wishes:
            self._let_open()
        places.find()
        missing = self._missing()
        plan = plan_of(missing, head, piece_size(0 if wishes else connections))
        here = arrived(missing, CHUNK)
        threads = connections if plan else 0
        alone = taking_turns(threads)
        coming = sum(min(end, self._heads[k].header.size) - at for k, at, end in plan)
        total = places.total

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
                tell(total - coming, total)

        def put_here(pieces: Iterable[Piece]) -> None:
            for piece in pieces:
                key, start, end = piece
                with alone:
                    self._put(start, self._heads[key].data[start:end], here[piece])
            self._put_notes(head, 0, head.data)

        tell(total - coming, total)
        if wishes:
            self._show_slots()
            opened()
            its_half = piece_size((connections + 1) // 2)
            demand = Demand(plan, wishes, its_half, here)
            if threads:
                self._put_listings(missing)
            pieces = demand if threads else self._wished_first(demand, missing)

            def meanwhile() -> None:
                put_here(iter(demand.here, None))
                room.reserve()  # takes time in memory (tmpfs), where much is needed

            bring(head.store, pieces, threads, take, demand.urgent, meanwhile, turns)
        else:
            places.entries.clear()
            room.reserve()
            put_here(here)
            bring(head.store, list(plan), connections, take)
        self._finish(missing)

    def _finish(self, missing: list[Member]) -> None:
        if self.damage is not None:
            raise self.damage
        if awaited := [
            member.digest for member in missing if self._slots.awaits(member)
        ]:
            raise self._head.lacking(awaited)
        self._room.write(0, self._places.beginning())

    def _let_open(self) -> None:
        """Let processes open what is in the room: from now on they see what comes.

        They find what to put on disk while it is found out here where members lie.
        """
        if not is_open(self._room):
            beginning = self._places.beginning()
            self._room.write(HEADER_SIZE, beginning[HEADER_SIZE:])
            self._room.write(0, beginning[:HEADER_SIZE])
        self._is_open = True

    def _wished_first(self, demand: Demand, missing: list[Member]) -> Iterator[Piece]:
        """Yield what *demand* does; make listings when nothing is wished any more.

        A process that puts files on disk looks into no directory before.
        """
        yield from iter(demand.urgent, None)
        self._put_listings(missing)
        yield from demand

    def _put_listings(self, missing: list[Member]) -> None:
        """Make the listings of directories, which imports look into before they wait.

        So these are not decoded.
        """
        digests = {member.digest: member for member in missing}
        for listing in listings(self._places.entries):
            member = digests.pop(sha256(listing), None)
            if member is not None and len(listing) == member.length:
                self._write([(member, listing)])
        self._places.entries.clear()
        self._show_slots()

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
        for member in self._places.members:
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
