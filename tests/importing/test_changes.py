"""Changes to the interpreter are undone, unless somebody else has made others."""

from __future__ import annotations

import functools
import os
from types import SimpleNamespace

import pytest

from lazyimport.importing import Changes


@pytest.fixture
def changes() -> Changes:
    return Changes()


def greet(name: str) -> str:
    """Say hello."""
    return f"hello {name}"


def test_undone_in_reverse_order_and_once(changes: Changes) -> None:
    order: list[int] = []
    changes.at_undo(lambda: order.append(1))
    changes.at_undo(lambda: order.append(2))

    changes.undo()
    changes.undo()

    assert order == [2, 1]


def test_every_copy_of_an_item_is_taken_out(changes: Changes) -> None:
    items = ["a", "b"]
    changes.insert(items, 1, "ours")
    assert items == ["a", "ours", "b"]
    items.append("ours")

    changes.undo()

    assert items == ["a", "b"]


@pytest.mark.parametrize("before", [None, "before"])
@pytest.mark.parametrize("value", [None, "ours"])
def test_variables(
    changes: Changes,
    monkeypatch: pytest.MonkeyPatch,
    before: str | None,
    value: str | None,
) -> None:
    monkeypatch.delenv("LAZYIMPORT_TEST", raising=False)
    if before:
        monkeypatch.setenv("LAZYIMPORT_TEST", before)

    changes.set_variable("LAZYIMPORT_TEST", value)
    assert os.environ.get("LAZYIMPORT_TEST") == value
    changes.undo()

    assert os.environ.get("LAZYIMPORT_TEST") == before


def test_what_was_changed_again_stays(
    changes: Changes, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = SimpleNamespace(one=1, two=2)
    monkeypatch.setenv("LAZYIMPORT_TEST", "before")
    changes.replace(module, "one", "ours")
    changes.replace(module, "two", "ours")
    changes.set_variable("LAZYIMPORT_TEST", "ours")
    module.one = os.environ["LAZYIMPORT_TEST"] = "theirs"

    changes.undo()

    assert (module.one, module.two) == ("theirs", 2)
    assert os.environ["LAZYIMPORT_TEST"] == "theirs"


def test_preceded_function_looks_as_before(changes: Changes) -> None:
    module = SimpleNamespace(greet=greet)
    seen: list[str] = []

    changes.precede(module, "greet", seen.append)

    assert (module.greet("you"), seen) == ("hello you", ["you"])
    assert module.greet.__name__ == "greet"
    assert module.greet.__doc__ == "Say hello."
    assert module.greet.__wrapped__ is greet
    changes.undo()
    assert module.greet is greet


def test_what_has_no_name_can_be_preceded(changes: Changes) -> None:
    module = SimpleNamespace(greet=functools.partial(greet, "you"))
    seen: list[int] = []

    changes.precede(module, "greet", lambda: seen.append(1))

    assert (module.greet(), seen) == ("hello you", [1])


@pytest.mark.parametrize("one", [True, False])
def test_twins_stay_one_function(changes: Changes, one: bool) -> None:
    other = greet if one else functools.partial(greet)
    module = SimpleNamespace(greet=greet, __greet__=other)
    seen: list[str] = []

    changes.precede(module, "greet", seen.append, twin="__greet__")

    assert (module.greet is module.__greet__) is one
    assert module.greet("a") == module.__greet__("a")
    assert seen == ["a", "a"]
    changes.undo()
    assert (module.greet, module.__greet__) == (greet, other)
