"""Where the members of an object lie, checked before any of them is there."""

from __future__ import annotations

from lazyimport import errors
from lazyimport.format.entries import each_member
from lazyimport.format.sections import BLOB, IN_BASE, SLOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from lazyimport.format.entries import Entry
    from lazyimport.format.sections import Header

    #: offset in the members section, stored size, size, digest, and a path of it
    Stored: TypeAlias = tuple[int, int, int, bytes, str]


def stored_members(
    header: Header, slots: bytes, entries: Iterable[Entry], what: str
) -> list[Stored]:
    """Return the members that the *slots* of *entries* name, in the order they lie in.

    An entry's slots are counted from its own ``slot``. Blobs are left out, and what a
    delta takes from its base.

    Raises MalformedArchive unless the members fill their section: nothing lies
    between them or outside, none is larger than the index says, and none is two.
    """
    found: dict[tuple[int, int], Stored] = {}
    places = list(SLOT.iter_unpack(slots))
    for slot, size, digest, entry in each_member(entries):
        offset, stored, _ = places[slot]
        if offset >= BLOB:
            if offset == IN_BASE and header.base is not None:
                continue
            if offset == BLOB and slot == entry.slot and stored in {0, size}:
                continue
        member = (offset, stored, size, digest, entry.path)
        known = found.setdefault((offset, stored), member)
        if stored > size or (known is not member and known[2:4] != member[2:4]):
            raise _malformed(header, what, f"those of {entry.path!r}")
    end = 0
    members = [found[place] for place in sorted(found)]
    for offset, stored, *_, path in members:
        if offset != end:
            raise _malformed(header, what, f"those before {path!r}")
        end += stored
    if end != header.members_size:
        raise _malformed(header, what, "those at the end")
    return members


def _malformed(header: Header, what: str, which: str) -> errors.MalformedArchive:
    return errors.MalformedArchive(
        f"{what}: members of archive {header.hash} do not lie as its index says: "
        f"{which}",
        hash=header.hash,
    )
