"""`lazyimport init`: the table that the files of a project speak for."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from lazyimport.packing.config import read_config

pytest.importorskip("ruamel.yaml")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine

SERVE = "applications:\n  - name: {0}\n    import_path: {0}.serve:app\n"


@pytest.fixture(name="project")
def _project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "src/shop").mkdir(parents=True)
    (folder / "src/shop/__init__.py").write_text("")
    (folder / "src/shop/serve.py").write_text("app = 1\n")
    (folder / "serve.yaml").write_text(SERVE.format("shop"))
    (folder / "other.yaml").write_text("a: [1, 2]\n")
    (folder / "pyproject.toml").write_bytes(b'[project]\r\nname = "shop"')
    return folder


def test_what_the_files_say(project: Path, cli: CommandLine) -> None:
    os.mkfifo(project / "pipe.yaml")
    hidden = project / ".venv" / "x"
    hidden.mkdir(parents=True)
    (hidden / "serve.yaml").write_text(SERVE.format("theirs"))
    done = cli.run("init", "--store", cli.url, cwd=project)

    text = (
        f'[project]\r\nname = "shop"\r\n\r\n[tool.lazyimport]\r\nstore = "{cli.url}"\r\n'
        'roots = ["src"]\r\nmanifest = "serve.yaml"\r\napp = "shop"\r\n'
        'check = ["shop.serve:app"]\r\n'
    )
    assert (project / "pyproject.toml").read_bytes() == text.encode()
    assert 'manifest = "serve.yaml"' in done.stderr
    assert "'lazyimport deploy --apply --wait' pushes and deploys it now" in done.stderr
    assert read_config(project).manifest == str(project / "serve.yaml")
    cli.run("deploy", "--check", cwd=project)  # the store counts: somebody named it


def test_a_table_stays_as_it_is(project: Path, cli: CommandLine) -> None:
    file = project / "pyproject.toml"
    for text in ("[tool.lazyimport]\n", "tool.lazyimport.exclude = ['x']\n"):
        file.write_text(text)
        error = cli.fail("init", "-y", cwd=project, code=2)
        assert "has a table [tool.lazyimport] already" in error
        assert file.read_text() == text
    for data in (b"[tool\n", b"tool = {a = 1}\n", b"tool = 1\n", b"x = '\xff'\n"):
        file.write_bytes(data)
        cli.fail("init", "-y", cwd=project, code=2)
        assert file.read_bytes() == data


def test_what_nobody_can_tell_is_left_out(project: Path, cli: CommandLine) -> None:
    (project / "deploy").mkdir()
    (project / "deploy/prod.yaml").write_text(SERVE.format("shop"))
    (project / "pyproject.toml").unlink()
    done = cli.run("init", "--store", cli.url, cwd=project)

    assert "which manifest? Left out: there are" in done.stderr
    assert "deploy/prod.yaml" in done.stderr
    table = f'[tool.lazyimport]\nstore = "{cli.url}"\n'
    assert (project / "pyproject.toml").read_text() == table


def test_no_empty_table_is_written(tmp_path: Path, cli: CommandLine) -> None:
    assert "nothing to write" in cli.fail("init", "-y", cwd=tmp_path, code=2)
    assert not (tmp_path / "pyproject.toml").exists()


def test_a_password_stays_out_of_files(project: Path, cli: CommandLine) -> None:
    error = cli.fail("init", "--store", "https://me:pw@host/x", cwd=project, code=2)

    assert "stays out of files" in error
    assert "pw" not in error
    assert "lazyimport" not in (project / "pyproject.toml").read_text()


def ask(cli: CommandLine, project: Path, answers: str) -> int:
    """Run it on a terminal and type *answers*; return the exit code."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "lazyimport", "init"],
        env=cli.environ,
        cwd=project,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, answers.encode())
    try:
        while os.read(ours, 4096):
            pass
    except OSError:
        pass  # the child has ended
    os.close(ours)
    return child.wait(60)


def test_a_person_is_asked(project: Path, cli: CommandLine) -> None:
    both = SERVE.format("shop") + SERVE.format("till").partition("\n")[2]
    (project / "both.yaml").write_text(both)

    assert 0 == ask(cli, project, f"{cli.store}\n1\n2\n")
    config = read_config(project)
    assert cli.url == config.store
    assert str(project / "both.yaml") == config.manifest
    assert "till" == config.app
    assert ("till.serve:app",) == config.check


def test_a_person_may_leave(project: Path, cli: CommandLine) -> None:
    before = (project / "pyproject.toml").read_bytes()

    assert 130 == ask(cli, project, "\x04")
    assert (project / "pyproject.toml").read_bytes() == before
