"""``lazyimport gc``, from a user's seat."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


@pytest.fixture(name="pushed")
def _pushed(cli: CommandLine, project: Path) -> list[str]:
    """Three versions, the second a delta to the first, all of them old."""
    cli.environ["LAZYIMPORT_STORE"] = cli.url
    names = [cli.push(project)]
    (project / "shop/prices.py").write_text("def price(count):\n    return 5 * count\n")
    names.append(cli.push(project))
    (project / "shop/table.py").write_text(f"x = {os.urandom(8000).hex()!r}\n")
    names.append(cli.push(project))
    for number, name in enumerate(names):
        when = time.time() - (90 - number) * 86400
        os.utime(cli.stored(name), (when, when))
    return names


def point(cli: CommandLine, channel: str, name: str) -> None:
    """Point a channel to an archive, and let that be long ago."""
    cli.run("channel", "set", channel, name)
    for path in (cli.store / "gc/pushed").rglob("*"):
        when = time.time() - 100 * 86400
        os.utime(path, (when, when))


def left(cli: CommandLine) -> set[str]:
    return {path.name for path in (cli.store / "archives").iterdir()}


def test_dry_run_tells_and_deletes_nothing(cli: CommandLine, pushed: list[str]) -> None:
    point(cli, "prod", pushed[1])

    done = cli.run("gc")

    rows = [line.split(maxsplit=4) for line in done.stdout.splitlines()[1:]]
    assert [(row[0], row[-1]) for row in rows] == [
        (pushed[2][:12], "goes"),
        (pushed[1][:12], "stays: channel prod"),
        (pushed[0][:12], f"stays: base of {pushed[1][:12]}"),
    ]
    assert "1 archive (" in done.stderr
    assert "would go, 2 archives (" in done.stderr
    assert "add --delete" in done.stderr
    assert "--keep-from FILE" in done.stderr
    assert left(cli) == set(pushed)

    found = json.loads(cli.run("gc", "--json").stdout)
    assert [pushed[2]] == [archive["hash"] for archive in found["goes"]]
    channel = {"kind": "channel", "name": "prod", "number": None}
    base = {"kind": "base", "name": pushed[1], "number": None}
    assert {pushed[1]: [channel], pushed[0]: [base]} == {
        archive["hash"]: archive["reasons"] for archive in found["stays"]
    }


def test_delete(cli: CommandLine, pushed: list[str]) -> None:
    point(cli, "prod", pushed[1])

    done = cli.run("gc", "--delete")

    assert pushed[2] in done.stdout
    assert "deleted 1 archive, " in done.stderr
    assert left(cli) == set(pushed[:2])
    assert "0 archives (0 B) would go" in cli.run("gc").stderr
    assert "15 []\n" == cli.run("run", "prod", "-m", "shop.main").stdout


@pytest.mark.slow
def test_hashes_from_a_manifest(
    cli: CommandLine, pushed: list[str], tmp_path: Path
) -> None:
    manifest = tmp_path / "service.yaml"
    manifest.write_text(f"env_vars:\n  LAZYIMPORT_HASH: {pushed[1]}\n")

    cli.run("gc", "--keep-from", manifest, "--keep", pushed[2][:8], "--delete")
    assert left(cli) == set(pushed)

    command = [sys.executable, "-m", "lazyimport", "gc", "--delete", "--keep-from", "-"]
    subprocess.run(
        command, input=manifest.read_text(), text=True, check=True, env=cli.environ
    )
    assert left(cli) == set(pushed[:2])


@pytest.mark.slow
def test_rules(cli: CommandLine, pushed: list[str]) -> None:
    assert cli.run("gc", "--older-than", "2124h").stdout.count("goes") == 2
    assert cli.run("gc", "--keep-last", "3").stdout.count("goes") == 0
    for name in (*pushed, pushed[0]):
        point(cli, "dev", name)
    assert cli.run("gc").stdout.count("goes") == 0
    assert "no channel 'other' in" in cli.fail("gc", "--keep-channel", "other")
    cli.run("channel", "set", "other", pushed[0])
    options = ["--keep-channel", "other", "--older-than", "1h"]
    rows = cli.run("gc", *options).stdout
    assert rows.count("goes") == 2
    assert f"{pushed[0][:12]}" in rows
    assert cli.run("gc", *options, "--keep-channel", "all").stdout.count("goes") == 0
    assert cli.run("gc", "--history", "2").stdout.count("goes") == 1


@pytest.mark.slow
def test_wrong_in_many_ways(cli: CommandLine, pushed: list[str]) -> None:
    assert "at least 1h" in cli.fail("gc", "--older-than", "59m", code=2)
    assert "not an age" in cli.fail("gc", "--older-than", "soon", code=2)
    assert "no store is named" in cli.fail("gc", code=2, LAZYIMPORT_STORE="")
    assert "No such file" in cli.fail("gc", "--keep-from", "none.yaml")


def test_what_should_name_hashes_and_names_none(
    cli: CommandLine, pushed: list[str]
) -> None:
    """A command before the pipe that failed must not cost the archives in use."""
    empty = cli.folder / "empty.yaml"
    empty.write_text("Unable to connect to the server\n")

    error = cli.fail("gc", "--keep-from", empty, "--delete", code=2)

    assert f"--keep-from {empty} is not complete: no hash in it" in error
    assert len(list((cli.store / "archives").iterdir())) == len(pushed)


SPEC = """\
  kind: RayCronJob
  metadata:
    name: nightly
    uid: 6e0a
  spec:
    jobTemplate:
      runtimeEnvYAML: |
        env_vars:
          LAZYIMPORT_HASH: {hash}
  status:
    active: []
