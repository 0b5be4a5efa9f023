"""What is fetched next: what was wished, with its neighbors, then the rest in order."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

from lazyimport.delivery.demand import Demand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.delivery.feeds import Piece

SIZE = 100


class Member:
    """A member in one slot."""

    def __init__(self, slot: int) -> None:
        self.slots = [slot]


class Wishes:
    """Slots that are wished."""

    def __init__(self) -> None:
        self.slots: list[int] = []

    def read(self) -> list[int]:
        found, self.slots = self.slots, []
        return found


def plan_of(members: list[list[Member]], key: str = "key") -> dict[Piece, list[Any]]:
    return {(key, n * SIZE, (n + 1) * SIZE): each for n, each in enumerate(members)}


def small(count: int) -> dict[Piece, list[Any]]:
    """Return pieces with ten members each, in slots that count from 0."""
    return plan_of([[Member(n * 10 + i) for i in range(10)] for n in range(count)])


def test_nothing_is_wished() -> None:
    plan = small(40)
    demand = Demand(plan, Wishes(), lambda _: 4 * SIZE)  # type: ignore[arg-type]
    assert demand.urgent() is None
    pieces = list(demand)
    assert pieces == [("key", at, at + 400) for at in range(0, 4000, 400)]
    slots = [slot for piece in pieces for each in plan[piece] for slot in each.slots]
    assert slots == list(range(400))


def test_what_is_wished_comes_in_pieces_no_larger_than_the_others() -> None:
    """Where nothing is waited for, these are small, and each is seen by itself."""
    wishes = Wishes()
    demand = Demand(small(40), wishes, lambda _: SIZE)  # type: ignore[arg-type]
    wishes.slots = [250, 260, 270]
    pieces = [demand.urgent() for _ in range(4)]
    assert pieces == [("key", at, at + SIZE) for at in (2500, 2600, 2700, 2800)]


def test_a_wish_comes_first_with_what_lies_behind_it() -> None:
    wishes = Wishes()
    demand = Demand(small(40), wishes, lambda _: 2 * SIZE)  # type: ignore[arg-type]
    rest = iter(demand)
    assert next(rest) == ("key", 0, 200)
    wishes.slots = [255, 251, 9999]
    assert demand.urgent() == ("key", 2500, 2700)
    assert demand.urgent() is None
    wishes.slots = [255]  # which is under way
    assert next(rest) == ("key", 200, 400)
    wishes.slots = [395, 300]
    assert next(rest) == ("key", 3000, 3200)
    assert demand.urgent() == ("key", 3900, 4000)
    pieces = list(rest)
    assert pieces[0] == ("key", 400, 600)
    assert ("key", 2400, 2500) in pieces


def test_a_large_member_is_wished_with_all_of_its_pieces() -> None:
    large = Member(7)
    plan = plan_of([[Member(0)], [large], [large], [large, Member(8)], [Member(9)]])
    wishes = Wishes()
    demand = Demand(plan, wishes, lambda _: 4 * SIZE)  # type: ignore[arg-type]
    wishes.slots = [7]
    piece = demand.urgent()
    assert piece == ("key", 100, 500)
    assert [each.slots for each in plan[piece]] == [[7], [8], [9]]


def test_everything_comes_once_whatever_is_wished() -> None:
    chance = random.Random(5)
    for _ in range(50):
        wishes = Wishes()
        plan = small(30) | plan_of([[Member(900 + n)] for n in range(9)], "other")
        every = dict(plan)
        demand = Demand(plan, wishes, lambda _: chance.randrange(100, 900))  # type: ignore[arg-type]
        rest = iter(demand)
        came: list[Piece] = []
        while sum(end - start for _, start, end in came) < len(every) * SIZE:
            wishes.slots = [chance.randrange(1000) for _ in range(chance.randrange(4))]
            piece = demand.urgent() if chance.random() < 0.5 else next(rest)
            came += [piece] if piece else []
        assert next(rest, None) is None
        came.sort()
        assert all(a[0] != b[0] or a[2] <= b[1] for a, b in pairwise(came))


def test_what_has_arrived_comes_in_order_but_for_wishes() -> None:
    wishes = Wishes()
    here, plan = small(5), plan_of([[Member(100)]], "far")
    demand = Demand(plan, wishes, lambda _: SIZE, here)  # type: ignore[arg-type]
    assert demand.here() == ("key", 0, 100)
    wishes.slots = [45, 5, 100]  # the second has been taken, the third is far away
    assert demand.here() == ("key", 400, 500)
    assert demand.urgent() == ("far", 0, 100)
    wishes.slots = [33]
    assert demand.urgent() is None  # who asks for more hears it for both
    assert demand.here() == ("key", 300, 400)
    assert [demand.here() for _ in range(3)] == [
        ("key", 100, 200),
        ("key", 200, 300),
        None,
    ]
