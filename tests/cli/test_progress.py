"""Progress is for terminals; what is said is for everybody."""

from __future__ import annotations

import io
import sys

import pytest

from lazyimport.cli.progress import Progress
from tests.cli.conftest import Terminal, on_terminal


def test_is_shown_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with Progress() as reporter:
        reporter.step("sending [x]\x1b", 1_000_000, 3_000_000, "bytes")
        reporter.say("half")
        reporter.step("reading", 1, 3)
        reporter.step("waiting")
        reporter.step("reading", 3, 3)
    text = terminal.getvalue()

    assert r"sending [x]\x1b " in text
    assert "1.0/3.0 MB" in text
    assert "half\n" in text
    assert "1/3" in text
    assert "waiting" in text
    # The cursor is shown again at the end, and the line is empty.
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "\x1b[2K" in text[text.rindex("waiting") :]


@pytest.mark.parametrize("term", ["dumb", "pipe"])
def test_not_elsewhere(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    stream = Terminal() if term == "dumb" else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", term)
    with Progress() as reporter:
        reporter.step("reading", 1, 3)
        reporter.step("sending")
        reporter.say("done")

    assert "done\n" == stream.getvalue()


def test_quiet_still_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress(quiet=True) as reporter:
        reporter.say("done")
        reporter.warn("odd")

    assert "warning: odd\n" == stream.getvalue()


def test_no_stderr_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under pythonw, or a daemon that closed it."""
    monkeypatch.setattr(sys, "stderr", None)
    with Progress() as reporter:
        reporter.step("reading", 1, 3)
        reporter.say("done")
        reporter.warn("odd")
