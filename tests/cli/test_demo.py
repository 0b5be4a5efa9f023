"""`lazyimport demo` with plain worker processes; with Ray see tests/ray."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys

import pytest

from lazyimport.cli.demo.application import write
from lazyimport.cli.demo.workers import Workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


@pytest.mark.slow
def test_tells_the_whole_story(cli: CommandLine, tmp_path: Path) -> None:
    """More than 200 modules go in, fewer are imported, and a change is small."""
    (tmp_path / "t").mkdir()
    done = cli.run("demo", "--workers", "processes", TMPDIR=str(tmp_path / "t"))
    text = done.stdout

    packed, sent = re.findall(
        r"^   (\d+) modules, (\S+ [kM]?B) sent", text, re.MULTILINE
    )[0]
    imported = re.findall(r"tasks, (\d+) modules imported", text, re.MULTILINE)
    assert int(packed) > 200
    assert all(10 < int(modules) < int(packed) for modules in imported)
    assert "3 team licenses cost 324" in text
    assert "3 team licenses cost 270" in text
    assert "a file that does not exist" in text
    assert "removed" in text
    assert "" == done.stderr
    assert [] == list((tmp_path / "t").iterdir())

    whole, change, back = table(text)
    assert [sent, sent] == whole[2:]
    assert re.fullmatch(r"[\d.]+ k?B", change[2])
    assert change[2] == change[3]
    assert ["0 B", "0 B"] == back[2:]
    assert all(re.fullmatch(r"\d+\.\d\d s", row[1]) for row in (whole, change, back))


def table(text: str) -> list[list[str]]:
    """Return the rows at the end: what, took, sent, fetched."""
    rows = text.partition("What moved")[2].splitlines()[1:4]
    return [re.split(r"  +", row.strip()) for row in rows]


@pytest.mark.slow
def test_leaves_nothing_in_a_store_of_ones_own(cli: CommandLine, project: Path) -> None:
    """What others have put there stays, and the store's own empty lock file."""
    cli.push(project)
    before = {path for path in cli.store.rglob("*") if path.is_file()}
    cli.run("demo", "--workers", "processes", "--store", cli.url)

    after = {path for path in cli.store.rglob("*") if path.is_file()}
    assert {cli.store / ".lock"} >= after ^ before


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["$ lazyimport push", ">>> lazyimport", "4 tasks"])
def test_interrupted_it_leaves_nothing(
    cli: CommandLine, tmp_path: Path, moment: str, number: signal.Signals
) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    process = cli.start("demo", "--workers", "processes", TMPDIR=str(folder))
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(f"   {moment}"):
            break
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)

    assert 130 == process.returncode, errors
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert [] == list(folder.iterdir())


def test_ray_that_cannot_be_shown_is_an_error_when_asked_for(
    cli: CommandLine, tmp_path: Path
) -> None:
    """A release check must not pass on the stand-in."""
    (tmp_path / "ray").mkdir()  # a folder of that name is no Ray
    words = (
        "-S",
        "-c",
        "import sys; sys.path[:0] = PATHS; from lazyimport.cli import main; sys.exit(main())",
    )
    paths = [str(tmp_path), *[p for p in sys.path if p]]
    done = subprocess.run(
        [
            sys.executable,
            *words[:2],
            words[2]
            .replace("PATHS", repr(paths))
            .replace("from", "sys.modules['ray'] = None; from", 1),
            "demo",
            "--workers",
            "ray",
        ],
        env=cli.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert 1 == done.returncode, done.stderr
    assert "lazyimport: " in done.stderr
    assert "pip install 'ray[default]'" in done.stderr


def test_processes_are_ended_by_the_folder_they_were_started_with(
    tmp_path: Path,
) -> None:
    """Ours, also one that does not heed SIGTERM; never somebody else's."""
    program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print('ready', flush=True); time.sleep(60)"
    )
    ours, other = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE
        )
        for folder in (tmp_path / "ours", tmp_path / "other")
    ]
    try:
        for process in (ours, other):
            assert process.stdout is not None
            assert b"ready\n" == process.stdout.readline()
        ours.terminate()
        import threading

        reaper = threading.Thread(target=ours.wait)
        reaper.start()
        Workers(str(tmp_path / "ours")).stop()
        reaper.join(timeout=30)

        assert -signal.SIGKILL == ours.returncode
        assert other.poll() is None
    finally:
        for process in (ours, other):
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def test_application_is_the_same_whenever_it_is_written(tmp_path: Path) -> None:
    """Else the change would be more than the edit."""

    def written(discount: int) -> dict[str, list[bytes]]:
        write(str(tmp_path), discount)
        files = {
            str(path.relative_to(tmp_path)): path.read_bytes().splitlines()
            for path in (tmp_path / "app").rglob("*")
            if path.is_file()
        }
        shutil.rmtree(tmp_path / "app")
        return files

    first, second = written(10), written(25)
    assert first == written(10)
    assert len([name for name in first if name.endswith(".py")]) > 200

    changed = [name for name in first if first[name] != second[name]]
    assert ["app/demo_shop/prices.py"] == changed
    [(before, after)] = [
        lines
        for lines in zip(first[changed[0]], second[changed[0]], strict=True)
        if lines[0] != lines[1]
    ]
    assert (b"DISCOUNT = 10", b"DISCOUNT = 25") == (before, after)


def test_applications_of_two_runs_differ(tmp_path: Path) -> None:
    """Else one run would delete from a store what another one has put there."""
    texts = set()
    for run in ("one", "two"):
        write(str(tmp_path / run), 10)
        texts.add((tmp_path / run / "app/demo_shop/__init__.py").read_text())
    assert 2 == len(texts)
