"""What ``[tool.lazyimport]`` says to commands, and what it may not say."""

from __future__ import annotations

import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


@pytest.fixture
def project(tmp_path: Path, cli: CommandLine) -> Path:
    folder = tmp_path / "project"
    (folder / "src" / "shop").mkdir(parents=True)
    (folder / "src" / "shop" / "__init__.py").write_text("x = 1\n")
    lines = ["[tool.lazyimport]", f'store = "{cli.url}"', 'check = ["shop:x"]']
    (folder / "pyproject.toml").write_text("\n".join(lines))
    return folder


def test_a_store_counts_once_somebody_has_pushed_there(
    project: Path, cli: CommandLine
) -> None:
    """Whoever wrote the tree would have it sent where they want it."""
    text = cli.fail("push", code=2, cwd=project)
    assert f"only pyproject.toml names the store {cli.url}" in text
    assert not cli.store.exists()

    name = cli.run("push", "--store", cli.url, cwd=project).stdout
    assert cli.run("push", cwd=project).stdout == name
    assert name.strip() in cli.run("ls", cwd=project / "src").stdout
    done = cli.run("push", cwd=project)
    assert f"already there: nothing sent ({cli.url}" in done.stderr
    assert "1 module of src in" in done.stderr


def test_option_and_environment_win(
    project: Path, cli: CommandLine, tmp_path: Path
) -> None:
    cli.run("push", cwd=project, LAZYIMPORT_STORE=cli.url)
    cli.run("push", "--store", tmp_path / "a", cwd=project)
    cli.run("push", cwd=project, LAZYIMPORT_STORE=f"file://{tmp_path}/b")
    assert all(os.listdir(tmp_path / name) for name in ("a", "b"))
    cli.run("run", "0" * 64, "-m", "x", cwd=project, code=1)


def test_another_store_must_be_named_again(
    project: Path, cli: CommandLine, tmp_path: Path
) -> None:
    cli.run("push", "--store", cli.url, cwd=project)
    other = (project / "pyproject.toml").read_text().replace("/store", "/evil")
    (project / "pyproject.toml").write_text(other)
    assert "/evil" in cli.fail("push", code=2, cwd=project)
    assert not (tmp_path / "evil").exists()
    assert "no archives in the node cache" not in cli.run("ls", cwd=project).stderr


def test_a_check_runs_only_where_it_is_asked_for(
    project: Path, cli: CommandLine, tmp_path: Path
) -> None:
    """It runs code of the tree."""
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w').close()\nx = 1\n"
    (project / "src" / "shop" / "__init__.py").write_text(code)
    cli.run("push", "--store", cli.url, cwd=project)
    assert not ran.exists()
    done = cli.run("push", "--check", cwd=project)
    assert "shop:x: fine" in done.stderr
    assert ran.exists()


def test_a_syntax_error_that_a_check_reaches(project: Path, cli: CommandLine) -> None:
    (project / "src" / "shop" / "x.py").write_text("def f(:\n")
    assert "x.py:1" in cli.run("push", "--store", cli.url, cwd=project).stderr
    (project / "src" / "shop" / "__init__.py").write_text("from shop import x\n")
    before = sorted(os.listdir(cli.store / "archives"))
    assert "SyntaxError" in cli.run("push", "--check", cwd=project, code=1).stderr
    assert sorted(os.listdir(cli.store / "archives")) == before


def test_nothing_to_check(project: Path, cli: CommandLine) -> None:
    (project / "pyproject.toml").write_text("")
    text = cli.fail("push", "--store", cli.url, "--check", code=2, cwd=project)
    assert "add MODULE:ATTR to --check" in text
