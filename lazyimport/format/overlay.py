"""Overlays: a delta as a node has it, to be read together with its base.

The whole index, a slot for each of its members, and only those members that the base
lacks. ``docs/format.md`` section 8.
"""

from __future__ import annotations

import io
from zlib import crc32

from lazyimport.format.archive import Archive
from lazyimport.format.codec import compress
from lazyimport.format.patch import differing_pages
from lazyimport.format.sections import IN_BASE, SLOT, Header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from lazyimport.format.delta import Revision
    from lazyimport.format.index import Index


def combine(revision: Revision, what: str = "this delta") -> Archive:
    """Return the archive that *revision* is as a base and a delta, without a disk.

    It takes the memory of its index and of what the delta brings, all of which is
    proved; the rest stays where the base has it. *what* names it in errors. Raises
    DamagedArchive or MalformedArchive.
    """
    out = io.BytesIO()
    write_overlay(out, revision, raw=True)
    base = revision.base.base or revision.base
    return Archive(
        out.getvalue(), revision.hash, what, sealed=True, base=lambda _: base
    )


def write_overlay(out: BinaryIO, revision: Revision, *, raw: bool) -> Header:
    """Write *revision*, which has a delta, to *out* as an overlay; return its header.

    What the delta brings is proved, and stored *raw* or compressed. The base is a full
    archive: that of the revision, or of the overlay that the revision has as its base.
    """
    index, notes = revision.index, revision.notes
    header = Header(
        index.hash,
        base=(revision.base.base or revision.base).hash,
        overlay=True,
        root_check=crc32(index.root),
        root_size=len(index.root),
        pages_size=len(index.body),
        slots_size=index.slots * SLOT.size,
        notes_size=len(notes),
        blobs=bool(revision.blobs),
    )
    start = out.tell()
    out.seek(start + header.members_at)
    members = _Members(out, revision, raw=raw)
    slots = members.slots()
    header.members_size = members.size
    out.write(notes)
    out.seek(start)
    out.writelines([header.encode(), index.root, index.body, *slots])
    out.seek(start + header.size)
    return header


class _Members:
    """The members of an overlay, written to *out* one after the other: ``size`` bytes.

    Pages that the base has as well are not opened: their slots are those of the base,
    one by one.
    """

    def __init__(self, out: BinaryIO, revision: Revision, *, raw: bool) -> None:
        self._out = out
        self._revision = revision
        self._raw = raw
        self._old = revision.base.index
        self._new = revision.index
        #: number of each page of the base, by its digest
        self._numbers = {self._old.page_digest(n): n for n in range(self._old.pages)}
        self._shared = _shared_slots(revision.base)
        #: slots by the digest of their member
        self._known: dict[bytes, bytes] = {}
        self.size = 0

    def slots(self) -> list[bytes]:
        """Return all slots; what the base lacks is written meanwhile."""
        for number in differing_pages(self._old, self._new):
            for slot, digest in _members(self._old, number):
                self._known[digest] = self._shared[slot]
        found = []
        for number in range(self._new.pages):
            found += self._as_in_base(number) or [
                self._known.get(digest) or self._slot(digest)
                for _, digest in _members(self._new, number)
            ]
        return found

    def _as_in_base(self, number: int) -> list[bytes]:
        """Return the slots of a page that the base has; none unless it shares all."""
        in_base = self._numbers.get(self._new.page_digest(number))
        if in_base is None:
            return []
        slots = self._old.page_slots(in_base)
        found = self._shared[slots.start : slots.stop]
        return found if all(found) else []

    def _slot(self, digest: bytes) -> bytes:
        """Return the slot of a member, which is written unless the base has it."""
        if digest in self._revision.blobs:
            return self._revision.blobs[digest].slot
        in_base = self._revision.slot_in_base(digest)
        slot = b"" if in_base is None else self._shared[in_base]
        if not slot:
            data = self._revision.read(digest)
            if not self._raw:
                data = compress(data)
            self._out.write(data)
            slot = SLOT.pack(self.size, len(data), crc32(data))
            self.size += len(data)
        self._known[digest] = slot
        return slot


def _shared_slots(base: Archive) -> list[bytes]:
    """Return for each slot of *base* the one that an overlay has for the same member.

    Empty ones are for members that *base*, an overlay, has itself: its own base, which
    is that of the other overlay too, does not have them.
    """
    at, end = base.header.slots_at, base.header.members_at
    slots = enumerate(SLOT.iter_unpack(base.buffer[at:end]))
    if base.base is None:
        return [SLOT.pack(IN_BASE, slot, crc) for slot, (_, _, crc) in slots]
    return [SLOT.pack(*of) if of[0] == IN_BASE else b"" for _, of in slots]


def _members(index: Index, number: int) -> Iterator[tuple[int, bytes]]:
    """Yield slot and digest of what the entries of a page have."""
    for entry in index.page_entries(number):
        for slot, _, digest in entry.members():
            yield slot, digest
