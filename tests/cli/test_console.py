"""Tables, diffs and errors: plain lines everywhere, and more on a terminal."""

from __future__ import annotations

import json
import re

import pytest

from lazyimport.cli import console, progress
from tests.cli.conftest import on_terminal


class TestErrors:
    """Errors have a red headline there, and what to do below it."""

    def test_headline_and_advice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = on_terminal(monkeypatch)
        console.complain("no answer from gs://b (403; x); set 'a;b'", "try again")
        lines = terminal.getvalue().splitlines()
        assert lines[0].startswith("\x1b[31mlazyimport: ")
        assert "\x1b[31m\x1b[1mno answer from gs://b (403; x)\x1b" in lines[0]
        assert ["  set 'a;b'", "  try again"] == lines[1:]

    @pytest.mark.parametrize(
        ("text", "headline", "advice"),
        [
            ("no x; add y; or z", "no x", "add y; or z"),
            ("not a store: 'x' (a URL; or ./x)", "not a store: 'x'", "a URL; or ./x"),
            ("https://h: 403 (no); ask (h)", "https://h: 403 (no)", "ask (h)"),
            ("it isn't there; look", "it isn't there", "look"),
            ("just so", "just so", ""),
            ("(all of it)", "(all of it)", ""),
            ("open ( only; x", "open ( only; x", ""),
        ],
    )
    def test_what_to_do_stands_below(
        self,
        monkeypatch: pytest.MonkeyPatch,
        text: str,
        headline: str,
        advice: str,
    ) -> None:
        terminal = on_terminal(monkeypatch)
        console.complain(text)

        plain = re.sub(r"\x1b\[[\d;]*m", "", terminal.getvalue())
        lines = [f"lazyimport: {headline}", *[f"  {advice}"] * bool(advice)]
        assert lines == plain.splitlines()

    @pytest.mark.parametrize("variable", ["NO_COLOR=1", "TERM=dumb"])
    def test_not_with_no_color(
        self, monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        terminal = on_terminal(monkeypatch)
        monkeypatch.setenv(*variable.split("="))
        console.complain("no answer; look")
        with progress.Progress() as reporter:
            reporter.step("sending", 1, 3)
            reporter.warn("odd")
        assert "\x1b" not in terminal.getvalue()
        assert terminal.getvalue().startswith("lazyimport: no answer; look\n")

    def test_a_note_has_what_commands_take_of_a_hash(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Nothing of a path, an address or a digest is left out, nor elsewhere."""
        hash = "ab" * 32
        texts = f"{hash} -> {hash}", f"/trees/{hash}, SHA-256 {hash}, #sha256={hash}"
        for text in texts:
            console.say(text)
        assert "\n".join([*texts, ""]) == capsys.readouterr().err

        terminal = on_terminal(monkeypatch)
        for text in texts:
            console.say(text)
        short = f"{'ab' * 6} -> {'ab' * 6}"
        assert [short, texts[1]] == terminal.getvalue().splitlines()

    def test_what_others_wrote_stays_text(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither escape sequences nor the markup of rich."""
        terminal = on_terminal(monkeypatch)
        console.complain("a\x1b[2Jb [bold]c[/bold]; :smile:")
        console.complain("\u2028one line\x85of it\n")
        console.warn("\x1b[2J[red]")

        text = terminal.getvalue()
        assert "\x1b[2J" not in text
        assert r"a\x1b[2Jb [bold]c[/bold]" in text
        assert ":smile:" in text
        assert r"\u2028one line\x85of it" in text
        assert r"\x1b[2J[red]" in text


class TestTables:
    """Columns everywhere; on a terminal, columns that fit it."""

    ROWS = (("a", "1", "x" * 60), ("long", "22", "y\x1b"))
    HEADER = ("NAME", "#", "")

    def test_plain(self, capsys: pytest.CaptureFixture[str]) -> None:
        console.print_table([("a", "1"), ("long", "22")], right=(1,), indent="  ")
        console.print_table([])
        console.print_table([], header=("NAME",))

        assert "  a      1\n  long  22\n" == capsys.readouterr().out

    def test_on_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = on_terminal(monkeypatch, "stdout")
        monkeypatch.setenv("COLUMNS", "40")
        console.print_table(self.ROWS, header=self.HEADER, right=(1,))

        lines = terminal.getvalue().splitlines()
        assert "\x1b[1mNAME" in lines[0]
        assert re.fullmatch(r"a      1  x+ *", lines[1])
        assert any(r"long  22  y\x1b" in line for line in lines)
        assert all(len(line) <= 40 for line in lines[1:])

    @pytest.mark.parametrize(
        ("columns", "shown"),
        [
            (120, f"{'ab' * 32}  2026-11-29T06:03:12Z    me@host  1 MB"),
            (60, "abababababab  2026-11-29T06:03:12Z    me@host  1 MB"),
            (50, "abababababab  2026-11-29T06:03:12Z  me@host  1 MB"),
            (48, "abababababab  2026-11-29 06:03  me@host  1 MB"),
            (42, "abababab  2026-11-29 06:03  me@host  1 MB"),
            (20, "abababab  2026-11-29 06:03  me@host  1 MB"),
        ],
    )
    def test_what_does_not_fit_is_shortened(
        self, monkeypatch: pytest.MonkeyPatch, columns: int, shown: str
    ) -> None:
        """Commands take what is left of a hash, also where no window is wide enough."""
        terminal = on_terminal(monkeypatch, "stdout")
        monkeypatch.setenv("COLUMNS", str(columns))
        row = ("ab" * 32, "2026-11-29T06:03:12Z", "", "me@host", "1 MB")
        console.print_table([row])

        assert shown == terminal.getvalue().rstrip()

    def test_long_texts_are_cut_in_the_middle(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        terminal = on_terminal(monkeypatch, "stdout")
        monkeypatch.setenv("COLUMNS", "50")
        link = "https://ci.example/shop/runs/" + "1" * 30
        console.print_table([("push", link, "why")], header=("WHAT", "BY", "MESSAGE"))

        line = terminal.getvalue().splitlines()[1].rstrip()
        assert re.fullmatch(r"push  https://ci.exampl.*…1+  why", line)
        assert len(line) == 50 - len("MESSAGE") + len("why")

    def test_sentences_that_get_too_little_room_go_below(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        terminal = on_terminal(monkeypatch, "stdout")
        monkeypatch.setenv("COLUMNS", "40")
        why = f"archive {'ab' * 32} is neither in the store nor in the node cache"
        rows = [("shop", "DEPLOY_FAILED", why), ("till", "RUNNING", "")]
        console.print_table(rows, header=("APPLICATION", "STATE", "REASON"))

        assert terminal.getvalue().splitlines() == [
            "\x1b[1mAPPLICATION  STATE\x1b[0m",
            "shop         DEPLOY_FAILED",
            "  archive abababababab is neither in the",
            "  store nor in the node cache",
            "till         RUNNING",
        ]


class TestDiff:
    """Lines of a diff as they are, and colored on a terminal."""

    TEXT = "--- a\n@@ -1 +1 @@\n-x\n+y\x1b\n\\ no newline\n"

    def test_plain(self, capsys: pytest.CaptureFixture[str]) -> None:
        console.print_diff(self.TEXT)

        assert self.TEXT.replace("\x1b", r"\x1b") == capsys.readouterr().out

    def test_on_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = on_terminal(monkeypatch, "stdout")
        console.print_diff(self.TEXT)

        text = terminal.getvalue()
        assert "\x1b[31m-x\x1b[0m\n" in text
        assert "\x1b[32m+y\\x1b\x1b[0m\n" in text
        assert text.endswith("\n\\ no newline\n")


def test_json_has_times_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever number a service gives them as; others are numbers."""
    console.print_json([{"since": 5, "used": 5.5, "started": None, "size": 5}])

    (found,) = json.loads(capsys.readouterr().out)
    text = "1970-01-01T00:00:05Z"
    assert {"since": text, "used": text, "started": None, "size": 5} == found
