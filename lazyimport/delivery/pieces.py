"""Pieces: members of objects that come with one request, or parts of a large one.

Those that the first request has brought already are pieces, too.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lazyimport.delivery.feeds import Piece
    from lazyimport.delivery.heads import Head
    from lazyimport.delivery.running_digest import RunningDigest
    from lazyimport.format.stored import Stored


#: Bytes of the pieces that a plan for those who wait is made of.
CHUNK = 1 << 18
#: Bytes of a piece: enough to outweigh asking for it; and few enough that a connection
#: with a timeout brings all of them.
_LEAST = 4 << 20
_MOST = 16 << 20
#: So many times as many pieces as connections would bring what is left.
_EACH = 2


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
        "running",
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
        #: of one that comes in parts, as it is to lie in the archive
        self.running: RunningDigest | None = None


def lay_out(
    heads: Iterable[Head],
    slots: dict[bytes, list[int]],
    directories: set[bytes],
    *,
    raw: bool,
) -> tuple[list[Member], int, int]:
    """Return the members of *heads* that *slots* name, which are taken out of these.

    With them come the bytes that all of them take in the archive, and that those take
    which a start reads. Those of *directories* are raw.
    """
    members: list[Member] = []
    end = warm = 0
    for head in heads:
        for stored in head.members:
            digest = stored[3]
            if (its := slots.pop(digest, None)) is None:
                continue
            members.append(
                Member(head, stored, its, end, raw=raw or digest in directories)
            )
            end += members[-1].length
            if stored[0] < head.header.warm:
                warm = end
    return members, end, warm


def piece_size(connections: int, behind: int = 0) -> Callable[[int], int]:
    """Return what says how large a piece is, for how many bytes are left.

    They come over so many *connections*, and others *behind* them. All connections are
    done at about the same time if pieces become smaller towards the end.
    """
    if not connections:  # nothing is waited for
        return lambda _: CHUNK
    share = _EACH * connections
    return lambda left: max(min((left + behind) // share, _MOST), _LEAST)


def cut(
    members: list[Member], size_of: Callable[[int], int]
) -> dict[Piece, list[Member]]:
    """Return pieces with what is to come in them of *members*.

    *size_of* returns the bytes of one at most, for how many are left. A member that is
    larger is cut itself.
    """
    coming = [(m, max(m.span[1], len(m.head.data)), m.span[2]) for m in members]
    coming = [part for part in coming if part[1] < part[2]]  # that is not here yet
    left = sum(high - low for _, low, high in coming)
    plan: dict[Piece, list[Member]] = {}
    key, start, end, most = "", -1, -1, 0
    inside: list[Member] = []
    for member, low, high in coming:
        if (member.span[0], low) != (key, end) or high - start > most:
            if inside:
                plan[key, start, end] = inside
            key, start, inside, most = member.span[0], low, [], size_of(left)
            while high - start > most:
                plan[key, start, start + most] = [member]
                start += most
                left -= most
                most = size_of(left)
        inside.append(member)
        left -= high - max(low, start)
        end = high
    if inside:
        plan[key, start, end] = inside
    return plan


def plan_of(
    members: list[Member], head: Head, size_of: Callable[[int], int]
) -> dict[Piece, list[Member]]:
    """Return what `cut` does, and what else is to come of the object of *head*.

    That is the notes, and one byte more than there is, to see that none follows.
    """
    plan = cut(members, size_of)
    key, size = head.key, head.header.size
    if len(head.data) < size:
        notes = (key, max(len(head.data), head.header.notes_at), size)
        last = next((p for p in plan if p[::2] == (key, notes[1])), notes)
        plan[key, last[1], size + 1] = plan.pop(last, [])
    return plan


def arrived(members: Iterable[Member], most: int) -> dict[Piece, list[Member]]:
    """Return pieces of about *most* bytes that have come, with their *members*."""
    pieces: dict[Piece, list[Member]] = {}
    inside: list[Member] = []
    for member in members:
        if member.span[1] >= len(member.head.data):
            continue
        if inside:
            key, start, _ = inside[0].span
            if member.span[0] != key or member.span[2] - start > most:
                _close(inside, pieces)
                inside = []
        inside.append(member)
    if inside:
        _close(inside, pieces)
    return pieces


def _close(inside: list[Member], pieces: dict[Piece, list[Member]]) -> None:
    last = inside[-1]
    end = min(last.span[2], len(last.head.data))
    pieces[last.head.key, inside[0].span[1], end] = inside
