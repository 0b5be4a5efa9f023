"""``diff``, ``cat`` and ``pull``: what is in archives, and what differs."""

from __future__ import annotations

import json
import re
import shutil
import sys
from typing import NamedTuple

import pytest

from lazyimport.deploy import History
from lazyimport.stores import open_store
from tests.fakes.dashboard import Dashboard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine

CHANGED = "def price(count):\n    return 9\n"


class Two(NamedTuple):
    old: str
    new: str


@pytest.fixture(name="two")
def _two(cli: CommandLine, project: Path) -> Two:
    """Two archives that only the store has: one with its base, which is the other."""
    for name in ("shop/logo.bin", "shop/go.sh"):
        (project / name).write_bytes(b"\0one")
    (project / "shop/crlf.tsv").write_bytes(b"a\tb\r\n")
    old = cli.push(project)
    (project / "shop/prices.py").write_text(CHANGED)
    (project / "shop/exits.py").unlink()
    (project / "shop/more").mkdir()
    (project / "shop/more/__init__.py").write_text("")
    (project / "shop/logo.bin").write_bytes(b"\0two")
    (project / "shop/go.sh").chmod(0o755)
    (project / "shop/crlf.tsv").write_bytes(b"a\tc\r\n")
    new = cli.push(project)
    shutil.rmtree(cli.cache)
    return Two(old, new)


class TestDiff:
    """`lazyimport diff`."""

    def test_with_what_an_application_runs(self, cli: CommandLine, two: Two) -> None:
        """As the record says, or the cluster, which may have it from elsewhere."""
        history = History(str(cli.cache), open_store(cli.url))
        for hash, outcome in ((two.old, "running"), (two.new, "failed")):
            history.add(history.begin("shop", None, hash)._replace(outcome=outcome))
        done = cli.run("diff", "shop", two.new, "--store", cli.url)
        assert f"'shop' runs {two.old}, says the record of deployments" in done.stderr
        assert f"{two.old} -> {two.new}: " in done.stderr

        env = {"env_vars": {"LAZYIMPORT_HASH": two.new}}
        actor = {"actor_id": "1", "name": "SERVE_REPLICA::shop#Shop#r1", "pid": 7}
        actor |= {"class_name": "ServeReplica:shop:Shop", "state": "ALIVE"}
        actor["serialized_runtime_env"] = json.dumps(env)
        with Dashboard() as dashboard:
            dashboard.serve = {"applications": {"shop": {"status": "DEPLOY_FAILED"}}}
            dashboard.actors = [actor]
            words = ("--store", cli.url, "--address", dashboard.address)
            done = cli.run("diff", two.old, "shop", *words)
            unknown = cli.fail("diff", two.old, "nobody", *words)

        assert f"'shop' runs {two.new}, says {dashboard.address}" in done.stderr
        assert "there is no channel 'nobody'" in unknown

    def test_lists_files_with_sizes_and_modules(
        self, cli: CommandLine, two: Two
    ) -> None:
        done = cli.run("diff", *two, "--store", cli.url)

        assert [
            ["CHANGE", "BEFORE", "AFTER", "PATH", "MODULE"],
            ["changed", "5", "5", "shop/crlf.tsv"],
            ["removed", "23", "shop/exits.py", "shop.exits"],
            ["executable now", "4", "4", "shop/go.sh"],
            ["changed", "4", "4", "shop/logo.bin"],
            ["added", "0", "shop/more/__init__.py", "shop.more"],
            ["changed", "40", "31", "shop/prices.py", "shop.prices"],
        ] == [re.split(r"  +", line) for line in done.stdout.splitlines()]
        assert f"{two.old} -> {two.new}: 1 added, 3 changed, 1 exec" in done.stderr
        assert not cli.cache.exists(), "to look costs the node nothing"

    def test_lines_are_a_patch(self, cli: CommandLine, two: Two) -> None:
        done = cli.run("diff", *two, "--lines", "--store", cli.url)

        assert "-    return 10 * count\n+    return 9\n" in done.stdout
        assert "--- a/shop/exits.py\n+++ /dev/null\n" in done.stdout
        assert "Binary files a/shop/logo.bin and b/shop/logo.bin differ" in done.stdout
        assert "-a\tb\\r\n+a\tc\\r\n" in done.stdout

    def test_the_tree_here_is_what_push_would_pack(
        self, cli: CommandLine, two: Two, project: Path
    ) -> None:
        store = ("--store", cli.url)
        same = cli.run("diff", two.new, *store, cwd=project)
        cli.run("diff", two.new, project, "--exit-status", *store)
        (project / "shop/prices.py").write_text("")
        other = cli.run("diff", two.new, project, "--exit-status", *store, code=1)
        without = ("--exclude", "prices.py")
        gone = cli.run("diff", two.new, project, *without, *store)

        assert "" == same.stdout
        assert f"{two.new} -> {two.new}: nothing differs" in same.stderr
        assert "shop.prices" in other.stdout
        assert re.search(r"(?m)^removed .* shop/prices.py", gone.stdout)

    def test_channels_manifests_and_folders(
        self, cli: CommandLine, two: Two, project: Path
    ) -> None:
        pytest.importorskip("ruamel.yaml", reason="needs the extra 'deploy'")
        manifest = cli.folder / "job.yaml"
        manifest.write_text(
            "applications:\n- name: shop\n  import_path: shop.main\n  runtime_env:\n"
            f"    env_vars: {{LAZYIMPORT_HASH: {two.old}}}\n"
        )
        cli.run("channel", "set", "prod", two.new, "--store", cli.url)
        found = cli.run("diff", manifest, "prod", "--json", "--store", cli.url)
        back = cli.run("diff", project, "prod", "-q", "--store", cli.url)
        manifest.write_text(manifest.read_text().replace(two.old, two.old[:12]))
        short = cli.run("diff", manifest, "prod", code=2).stderr

        facts = json.loads(found.stdout)
        assert [two.old, two.new] == [facts["old"], facts["new"]]
        assert {
            "path": "shop/prices.py",
            "change": "changed",
            "module": "shop.prices",
            "before": 40,
            "after": 31,
        } in facts["files"]
        assert ("", "") == (back.stdout, back.stderr)
        assert f"{manifest} names no archive by all 64 digits: give the hash" in short

    def test_other_bytecode_of_the_same_sources(
        self, cli: CommandLine, project: Path
    ) -> None:
        one, other = (
            cli.run("pack", project, "-q", "--optimize", level).stdout.strip()
            for level in "02"
        )
        done = cli.run("diff", one, other, "--exit-status", code=1)

        assert "" == done.stdout
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        assert f"bytecode for {python} -> {python} -OO" in done.stderr

    def test_options_of_packing_need_a_folder(self, cli: CommandLine, two: Two) -> None:
        text = cli.fail("diff", *two, "--exclude", "x", code=2)
        assert "--exclude does nothing without a folder" in text


