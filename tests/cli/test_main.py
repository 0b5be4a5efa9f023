"""The parts of the command line that need no process of their own."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import click
import pytest

from lazyimport.cli import console, exit_codes, figures, main, progress
from lazyimport.cli.commands import show
from lazyimport.errors import StoreUnavailable
from tests.cli.conftest import all_commands

COMMANDS = dict(all_commands())


TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


class Terminal(io.StringIO):
    """What a terminal would be sent."""

    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch, name: str = "stderr") -> Terminal:
    """Let a standard stream be a terminal that shows colors."""
    stream = Terminal()
    monkeypatch.setattr(sys, name, stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return stream


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["--version"])

    python = re.escape(sys.version.split()[0])
    line = rf"lazyimport .+, Python {python}, archive format 1\n"
    assert re.fullmatch(line, capsys.readouterr().out)


def test_nothing_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """Help, but not on stdout: a script that lost its arguments must notice."""
    assert 2 == main([])
    said = capsys.readouterr()
    assert "" == said.out
    assert "lazyimport run" in said.err


class TestHelp:
    """Whoever asks, and in whichever way, learns all that can be typed."""

    @pytest.mark.parametrize("command", COMMANDS)
    def test_of_every_command(
        self,
        command: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        assert 0 == main([*command.split(), "--help"])
        text = capsys.readouterr().out
        assert 0 == main(["help", *command.split()])

        assert text == capsys.readouterr().out
        assert f"Usage: lazyimport {command}" in text
        assert max(map(len, text.splitlines())) <= 80

    @pytest.mark.parametrize("command", COMMANDS)
    def test_names_default_and_variable_of_each_option(self, command: str) -> None:
        found = COMMANDS[command]
        context = click.Context(found)
        for parameter in found.params:
            record = parameter.get_help_record(context)
            assert record is not None
            name, text = record
            assert text, name
            if isinstance(parameter, click.Option):
                if parameter.envvar:
                    assert f"env var: {parameter.envvar}" in text
                default = parameter.get_default(context)
                if isinstance(default, str) and default:
                    assert f"default: {default}" in text, name
            assert "_" not in name

    @pytest.mark.parametrize("command", ["ls", "push", "cache prune", "channel set"])
    def test_names_what_is_the_same_everywhere(
        self, command: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main([*command.split(), "--help"])
        text = re.sub(r"\s+", " ", capsys.readouterr().out)

        assert "LAZYIMPORT_VERBOSE" in text
        assert "LAZYIMPORT_CACHE_DIR" in text

    def test_has_the_exit_codes(self, capsys: pytest.CaptureFixture[str]) -> None:
        main(["help"])
        text = capsys.readouterr().out

        codes = re.findall(r"^  (\d+) +(\S.*)$", text, re.MULTILINE)
        assert {str(k): v for k, v in exit_codes.MEANINGS.items()} == dict(codes)

    @pytest.mark.parametrize(
        ("words", "what", "whose"),
        [
            ("help chanel", "no such command: chanel; did you mean channel?", ""),
            ("help channel st", "no such command: st; did you mean set?", " channel"),
            ("help ls all", "lazyimport ls has no action 'all'", " help"),
        ],
    )
    def test_of_nothing_there_is(
        self, words: str, what: str, whose: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert 2 == main(words.split())
        said = capsys.readouterr().err

        assert (
            f"lazyimport: {what}\nlazyimport: see 'lazyimport{whose} --help'\n" == said
        )


class TestCompletion:
    """Shells complete commands, options and hashes."""

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_script(self, shell: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert 0 == main(["completion", shell])
        text = capsys.readouterr().out

        assert f"_LAZYIMPORT_COMPLETE={shell}_complete" in text

    @pytest.mark.parametrize(
        ("words", "offered"),
        [
            ("pu", ["plain,push"]),
            ("channel r", ["plain,rm", "plain,rollback"]),
            ("gc --keep-l", ["plain,--keep-last"]),
            ("completion z", ["plain,zsh"]),
            ("show 4", ["file,4", f"plain,{'4b' * 6}"]),
            (f"ls {'4b' * 7}", [f"file,{'4b' * 7}", f"plain,{'4b' * 7}"]),
            ("cache ls --cache-dir /tm", ["dir,/tm"]),
        ],
    )
    def test_words(
        self,
        words: str,
        offered: list[str],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
    ) -> None:
        (tmp_path / "archives").mkdir(mode=0o700)
        (tmp_path / "archives" / ("4b" * 32)).touch()
        monkeypatch.setenv("LAZYIMPORT_CACHE_DIR", str(tmp_path))
        monkeypatch.setenv("_LAZYIMPORT_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", f"lazyimport {words}")
        monkeypatch.setenv("COMP_CWORD", str(len(words.split(" "))))

        assert 0 == main([])
        assert offered == capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("words", "what", "whose"),
    [
        ("pushh", "no such command: pushh; did you mean push?", ""),
        ("channel lgo prod", "no such command: lgo; did you mean log?", " channel"),
        ("channel", "missing command", " channel"),
        ("--store x push", "--store; options of a command follow its name", ""),
        ("show --jsn x", "no such option: --jsn; did you mean --json?", " show"),
        ("show --nothing-like-it", "no such option: --nothing-like-it\n", " show"),
        ("show --stor x", "did you mean --store?", " show"),
        ("gc --keep-la 3", "no such option: --keep-la; did", " gc"),
        ("ls -n -1", "'-n': '-1' is not a whole number", " ls"),
        ("ls -n x", "'-n': 'x' is not a whole number", " ls"),
        ("pack --exlude x", "--exlude; did you mean --exclude?", " pack"),
        ("pack -j x", "'-j' / '--jobs': 'x' is not a whole number", " pack"),
        ("show a b", "got unexpected extra argument (b)", " show"),
        ("run", "missing argument 'HASH'", " run"),
        ("completion csh", "'csh' is not one of 'bash', 'zsh', 'fish'", " completion"),
        ("gc --older-than", "option '--older-than' requires an argument", " gc"),
    ],
)
def test_asked_wrongly(
    words: str, what: str, whose: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two lines: what was wrong, with what may be meant, and where help is."""
    assert 2 == main(words.split())
    said = capsys.readouterr()

    assert "" == said.out
    first, second = said.err.splitlines(keepends=True)
    assert first.startswith("lazyimport: ")
    assert what in first
    assert f"lazyimport: see 'lazyimport{whose} --help'\n" == second


