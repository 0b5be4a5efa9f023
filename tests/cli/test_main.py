"""The parts of the command line that need no process of their own."""

from __future__ import annotations

import io
import re
import sys

import pytest

from lazyimport.cli import main, progress, tables
from lazyimport.errors import StoreUnavailable
from lazyimport.packing import packer

COMMANDS = (
    "cache",
    "channel",
    "channel log",
    "channel set",
    "check",
    "demo",
    "deploy",
    "gc",
    "keygen",
    "ls",
    "materialize",
    "pack",
    "push",
    "rollback",
    "run",
    "show",
    "status",
)


class Terminal(io.StringIO):
    """What a terminal would be sent."""

    def isatty(self) -> bool:
        return True


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        main(["--version"])

    assert 0 == ending.value.code
    python = re.escape(sys.version.split()[0])
    line = rf"lazyimport .+, Python {python}, archive format 1\n"
    assert re.fullmatch(line, capsys.readouterr().out)


def test_nothing_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """Help, but not on stdout: a script that lost its arguments must notice."""
    assert 2 == main([])
    said = capsys.readouterr()
    assert "" == said.out
    assert "lazyimport demo" in said.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ending:
        main([*command.split(), "--help"])
    text = capsys.readouterr().out

    assert 0 == ending.value.code
    assert f"lazyimport {command}" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "what", "whose"),
    [
        ("pushh", "did you mean push?", ""),
        ("channel lgo prod", "did you mean log?", " channel"),
        ("--store x push", "options of a command follow its name", ""),
        ("pack --exlude x", "arguments: --exlude; did you mean --exclude?", " pack"),
        ("pack --nothing-like-it", "arguments: --nothing-like-it\n", " pack"),
        ("push --stor x", "did you mean --store?", " push"),
        ("ls -n -1", "must be a whole number: '-1'", " ls"),
        ("ls -n x", "must be a whole number: 'x'", " ls"),
        ("rollback --timeout x", "must be a number of seconds: 'x'", " rollback"),
        ("run", "required: HASH", " run"),
    ],
)
def test_asked_wrongly(
    words: str, what: str, whose: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two lines: what was wrong, with what may be meant, and where help is."""
    with pytest.raises(SystemExit) as ending:
        main(words.split())
    said = capsys.readouterr()

    assert 2 == ending.value.code
    assert "" == said.out
    first, second = said.err.splitlines(keepends=True)
    assert first.startswith("lazyimport: ")
    assert what in first
    assert f"lazyimport: see 'lazyimport{whose} --help'\n" == second


def test_interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(packer, "pack", interrupt)

    assert 130 == main(["pack", "."])
    said = capsys.readouterr()
    assert "" == said.out
    assert "lazyimport: interrupted\n" == said.err


def test_says_when_trying_again_may_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("no answer from gs://b", url="gs://b")

    monkeypatch.setattr(packer, "pack", fail)

    assert 1 == main(["pack", "."])
    assert (
        "lazyimport: no answer from gs://b\nlazyimport: trying again may help\n"
        == capsys.readouterr().err
    )


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody expected is not for a friendly sentence."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(packer, "pack", fail)

    with pytest.raises(ZeroDivisionError):
        main(["pack", "."])


class TestNotes:
    """Progress is for terminals; what is said is for everybody."""

    def test_progress_is_one_line_that_goes_away(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        notes = progress.Notes()
        notes.progress("reading", 1, 3)
        notes.progress("reading", 3, 3)
        notes.say("done")

        assert "\r\x1b[Kreading 1 of 3\r\x1b[Kdone\n" == stream.getvalue()

    @pytest.mark.parametrize("term", ["dumb", "pipe"])
    def test_no_progress_elsewhere(
        self, monkeypatch: pytest.MonkeyPatch, term: str
    ) -> None:
        stream = Terminal() if term == "dumb" else io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", term)
        notes = progress.Notes()
        notes.progress("reading", 1, 3)
        notes.wait("sending")
        notes.clear()
        notes.say("done")

        assert "done\n" == stream.getvalue()

    def test_quiet_still_warns(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        notes = progress.Notes(quiet=True)
        notes.say("done")
        notes.warn("odd")

        assert "warning: odd\n" == stream.getvalue()

    def test_no_stderr_at_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As under pythonw, or a daemon that closed it."""
        monkeypatch.setattr(sys, "stderr", None)
        notes = progress.Notes()
        notes.progress("reading", 1, 3)
        notes.say("done")
        notes.warn("odd")

    def test_colours_only_where_they_are_wanted(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)
        assert "\x1b[1mx\x1b[0m" == progress.paint("x", "bold", Terminal())
        assert "x" == progress.paint("x", "bold", io.StringIO())
        monkeypatch.setenv("NO_COLOR", "1")
        assert "x" == progress.paint("x", "bold", Terminal())


class TestFigures:
    """Numbers as people read them."""

    @pytest.mark.parametrize(
        ("count", "text"),
        [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (9949, "9.9 kB"),
            (9951, "10 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (24_000_000, "24 MB"),
            (3_100_000_000, "3.1 GB"),
            (5 * 10**15, "5000 TB"),
        ],
    )
    def test_size(self, count: int, text: str) -> None:
        assert text == tables.size(count)

    def test_amount(self) -> None:
        assert "1 module" == tables.amount(1, "module")
        assert "1,234 modules" == tables.amount(1234, "module")

    @pytest.mark.parametrize(
        ("variant", "text"),
        [
            ("cpython-310", "3.10"),
            ("cpython-311-O1", "3.11 -O"),
            ("cpython-315-O2", "3.15 -OO"),
            ("graalpy-1", "graalpy-1"),
        ],
    )
    def test_python_of(self, variant: str, text: str) -> None:
        assert text == tables.python_of(variant)

    def test_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        tables.print_table([("a", "1"), ("long", "22")], right=(1,), indent="  ")
        tables.print_table([])

        assert "  a      1\n  long  22\n" == capsys.readouterr().out
