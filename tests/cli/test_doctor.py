"""``doctor``: each thing that can be wrong with a machine, found on one that has it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import venv
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from lazyimport.cache.layout import Layout
from lazyimport.delivery import doctor
from lazyimport.delivery.doctor import examine
from lazyimport.settings import Settings
from lazyimport.stores import open_store
from lazyimport.stores.memory import MemoryStore
from tests.fakes.dashboard import Dashboard
from tests.support.disks import mounted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


ARCHIVE_PLUGIN = '[{"class": "lazyimport.ray.plugin.ArchivePlugin"}]'


def failures(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    found = json.loads(done.stdout)
    return {each["tried"]: each["found"] for each in found if not each["well"]}


def files(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if path.name != ".lock")


def test_a_machine_that_is_well(cli: CommandLine, project: Path) -> None:
    name = cli.push(project)
    before = files(cli.folder)
    done = cli.run("doctor", "--write", "--store", cli.url, LAZYIMPORT_HASH=name)

    assert [
        ("ok", "this Python"),
        ("ok", "activation"),
        ("ok", "node cache"),
        ("ok", "its disk"),
        *([("ok", "Ray's plugin")] if find_spec("ray") else []),
        ("ok", "reading the store"),
        ("ok", "writing to it"),
        ("ok", f"archive {name[:12]}"),
    ] == [tuple(line.split("  ")[:2]) for line in done.stdout.splitlines()]
    assert done.stdout.endswith("for this Python and platform\n")
    assert before == files(cli.folder), "it leaves nothing behind"


def test_an_archive_without_bytecode_runs_all_the_same(
    cli: CommandLine, project: Path
) -> None:
    pushed = cli.run("push", project, "--optimize", "2", "--store", cli.url)
    name = pushed.stdout.strip()
    done = cli.run("doctor", name)

    last = done.stdout.splitlines()[-1]
    assert last.startswith(f"ok  archive {name[:12]}")
    assert "it has no bytecode for this Python" in last
    assert f"push with --python 3.{sys.version_info.minor}" in last


def test_a_store_that_is_not_there_and_an_unknown_archive(cli: CommandLine) -> None:
    store = ("--store", cli.folder / "gone")
    done = cli.run("doctor", "0" * 64, "--write", "--json", *store, code=1)

    found = failures(done)
    assert {"reading the store", "writing to it", f"archive {'0' * 12}"} == set(found)
    assert "mount it, or correct LAZYIMPORT_STORE" in found["writing to it"]
    assert not (cli.folder / "gone").exists()


def test_a_distribution_that_writes_over_ours(cli: CommandLine, tmp_path: Path) -> None:
    info = tmp_path / "lazyimport-0.0.4.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: lazyimport\nVersion: 0.0.4\n")
    found = failures(cli.run("doctor", "--json", code=1, PYTHONPATH=str(tmp_path)))

    assert {"this Python"} == set(found)
    assert "has the distribution lazyimport 0.0.4 too" in found["this Python"]
    assert "pip uninstall -y lazyimport ray-lazyimport" in found["this Python"]


def test_a_cache_of_everybody(cli: CommandLine) -> None:
    cli.cache.mkdir()
    cli.cache.chmod(0o777)
    found = failures(cli.run("doctor", "--json", code=1))

    assert {"node cache"} == set(found)
    assert "chmod o-w" in found["node cache"]


def test_a_disk_without_room_from_which_nothing_runs(cli: CommandLine) -> None:
    with mounted(cli.folder / "small", "size=4m") as disk:
        full = failures(cli.run("doctor", "--json", "--cache-dir", disk / "c", code=1))
    with mounted(cli.folder / "files", "nr_inodes=2") as disk:
        (disk / "last").touch()
        none = failures(cli.run("doctor", "--json", "--cache-dir", disk / "c", code=1))
    with mounted(cli.folder / "other", "size=4m,noexec") as disk:
        no = failures(cli.run("doctor", "--json", "--cache-dir", disk / "c", code=1))

    assert re.match(r"tmpfs, [34]\.\d MB free; make room: lazyi", full["its disk"])
    assert "no inodes, so it takes no more files; make room: lazy" in none["its disk"]
    assert "on another disk, or free space or inodes there" in none["node cache"]
    assert "noexec, so no native library loads" in no["its disk"]


def test_a_python_that_does_not_read_the_pth_file(cli: CommandLine) -> None:
    """Modules of a directory on PYTHONPATH can be imported; .pth files do not count."""
    venv.create(cli.folder / "bare", symlinks=True)
    site = str(Path(str(distribution("ray-lazyimport").locate_file(""))).resolve())
    done = subprocess.run(
        [cli.folder / "bare/bin/python", "-m", "lazyimport", "doctor", "--json"],
        env={**cli.environ, "PYTHONPATH": site},
        capture_output=True,
        text=True,
        check=False,
    )

    assert 1 == done.returncode, done.stderr
    assert "does not read lazyimport.pth" in failures(done)["activation"]


def test_an_archive_for_others(cli: CommandLine, project: Path) -> None:
    (project / "shop/fast.cpython-38-sparc-linux-gnu.so").write_bytes(b"")
    native = cli.push(project)
    (project / "pyproject.toml").write_text("[project]\nrequires-python = '<3.5'\n")
    old = cli.push(project)
    one, other = (
        failures(cli.run("doctor", name, "--json", "--store", cli.url, code=1))
        for name in (native, old)
    )

    assert "shop/fast.cpython-38-sparc-linux-gnu.so is for another" in str(one)
    assert "it is for Python <3.5, and this machine has Python 3." in str(other)


def test_clocks_that_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(time=lambda: 0.0, monotonic=time.monotonic)
    monkeypatch.setattr(doctor, "time", clock)
    settings = Settings(store="memory://clocks", cache_dir=tmp_path / "cache")
    found = {
        each.tried: each for each in examine(settings, environ=os.environ, write=True)
    }

    assert not found["writing to it"].well
    assert "set the clock" in found["writing to it"].found
    store = open_store("memory://clocks")
    assert isinstance(store, MemoryStore)
    assert [] == list(store.list())
    assert not os.path.exists(Layout(str(tmp_path / "cache")).lock_path("doctor"))
    assert sys.executable in found["this Python"].found


@pytest.mark.parametrize(
    ("named", "well", "said"),
    [
        (None, True, "not in RAY_RUNTIME_ENV_PLUGINS, so a runtime_env names"),
        (ARCHIVE_PLUGIN, True, "ArchivePlugin is in RAY_RUNTIME_ENV_PLUGINS"),
        ("ArchivePlugin", False, "no JSON list of objects with a class"),
    ],
)
def test_the_plugin_of_ray(
    tmp_path: Path, named: str | None, well: bool, said: str
) -> None:
    pytest.importorskip("ray")
    environ = {**os.environ, **({"RAY_RUNTIME_ENV_PLUGINS": named} if named else {})}
    settings = Settings.from_environ({"LAZYIMPORT_CACHE_DIR": str(tmp_path)})
    found = {each.tried: each for each in examine(settings, environ=environ)}

    assert well is found["Ray's plugin"].well
    assert said in found["Ray's plugin"].found


def test_the_nodes_of_a_cluster_are_asked(cli: CommandLine) -> None:
    """As each answers in a job; tests/ray has one."""
    well = {"tried": "its disk", "found": "fine", "well": True, "where": "10.0.0.7"}
    with Dashboard() as dashboard:
        dashboard.submitted = 2  # its agent is there
        words = (
            "doctor",
            "a1" * 32,
            "--address",
            dashboard.address,
            "--store",
            cli.url,
        )
        dashboard.logs = f"starting\n{json.dumps(well)}\n"
        done = cli.run(*words, LAZYIMPORT_HASH="b2" * 32)
        dashboard.logs += json.dumps({**well, "well": False, "where": "10.0.0.8"})
        found = json.loads(cli.run(*words, "--write", "--json", code=1).stdout)
        dashboard.logs = "{}\n"
        unread = cli.fail(*words)

    assert "ok  10.0.0.7  its disk  fine\n" == done.stdout
    assert ["10.0.0.7", "10.0.0.8"] == [each["where"] for each in found]
    command = f"python -m lazyimport.ray.doctor_job {'a1' * 32} {cli.url}"
    assert [command, f"{command} --write", command] == dashboard.commands
    assert "does not say what its nodes need as this one reads it" in unread
