"""Reporters: what a library call tells a person while it is still working."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from lazyimport import reporting
from lazyimport.reporting import SILENT, WARNINGS, Lines, Reporter


def test_the_silent_one_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SILENT.warn("the disk is full")
        SILENT.step("fetching", 1, 2, "bytes")
    assert capsys.readouterr() == ("", "")


def test_warnings_become_those_of_python() -> None:
    with pytest.warns(RuntimeWarning, match="the disk is full") as caught:
        WARNINGS.warn("the disk is full")
    assert caught[0].filename == __file__


def test_a_warning_points_to_the_line_that_called_lazyimport() -> None:
    space: dict[str, Any] = {
        "__name__": "lazyimport.delivery.fetch",
        "WARNINGS": WARNINGS,
    }
    exec("def fetch(): WARNINGS.warn('damaged')", space)
    with pytest.warns(RuntimeWarning, match="damaged") as caught:
        space["fetch"]()
    assert caught[0].filename == __file__


def test_progress_is_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        WARNINGS.step("fetching")


def test_a_subclass_overrides_what_it_shows() -> None:
    class Steps(Reporter):
        def __init__(self) -> None:
            self.seen: list[tuple[object, ...]] = []

        def step(
            self,
            text: str,
            done: int | None = None,
            total: int | None = None,
            unit: str = "items",
        ) -> None:
            self.seen.append((text, done, total, unit))

    reporter = Steps()
    reporter.warn("passed over")
    reporter.step("reading")
    reporter.step("sending", 5, 10, "bytes")
    assert reporter.seen == [
        ("reading", None, None, "items"),
        ("sending", 5, 10, "bytes"),
    ]


def test_lines_say_how_far_a_long_step_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(reporting, "monotonic", lambda: now[0])
    warned: list[str] = []
    said: list[str] = []
    lines = Lines(warned.append, said.append)
    for second in range(0, 60, 5):
        now[0] = float(second)
        lines.step("fetching weights", second, 100, "bytes")
    lines.step("fetching weights", 100, 100, "bytes")
    lines.step("fetching others", 0, 5, "bytes")
    lines.warn("the disk is full")

    assert said == [f"fetching weights: {n} % of 100 bytes" for n in (10, 40)]
    assert warned == ["the disk is full"]
