"""`lazyimport cache`: what is in the node cache, whether it is sound, making room."""

from __future__ import annotations

import json
import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


def age(cli: CommandLine, name: str, days: int) -> None:
    path = cli.cache / "archives" / name
    arrived = path.stat().st_mtime
    os.utime(path, (arrived - days * 86400, arrived))


def change(project: Path) -> None:
    (project / "shop/prices.py").write_text("def price(count):\n    return count\n")


class TestLs:
    def test_last_used_first(self, cli: CommandLine, project: Path) -> None:
        first = cli.push(project)
        change(project)
        second = cli.run("pack", project).stdout.strip()
        age(cli, first, 3)
        done = cli.run("cache", "ls")

        assert [line.split()[0] for line in done.stdout.splitlines()] == [
            "ARCHIVE",
            second,
            first,
        ]
        assert f"2 archives in the node cache {cli.cache}" in done.stderr

    def test_says_what_is_in_use(self, cli: CommandLine, project: Path) -> None:
        name = cli.push(project)
        child = cli.start("run", name, "-m", "shop.waits")
        assert child.stdout is not None
        assert "ready\n" == child.stdout.readline()
        listed = json.loads(cli.run("cache", "ls", "--json").stdout)
        refused = cli.run("cache", "clear", code=1)
        child.kill()
        child.communicate()

        assert [(a["hash"], a["in_use"]) for a in listed["archives"]] == [(name, True)]
        assert "in use" in refused.stdout
        assert "--force" in refused.stderr
        assert "in use" not in cli.run("cache", "ls").stdout

    def test_empty(self, cli: CommandLine) -> None:
        done = cli.run("cache", "ls")

        assert "" == done.stdout
        assert "0 archives" in done.stderr
        assert not cli.cache.exists()


class TestPrune:
    def test_dry_run_first(self, cli: CommandLine, project: Path) -> None:
        name = cli.push(project)
        age(cli, name, 3)
        dry = cli.run("cache", "prune", "--older-than", "2d", "--dry-run")
        assert f"{name}" in dry.stdout
        assert "would be freed" in dry.stderr
        assert (cli.cache / "archives" / name).exists()

        wet = cli.run("cache", "prune", "--older-than", "2d", "--json")
        answer = json.loads(wet.stdout)
        assert [archive["hash"] for archive in answer["removed"]] == [name]
        assert answer["freed"] > 0
        assert not (cli.cache / "archives" / name).exists()

    def test_default_is_the_limit_of_the_environment(
        self, cli: CommandLine, project: Path
    ) -> None:
        name = cli.push(project)
        assert name not in cli.run("cache", "prune").stdout

        done = cli.run("cache", "prune", LAZYIMPORT_CACHE_LIMIT="1kB")
        assert name in done.stdout
        assert "freed" in done.stderr

    def test_what_is_no_size_or_age(self, cli: CommandLine) -> None:
        assert "20GiB" in cli.fail("cache", "prune", "--limit", "much", code=2)
        assert "30d" in cli.fail("cache", "prune", "--older-than", "long", code=2)


class TestVerify:
    def test_sound(self, cli: CommandLine, project: Path) -> None:
        name = cli.push(project)
        cli.run("materialize", name)
        done = cli.run("cache", "verify")

        assert "" == done.stdout
        assert "all sound" in done.stderr

    def test_damage_is_named_removed_and_comes_anew(
        self, cli: CommandLine, project: Path
    ) -> None:
        name = cli.push(project)
        root = cli.run("materialize", name).stdout.strip()
        archive = cli.cache / "archives" / name
        for path in (archive, cli.cache / "trees" / name / "shop/main.py"):
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.chmod(0o600)
            path.write_bytes(data)

        dry = cli.run("cache", "verify", "--dry-run", code=1)
        assert str(archive) in dry.stdout
        assert archive.exists()
        done = cli.run("cache", "verify", code=1)
        assert dry.stdout == done.stdout
        assert "2 damaged" in done.stderr
        assert not archive.exists()

        again = cli.run("materialize", name, "--store", cli.url)
        (cli.cache / "trees" / name / "shop/main.py").unlink()
        gone = cli.run("cache", "verify", "--dry-run", code=1)
        assert ": 1 missing; " in gone.stderr
        (damage,) = json.loads(cli.run("cache", "verify", "--json", code=1).stdout)[
            "damages"
        ]
        assert damage["missing"]
        assert root == again.stdout.strip()
        main = cli.cache / "trees" / name / "shop/main.py"
        assert main.read_text() == (project / "shop/main.py").read_text()
        assert "all sound" in cli.run("cache", "verify").stderr


@pytest.mark.parametrize("action", ["clear", "prune", "verify"])
def test_a_store_is_not_taken_for_a_cache(
    cli: CommandLine, project: Path, action: str
) -> None:
    """Its archives lie in a folder of the same name."""
    name = cli.push(project)

    error = cli.fail("cache", action, "--cache-dir", cli.store)

    assert "is a store, not a node cache" in error
    assert cli.stored(name).exists()


def test_one_folder_is_not_store_and_cache(cli: CommandLine, project: Path) -> None:
    """The first push would find it empty, and mark it; the store's copies would go."""
    cli.store.mkdir()

    for arguments in (["push", project], ["ls"], ["gc"]):
        error = cli.fail(*arguments, "--store", cli.url, "--cache-dir", cli.store)
        assert "are one folder" in error

    assert list(cli.store.iterdir()) == []
