"""`lazyimport demo` with plain worker processes; with Ray see tests/ray."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest

from lazyimport.cli.demo.application import Application
from lazyimport.cli.demo.workers import end_processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


def figures(text: str) -> dict[str, str]:
    """Return the table at the end."""
    return dict(re.findall(r"^  (\w.+?)  +(\S.*)$", text, re.MULTILINE))


@pytest.mark.slow
def test_tells_the_whole_story(cli: CommandLine, tmp_path: Path) -> None:
    """More than 200 modules go in, fewer are imported, and a change is small."""
    (tmp_path / "t").mkdir()
    done = cli.run("demo", "--workers", "processes", TMPDIR=str(tmp_path / "t"))
    found = figures(done.stdout)

    modules = int(found["modules in the archive"].replace(",", ""))
    assert modules > 200
    assert 10 < int(found["modules imported by a worker"]) < modules
    assert re.fullmatch(r"\d.* [kM]B", found["moved by the first push"])
    assert re.fullmatch(r"[\d.]+ k?B", found["moved by the change"])
    assert "three licences for the team cost 324" in done.stdout
    assert "three licences for the team cost 270" in done.stdout
    assert "a file that does not exist" in done.stdout
    assert "everything removed" in done.stdout
    assert "" == done.stderr
    assert [] == list((tmp_path / "t").iterdir())


@pytest.mark.slow
def test_leaves_nothing_in_a_store_of_ones_own(cli: CommandLine, project: Path) -> None:
    """What others have put there stays, and the store's own empty lock file."""
    name = cli.push(project)
    cli.run("demo", "--workers", "processes", "--store", cli.url)

    files = {path.name for path in cli.store.rglob("*") if path.is_file()}
    assert {name, f"{name}.json", ".lock"} == files


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["app", "push", "tasks"])
def test_interrupted_it_leaves_nothing(
    cli: CommandLine, tmp_path: Path, moment: str, number: signal.Signals
) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    process = cli.start("demo", "--workers", "processes", TMPDIR=str(folder))
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(f"  {moment}"):
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
    assert "pip install" in done.stderr


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
        ended = subprocess.Popen(["true"])
        ended.wait()
        import threading

        reaper = threading.Thread(target=ours.wait)
        reaper.start()
        end_processes(str(tmp_path / "ours"))
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
    app = Application(str(tmp_path / "app"), "stamp")

    def contents() -> dict[str, bytes]:
        return {
            str(path.relative_to(tmp_path)): path.read_bytes()
            for path in (tmp_path / "app").rglob("*")
            if path.is_file()
        }

    app.write(10)
    first = contents()
    app.remove()
    assert not (tmp_path / "app").exists()
    app.write(10)
    assert first == contents()
    app.edit(10, 25)
    second = contents()

    changed = {name for name in first if first[name] != second[name]}
    assert {"app/demo_app/pricing.py"} == changed
    lines = zip(
        first["app/demo_app/pricing.py"].splitlines(),
        second["app/demo_app/pricing.py"].splitlines(),
        strict=True,
    )
    assert [(b"DISCOUNT = 10  # per cent", b"DISCOUNT = 25  # per cent")] == [
        (a, b) for a, b in lines if a != b
    ]


def test_application_where_next_to_nothing_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packages of the standard library make up for it: more than 200 in any case."""
    from lazyimport.cli.demo import application

    few = ("packaging", "cachetools", "pathspec")
    installed = [pair for pair in application._installed() if pair[0] in few]
    monkeypatch.setattr(application, "_installed", lambda: iter(installed))
    app = Application(str(tmp_path / "app"), "stamp")
    app.write(10)

    assert len(list((tmp_path / "app").rglob("*.py"))) > 200
    assert (tmp_path / "app/demo_app/standard/json").is_dir()
