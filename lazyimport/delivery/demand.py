"""Demand: what is fetched next, while processes run from what is there already."""

from __future__ import annotations

from _thread import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lazyimport.cache.partial import Wishes
    from lazyimport.delivery.feeds import Piece
    from lazyimport.delivery.pieces import Member


#: How many more come with a piece that somebody waits for.
_AHEAD = 1
#: Bytes of a request for what somebody waits for, and of the next ones for the rest,
#: which are to leave the line soon to what is wished then.
_MOST_URGENT = 1 << 20
#: Requests for the rest, after a wish, before they become twice as large.
_STEADY = 4


class Demand:
    """The order in which the pieces of *plan* come.

    First come those that *wishes* name, with their neighbors, then the rest, in the
    order of the plan. What is yielded are several pieces in one, of as many bytes as
    *size_of* returns for how many are left, and *plan* gets it too. What has *arrived*
    already waits to be decoded, in an order of its own, for one thread; one more may
    use the rest.
    """

    def __init__(
        self,
        plan: dict[Piece, list[Member]],
        wishes: Wishes,
        size_of: Callable[[int], int],
        arrived: dict[Piece, list[Member]] | None = None,
    ) -> None:
        self._plan = plan
        #: what has arrived and is left, in order, and where it has what is in a slot
        self._here = dict.fromkeys(arrived or ())
        self._at = {
            slot: piece
            for piece, members in (arrived or {}).items()
            for member in members
            for slot in member.slots
        }
        self._wishes = wishes
        self._size_of = size_of
        self._left = sum(end - start for _, start, end in plan)
        self._pieces = list(plan)
        self._taken = bytearray(len(plan))
        self._next = 0
        #: requests for the rest since the last wish
        self._since = 0
        self._urgent: dict[int, None] = {}
        self._wished: dict[Piece, None] = {}
        self._lock = allocate_lock()
        #: the first and the last piece with the member in a slot
        self._places: dict[int, tuple[int, int]] = {}
        for number, members in enumerate(plan.values()):
            for member in members:
                for slot in member.slots:
                    first, _ = self._places.get(slot, (number, number))
                    self._places[slot] = first, number

    def __iter__(self) -> Iterator[Piece]:
        while True:
            piece = self.urgent() or self._background()
            if piece is None:
                return
            yield piece

    def here(self) -> Piece | None:
        """Return a piece that has arrived: what somebody waits for, or the next one."""
        self._hear()
        with self._lock:
            piece = next(iter(self._wished or self._here), None)
            if piece is not None:
                self._wished.pop(piece, None)
                del self._here[piece]
            return piece

    def urgent(self) -> Piece | None:
        """Return what somebody waits for and has not arrived, or None."""
        self._hear()
        while self._urgent:
            number = next(iter(self._urgent))
            del self._urgent[number]
            if self._is_left(number):
                return self._take(number, _MOST_URGENT, self._urgent)
        return None

    def _hear(self) -> None:
        """Note what is wished."""
        found: set[int] = set()
        with self._lock:
            for slot in self._wishes.read():
                piece = self._at.get(slot)
                if piece in self._here:
                    self._wished[piece] = None
                if slot in self._places:
                    first, last = self._places[slot]
                    found.update(range(first, last + _AHEAD + 1))
                    self._since = 0
            self._urgent.update(dict.fromkeys(sorted(found)))

    def _background(self) -> Piece | None:
        while self._next < len(self._taken):
            if self._is_left(self._next):
                most = _MOST_URGENT << self._since // _STEADY
                self._since += 1
                return self._take(self._next, most)
            self._next += 1
        return None

    def _is_left(self, number: int) -> bool:
        return number < len(self._taken) and not self._taken[number]

    def _take(
        self, number: int, most: int, among: dict[int, None] | None = None
    ) -> Piece:
        """Return a piece with those that follow it, *among* some if these are given."""
        key, start, end = self._pieces[number]
        members = self._plan[key, start, end]
        most = min(most, self._size_of(self._left))
        self._taken[number] = True
        while self._is_left(number := number + 1):
            piece = self._pieces[number]
            if piece[:2] != (key, end) or piece[2] - start > most:
                break
            if among is not None and number not in among:
                break
            more = self._plan[piece]
            same = bool(members and more) and members[-1] is more[0]
            members = members + more[same:]
            self._taken[number] = True
            end = piece[2]
        self._plan[key, start, end] = members
        self._left -= end - start
        return key, start, end
