"""Requests take turns: so many at a time, and first what somebody waits for."""

from __future__ import annotations

import threading

from lazyimport.delivery.line import Line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def begins(turn: AbstractContextManager[None]) -> threading.Event:
    """Return what is set when *turn* has begun, in a thread that keeps it."""
    begun = threading.Event()

    def take() -> None:
        turn.__enter__()
        begun.set()

    threading.Thread(target=take, daemon=True).start()
    return begun


def test_the_rest_has_half_of_the_connections() -> None:
    line = Line(4)
    with line.rest, line.rest:
        third = begins(line.rest)
        assert not third.wait(0.05)
        with line.first, line.first:
            last = begins(line.first)
            assert not last.wait(0.05)
        assert last.wait(5)
        line.first.__exit__(None, None, None)
    assert third.wait(5)


def test_one_connection_is_for_all() -> None:
    line = Line(1)
    with line.rest:
        first = begins(line.first)
        assert not first.wait(0.05)
    assert first.wait(5)


def test_the_rest_waits_as_long_as_there_is_any_of_the_first() -> None:
    line = Line(4)
    with line.first:
        line.first.__enter__()
        rest = begins(line.rest)
        assert not rest.wait(0.05)
    assert not rest.wait(0.05)
    line.first.__exit__(None, None, None)
    assert rest.wait(5)