def test_the_command_line_is_quick_to_start() -> None:
    """Neither rich nor what only some commands need is loaded for the others."""
    program = (
        "import sys; from lazyimport.cli import main; main(sys.argv[1:]); "
        "names = {n.partition('.')[0] for n in sys.modules}; "
        "print(*names & {'rich', 'google', 'obstore', 'ruamel', 'cryptography', 'ray'}); "
        "print('lazyimport.cli.commands.gc' in sys.modules, 'click' in names)"
    )
    command = [sys.executable, "-c", program, "ls", "--cache-dir", "/nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert "\nFalse True\n" == done.stdout


def test_a_worker_loads_neither_click_nor_rich() -> None:
    program = (
        "import sys, lazyimport, lazyimport.activation, lazyimport.cli; "
        "lazyimport.install, lazyimport.activation.start; "
        "print({'click', 'rich'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert "set()\n" == done.stdout


def test_interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(show.command, "callback", interrupt)

    assert 130 == main(["show", "x"])
    said = capsys.readouterr()
    assert "" == said.out
    assert "lazyimport: interrupted\n" == said.err


def fail_to_reach(*_: object, **__: object) -> None:
    raise StoreUnavailable("no answer from gs://b (403; x); set 'a;b'", url="gs://b")


def test_says_when_trying_again_may_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(show.command, "callback", fail_to_reach)

    assert 1 == main(["show", "x"])
    assert (
        "lazyimport: no answer from gs://b (403; x); set 'a;b'\n"
        "lazyimport: trying again may help\n" == capsys.readouterr().err
    )


class TestOnATerminal:
    """Errors have a red headline there, and what to do below it."""

    def test_headline_and_advice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = on_terminal(monkeypatch)
        monkeypatch.setattr(show.command, "callback", fail_to_reach)

        assert 1 == main(["show", "x"])
        lines = terminal.getvalue().splitlines()
        assert lines[0].startswith("\x1b[31mlazyimport: ")
        assert "\x1b[1;31mno answer from gs://b (403; x)\x1b" in lines[0]
        assert ["  set 'a;b'", "  trying again may help"] == lines[1:]

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
        monkeypatch.setattr(show.command, "callback", fail_to_reach)

        assert 1 == main(["show", "x"])
        with progress.Progress() as reporter:
            reporter.step("sending", 1, 3)
            reporter.warn("odd")
        assert "\x1b" not in terminal.getvalue()
        assert terminal.getvalue().startswith("lazyimport: no answer from gs://b (403")

    def test_what_others_wrote_stays_text(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither escape sequences nor the markup of rich."""
        terminal = on_terminal(monkeypatch)
        console.complain("a\x1b[2Jb [bold]c[/bold]; :smile:")
        console.warn("\x1b[2J[red]")

        text = terminal.getvalue()
        assert "\x1b[2J" not in text
        assert r"a\x1b[2Jb [bold]c[/bold]" in text
        assert ":smile:" in text
        assert r"\x1b[2J[red]" in text


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody expected is not for a friendly sentence."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(show.command, "callback", fail)

    with pytest.raises(ZeroDivisionError):
        main(["show", "x"])


class TestProgress:
    """Progress is for terminals; what is said is for everybody."""

    def test_is_shown_and_goes_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = on_terminal(monkeypatch)
        with progress.Progress() as reporter:
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
    def test_not_elsewhere(self, monkeypatch: pytest.MonkeyPatch, term: str) -> None:
        stream = Terminal() if term == "dumb" else io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", term)
        with progress.Progress() as reporter:
            reporter.step("reading", 1, 3)
            reporter.step("sending")
            reporter.say("done")

        assert "done\n" == stream.getvalue()

    def test_quiet_still_warns(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        with progress.Progress(quiet=True) as reporter:
            reporter.say("done")
            reporter.warn("odd")

        assert "warning: odd\n" == stream.getvalue()

    def test_no_stderr_at_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As under pythonw, or a daemon that closed it."""
        monkeypatch.setattr(sys, "stderr", None)
        with progress.Progress() as reporter:
            reporter.step("reading", 1, 3)
            reporter.say("done")
            reporter.warn("odd")


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

    def test_on_a_terminal_that_is_too_narrow_nothing_is_cut(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A hash must be there to be copied."""
        terminal = on_terminal(monkeypatch, "stdout")
        monkeypatch.setenv("COLUMNS", "40")
        console.print_table([("ab" * 32, "1 MB", "why")])

        assert f"{'ab' * 32}  1 MB  why\n" == terminal.getvalue()


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
        assert text == figures.size(count)

    def test_amount(self) -> None:
        assert "1 module" == figures.amount(1, "module")
        assert "1,234 modules" == figures.amount(1234, "module")