class TestCat:
    """`lazyimport cat`."""

    def test_bytes_as_they_are(self, cli: CommandLine, two: Two) -> None:
        read = [
            cli.run("cat", two.new, path, "--store", cli.url).stdout
            for path in ("shop/prices.py", "shop/table.py", "shop/more/__init__.py")
        ]

        assert CHANGED == read[0]
        assert read[1].startswith("name_0 = 0\n")  # from the base
        assert "" == read[2]

    def test_no_such_file(self, cli: CommandLine, two: Two) -> None:
        store = ("--store", cli.url)
        text = cli.fail("cat", two.new, "shop/price.py", *store)
        folder = cli.fail("cat", two.new, "shop", *store)

        assert f"{two.new} has nothing at 'shop/price.py'; did you mean" in text
        assert "has a folder at 'shop'" in folder

    def test_only_proved_bytes(self, cli: CommandLine, project: Path) -> None:
        (project / "shop/random.bin").write_bytes(bytes(range(256)))
        name = cli.push(project)
        data = cli.stored(name).read_bytes()
        place = data.index(bytes(range(64)))
        cli.tamper(name, data[:place] + b"\xff" + data[place + 1 :])

        text = cli.fail("cat", name, "shop/random.bin", "--store", cli.url)
        assert f"{cli.url}/archives/{name}: shop/random.bin" in text
        assert "is damaged" in text


class TestPull:
    """`lazyimport pull`."""

    def test_a_copy_with_modes(self, cli: CommandLine, two: Two, project: Path) -> None:
        target = cli.folder / "out"
        target.mkdir()
        done = cli.run("pull", two.new, target, "--store", cli.url)

        assert f"{target}\n" == done.stdout
        paths = [path for path in project.rglob("*") if path.is_file()]
        for path in paths:
            copy = target / path.relative_to(project)
            assert path.read_bytes() == copy.read_bytes()
            assert path.stat().st_mode & 0o111 == copy.stat().st_mode & 0o111
        assert len(paths) == sum(path.is_file() for path in target.rglob("*"))

    def test_refuses_a_folder_that_holds_something(
        self, cli: CommandLine, two: Two
    ) -> None:
        (cli.folder / "out").mkdir()
        (cli.folder / "out/mine").write_text("")
        text = cli.fail("pull", two.new, cli.folder / "out", "--store", cli.url)

        assert f"{cli.folder}/out: not empty" in text
        assert ["mine"] == [path.name for path in (cli.folder / "out").iterdir()]
