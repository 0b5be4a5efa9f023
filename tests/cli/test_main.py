"""The parts of the command line that need no process of their own."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from lazyimport.cli import main
from lazyimport.cli.commands import show
from lazyimport.errors import StoreUnavailable


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


@pytest.mark.parametrize(
    ("words", "what", "whose"),
    [
        ("pushh", "no such command: pushh; did you mean push?", ""),
        ("channel lgo prod", "no such command: lgo; did you mean log?", " channel"),
        (
            "channel",
            "missing command: get, log, ls, refresh, rm, rollback, set\n",
            " channel",
        ),
        ("--store x push", "--store; options of a command follow its name", ""),
        ("show --jsn x", "no such option: --jsn; did you mean --json?", " show"),
        ("show --nothing-like-it", "no such option: --nothing-like-it\n", " show"),
        ("show --stor x", "did you mean --store?", " show"),
        ("gc --keep-la 3", "no such option: --keep-la; did", " gc"),
        ("ls -n -1", "'-n': '-1' is not a whole number", " ls"),
        ("ls -n x", "'-n': 'x' is not a whole number", " ls"),
        ("pack --exlude x", "--exlude; did you mean --exclude?", " pack"),
        ("pack -j x", "'-j' / '--jobs': 'x' is not a whole number", " pack"),
        ("show a b", "unexpected argument b; it takes HASH\n", " show"),
        ("gc x y", "unexpected argument x; it takes none\n", " gc"),
        ("deploy f 4be81c02", "4be81c02; write --hash 4be81c02\n", " deploy"),
        ("rollback f 4be81c02", "4be81c02; write --to 4be81c02\n", " rollback"),
        ("gc gs://b/x", "unexpected argument gs://b/x; write --store gs://", " gc"),
        ("deploy f /tmp", "unexpected argument /tmp; write --push /tmp\n", " deploy"),
        ("channel get a b", "argument b; it takes NAME\n", " channel get"),
        ("ls --long", "--long does nothing without the hash of an archive", " ls"),
        ("ls --shadowed", "--shadowed does nothing without the hash", " ls"),
        ("ls --cached --store gs://x", "--store does nothing with --cached", " ls"),
        ("ls 4be81c02 -n 3", "-n does nothing with the hash of an archive", " ls"),
        ("ls 4be81c02 --json -l", "--long does nothing with --shadowed or", " ls"),
        (
            "push --store gs://x -m y",
            "--message does nothing without --channel",
            " push",
        ),
        (
            "push --store gs://x --expires 9d",
            "--expires does nothing without --channel",
            " push",
        ),
        ("push --store gs://x --check-python y", "without --check\n", " push"),
        ("pack --platform x", "--platform does nothing without --requirem", " pack"),
        ("status --json -l", "--long does nothing with --json", " status"),
        ("history shop --json -l", "--long does nothing with --json", " history"),
        ("rollback --app x --set-key a.b", "does nothing without FILE", " rollback"),
        ("sign --store gs://x 4be81c02 -m y", "without --channel\n", " sign"),
        ("rollback --app x --timeout 3", "does nothing without --wait", " rollback"),
        ("run", "missing argument 'HASH'", " run"),
        (
            "completion",
            "missing argument 'SHELL'. Choose from: bash, zsh, fish",
            " completion",
        ),
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


#: a Python as it is on Windows, as far as starting goes; then it does what is asked
WINDOWS = """\
import sys
sys.platform = "win32"
sys.modules.update(dict.fromkeys(["posix", "fcntl", "pwd", "grp", "resource"]))
exec(sys.argv[1])
"""


@pytest.mark.parametrize(
    "asked",
    [
        "from lazyimport.cli import main; main(['push', 'src'])",
        "import lazyimport; lazyimport.install('a1' * 32)",
        "from lazyimport import install",
    ],
)
def test_on_windows_it_is_wsls_turn(asked: str) -> None:
    command = [sys.executable, "-c", WINDOWS, asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert 1 == done.returncode
    *traceback, line = done.stderr.splitlines()
    assert "runs on Linux and macOS, and not on Windows itself" in line
    assert "in WSL, the Linux in Windows" in line
    assert not traceback or "main" not in asked


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


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody expected is not for a friendly sentence."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(show.command, "callback", fail)

    with pytest.raises(ZeroDivisionError):
        main(["show", "x"])
