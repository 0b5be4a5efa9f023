"""Pieces: members of objects that come with one request, or parts of a large one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lazyimport.delivery.heads import Head
    from lazyimport.delivery.transfer import Piece
    from lazyimport.format.stored import Stored


class Member:
    """A member: its *span* in an object, its *place* and *slots* in the archive."""

    __slots__ = (
        "digest",
        "head",
        "held",
        "length",
        "missing",
        "path",
        "place",
        "size",
        "slots",
        "span",
    )

    def __init__(
        self,
        head: Head,
        stored: Stored,
        slots: list[int],
        place: int,
        *,
        raw: bool,
    ) -> None:
        offset, length, self.size, self.digest, self.path = stored
        self.head = head
        start = head.header.members_at + offset
        self.span = (head.key, start, start + length)
        self.place = place
        self.length = self.size if raw else length
        self.slots = slots
        #: bytes that have not come, and those that are held until all of it has
        self.missing = length
        self.held: dict[int, bytes] = {}


def cut(members: Iterable[Member], most: int) -> dict[Piece, list[Member]]:
    """Return pieces of *most* bytes with what is to come in them of *members*.

    A member that is larger is cut itself.
    """
    plan: dict[Piece, list[Member]] = {}
    key, start, end = "", -1, -1
    inside: list[Member] = []
    for member in members:
        low, high = max(member.span[1], len(member.head.data)), member.span[2]
        if high <= low:
            continue  # it has come with the first request
        if (member.span[0], low) != (key, end) or high - start > most:
            if inside:
                plan[key, start, end] = inside
            key, start, inside = member.span[0], low, []
            while high - start > most:
                plan[key, start, start + most] = [member]
                start += most
        inside.append(member)
        end = high
    if inside:
        plan[key, start, end] = inside
    return plan