"""


def as_list(*hashes: str) -> str:
    """Return what ``kubectl get -o yaml`` prints of several objects."""
    items = ["- apiVersion: ray.io/v1\n" + SPEC.format(hash=hash) for hash in hashes]
    end = "kind: List\nmetadata:\n  resourceVersion: ''\n"
    return "apiVersion: v1\nitems:\n" + "".join(items) + end


def test_half_of_a_list_is_no_list(cli: CommandLine, pushed: list[str]) -> None:
    """Wherever it was cut: what stood behind that may be in use."""
    pytest.importorskip("ruamel.yaml", reason="needs the extra 'deploy'")
    text = as_list(*pushed)
    listed = cli.folder / "used.yaml"
    as_json = json.dumps(
        {"apiVersion": "v1", "items": [{"x": pushed[0]}], "kind": "List"}
    )
    page = text.replace("resourceVersion: ''", "continue: abc")
    one = "apiVersion: ray.io/v1\n" + textwrap.dedent(SPEC.format(hash=pushed[0]))
    halves = [text[: text.index(name) + at] for name in pushed for at in (20, 64, 66)]
    halves += [text[: text.index(end)] for end in ("kind: List", "uid", "status")]
    halves += [as_json[:-1], as_json[:-20], page, one[: one.index("status")]]

    for half in halves:
        listed.write_text(half)
        error = cli.fail("gc", "--keep-from", listed, "--delete", code=2)
        assert f"--keep-from {listed} is not complete" in error, half
    for whole in (text, as_json, one, f"---\n{text}---\n{one}", pushed[0], f"{text}\n"):
        listed.write_text(whole)
        cli.run("gc", "--keep-from", listed)
    listed.write_text(text)
    cli.run("gc", "--keep-from", listed, "--delete")
    assert left(cli) == set(pushed)


def test_leftovers_are_told_and_deleted(cli: CommandLine, pushed: list[str]) -> None:
    unfinished = cli.store / f"archives/.{pushed[0]}.0a1b2c3d.tmp"
    unfinished.write_bytes(b"x")
    os.utime(unfinished, (1, 1))

    assert ", 1 leftover would go" in cli.run("gc", "--keep-last", "9").stderr
    assert unfinished.exists()
    done = cli.run("gc", "--keep-last", "9", "--delete")
    assert "and 1 leftover" in done.stderr
    assert not unfinished.exists()


def test_hashes_count_in_capitals_too(cli: CommandLine, pushed: list[str]) -> None:
    pytest.importorskip("ruamel.yaml", reason="needs the extra 'deploy'")
    manifest = cli.folder / "manifest.yaml"
    manifest.write_text(f"LAZYIMPORT_HASH: {pushed[0].upper()}\n")
    done = cli.run("gc", "--keep-from", manifest, "--keep-last", "0")

    (row,) = [line for line in done.stdout.splitlines() if pushed[0][:12] in line]
    assert "named" in row
    assert "not the name of a channel" in cli.fail("gc", "--keep-channel", "a/b")
    cli.tamper(pushed[0], b"x" * 300)
    text = cli.fail("gc", "--delete")
    assert pushed[0] in text
    assert "(nothing had been deleted by then)" in text
    assert left(cli) == set(pushed)
