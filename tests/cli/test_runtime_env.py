"""`lazyimport runtime-env`."""

from __future__ import annotations

import json
import shutil

from lazyimport.ray import runtime_env

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


def test_what_the_library_returns(cli: CommandLine, project: Path) -> None:
    hash = cli.push(project)
    done = cli.run("runtime-env", hash[:8], "--store", cli.url)

    assert json.loads(done.stdout) == runtime_env(hash, store=cli.url)
    assert 1 == done.stdout.count("\n")
    done = cli.run("runtime-env", hash, "--plugin", LAZYIMPORT_STORE=cli.url)
    expected = runtime_env(hash, store=cli.url, plugin=True)
    assert json.loads(done.stdout) == expected


def test_without_a_store(cli: CommandLine) -> None:
    done = cli.run("runtime-env", "a" * 64)

    assert json.loads(done.stdout) == runtime_env("a" * 64)
    assert "no store is named" in done.stderr


def test_an_artifact_is_to_be_pushed_first(cli: CommandLine, project: Path) -> None:
    """Its archive is on this machine alone, where no worker finds it."""
    path = shutil.make_archive(str(cli.folder / "shop-1.2"), "zip", project)

    text = cli.fail("runtime-env", path, "--store", cli.url, code=2)

    assert "shop-1.2.zip is no archive in a store: push it" in text
