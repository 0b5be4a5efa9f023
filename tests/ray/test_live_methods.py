"""Methods that stand for others are of the same kinds, in the eyes of Serve."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import contextmanager

import pytest

pytest.importorskip("ray")

from ray import cloudpickle, serve

from lazyimport.ray.live_methods import make_method, shapes_of

pytestmark = pytest.mark.ray

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from typing import Any


class Real:
    """What a user writes."""

    word = "no method"
    Inner = type("Inner", (), {})

    def __init__(self, end: list[str]) -> None:
        self.end = end

    def __call__(self) -> str:
        return "called"

    def plain(self, one: int, two: int = 2) -> int:
        return one + two

    @staticmethod
    def alone(one: int) -> int:
        return one

    @classmethod
    def of_class(cls) -> str:
        return cls.__name__

    async def waits(self) -> str:
        await asyncio.sleep(0)
        return "waited"

    def numbers(self, most: int) -> Iterator[int]:
        try:
            yield from range(most)
        finally:
            self.end.append("numbers")

    async def later(self, most: int) -> AsyncIterator[int]:
        try:
            for number in range(most):
                yield number
        finally:
            self.end.append("later")

    @serve.batch
    async def batched(self, values: list[int]) -> list[int]:
        return values

    @serve.multiplexed
    async def model(self, name: str) -> str:
        return name

    def rpc(self, request: Any, grpc_context: Any) -> None:
        pass

    def reconfigure(self, config: Any) -> None:
        pass

    def _hidden(self) -> None:
        pass


class Stands:
    """Has the methods of `Real`, and counts who is inside."""

    def __init__(self, real: Any) -> None:
        self.real, self.inside = real, 0

    @contextmanager
    def _request(self) -> Iterator[Any]:
        self.inside += 1
        yield self.real
        self.inside -= 1

    def _hold(self, result: Any) -> Any:
        return result


KINDS: dict[str, Callable[[Any], bool]] = {
    "__call__": inspect.isfunction,
    "plain": inspect.isfunction,
    "alone": inspect.isfunction,
    "of_class": inspect.isfunction,
    "waits": inspect.iscoroutinefunction,
    "numbers": inspect.isgeneratorfunction,
    "later": inspect.isasyncgenfunction,
    "batched": inspect.iscoroutinefunction,
    "model": inspect.iscoroutinefunction,
    "rpc": inspect.isfunction,
}


@pytest.fixture(name="stands")
def _stands() -> Any:
    """One whose class has been through Serve's pickle, as that of a replica."""
    methods = {
        name: make_method(name, shape) for name, shape in shapes_of(Real).items()
    }
    made = type("Made", (Stands,), {**methods, "__module__": "nowhere"})
    return cloudpickle.loads(cloudpickle.dumps(made))(Real([]))


def test_the_kinds_are_those_of_the_real_ones(stands: Any) -> None:
    assert KINDS.keys() == shapes_of(Real).keys()
    for name, is_kind in KINDS.items():
        assert is_kind(getattr(type(stands), name)), name


def test_serve_sees_whether_a_request_is_passed(stands: Any) -> None:
    assert not inspect.signature(stands).parameters
    assert "grpc_context" in inspect.signature(stands.rpc).parameters
    assert shapes_of(lambda: 1)["__call__"] != shapes_of(lambda request: 1)["__call__"]


def test_they_answer_as_the_real_ones(stands: Any) -> None:
    assert "called" == stands()
    assert 5 == stands.plain(3) == stands.plain(2, two=3)
    assert 7 == stands.alone(7)
    assert "Real" == stands.of_class()
    assert "waited" == asyncio.run(stands.waits())
    assert [0, 1] == list(stands.numbers(2))

    async def all_later() -> list[int]:
        return [number async for number in stands.later(2)]

    assert [0, 1] == asyncio.run(all_later())
    assert 0 == stands.inside


def test_a_stream_that_is_left_ends(stands: Any) -> None:
    """Its own cleaning up is done, and it counts no more."""
    numbers = stands.numbers(9)
    assert 0 == next(numbers)
    assert 1 == stands.inside
    numbers.close()

    async def leave() -> None:
        later = stands.later(9)
        assert 0 == await anext(later)
        await later.aclose()

    asyncio.run(leave())
    assert ["numbers", "later"] == stands.real.end


def test_serve_routes_to_multiplexed_ones() -> None:
    from ray.serve._private import utils

    uses = getattr(utils, "_callable_uses_multiplexing", None)
    if uses is not None:  # of later versions
        made = make_method("model", shapes_of(Real)["model"])
        assert uses(type("Made", (), {"model": made}))
        assert not uses(Stands)
