"""``lazyimport verify``, from a user's seat."""

from __future__ import annotations

import json
import shutil

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


def test_everything_is_proved_and_repaired(cli: CommandLine, project: Path) -> None:
    cli.environ["LAZYIMPORT_STORE"] = cli.url
    full = cli.push(project)
    (project / "shop/prices.py").write_text("def price(count):\n    return 5 * count\n")
    delta = cli.push(project)
    cli.run("channel", "set", "prod", delta)
    assert "2 archives and 4 records" in cli.run("verify").stderr
    data = bytearray(cli.stored(full).read_bytes())
    data[len(data) * 3 // 4] ^= 1
    cli.stored(full).write_bytes(data)

    said = cli.run("verify", code=1)
    found = json.loads(cli.run("verify", "--json", code=1).stdout)
    elsewhere = cli.run("verify", "--repair", "--cache-dir", cli.folder / "new", code=1)
    repaired = cli.run("verify", "--repair")

    assert f"needed by archive {delta[:12]}, channel prod)" in said.stdout
    assert f"archives/{full}" in said.stdout
    assert "--repair sends what this machine has" in said.stderr
    (fault,) = found["faults"]
    assert fault["needed_by"] == [f"archive {delta}", "channel prod"]
    assert "this machine does not have them" in elsewhere.stderr
    assert ": 1 repaired\n" in repaired.stderr
    assert "all sound" in cli.run("verify", delta[:12], full).stderr


def test_what_is_missing_is_not_called_damaged(cli: CommandLine, project: Path) -> None:
    cli.environ["LAZYIMPORT_STORE"] = cli.url
    name = cli.push(project)
    cli.run("channel", "set", "prod", name)
    cli.stored(name).unlink()

    said = cli.run("verify", code=1)

    assert " missing " in said.stdout
    assert "damaged" not in said.stdout + said.stderr
    assert ": 1 missing; --repair" in said.stderr


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="needs prlimit")
def test_a_machine_that_takes_no_files(cli: CommandLine, project: Path) -> None:
    name = cli.push(project)
    cli.environ |= {"LAZYIMPORT_STORE": cli.url, "PYTHONDONTWRITEBYTECODE": "1"}

    text = cli.fail("verify", before=["prlimit", "--fsize=0"])
    assert f"cannot put archive {name} into the node cache {cli.cache}" in text
    assert "ulimit -f" in text

    text = cli.fail("push", project, before=["prlimit", "--fsize=0"])
    assert "No usable temporary directory" in text
    assert "set TMPDIR" in text


def test_a_store_must_be_named(cli: CommandLine) -> None:
    assert "no store is named" in cli.fail("verify", code=2)
