"""What Ctrl-C and SIGTERM do to a command, from its first import to a program's end."""

from __future__ import annotations

import os
import signal

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine

ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def test_while_modules_are_loaded_it_ends_without_a_traceback(
    cli: CommandLine, tmp_path: Path
) -> None:
    """The first of them that takes long is click, which imports many others."""
    (tmp_path / "click.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = cli.run("ls", code=-signal.SIGINT, PYTHONPATH=path, PYTHONSAFEPATH="")

    assert ("", "") == (done.stdout, done.stderr)


@pytest.mark.parametrize("number", ENDING)
def test_a_command_that_works_says_that_it_was_interrupted(
    cli: CommandLine, project: Path, tmp_path: Path, number: signal.Signals
) -> None:
    cli.push(project)
    used = tmp_path / "used"
    os.mkfifo(used)
    process = cli.start("gc", "--store", cli.url, "--keep-from", used)
    with used.open("w"):  # once the command reads it
        process.send_signal(number)
        said, errors = process.communicate(timeout=60)

    assert (130, "", "lazyimport: interrupted\n") == (process.returncode, said, errors)


@pytest.mark.parametrize("number", ENDING[1:])
def test_a_program_under_run_ends_as_under_python(
    cli: CommandLine, project: Path, number: signal.Signals
) -> None:
    process = cli.start("run", cli.push(project), "-m", "shop.waits")
    assert process.stdout is not None
    assert "ready\n" == process.stdout.readline()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)

    assert (-number, "") == (process.returncode, errors)
