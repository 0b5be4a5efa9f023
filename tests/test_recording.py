"""What processes record of their own starts, read from the files that they write."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import lazyimport
from lazyimport.format.profile import Module, Start, decode
from lazyimport.importing.loader import ArchiveLoader
from tests.support.compare_importers import (
    Files,
    from_archive,
    from_directory,
    pack_tree,
    write_tree,
)
from tests.support.installed import are_installed, copy_installed

OWN = ("find", "put", "read", "load", "run", "wait")
FILES: Files = {
    "app/__init__.py": "import app.slow, json.tool\nfrom app import quick\n",
    "app/slow.py": "import time\ntime.sleep(0.2)\nfrom app.sub import inner\n",
    "app/sub/__init__.py": "import time\ntime.sleep(0.1)\n",
    "app/sub/inner.py": "",
    "app/quick.py": "try:\n    import nothing_has_this\nexcept ImportError:\n    pass\n",
    "app/late.py": "",
    "app/lasting.py": "import time\ntime.sleep(0.5)\n",
    "app/also.py": "import app.lasting\n",
    "data/__init__.py": "",
    "data/words/list.txt": "word\n",
    "fails/__init__.py": "import fails.deep\n",
    "fails/deep.py": "1 / 0\n",
    "broken.py": "import app\nthis is no Python\n",
}


@pytest.fixture(name="archive", scope="module")
def _archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("recording")
    cache = folder / "cache"
    return pack_tree(write_tree(FILES, folder / "tree"), cache), cache


def record(archive: tuple[str, Path], program: str, folder: Path) -> list[Start]:
    """Return the starts that processes of *program* have recorded in *folder*."""
    done = from_archive(*archive, program, LAZYIMPORT_PROFILE=str(folder))
    assert (done.status, done.stderr) == (0, "")
    return starts_in(folder)


def test_a_start_names_its_module(archive: tuple[str, Path], tmp_path: Path) -> None:
    hash, cache = archive
    environ = {"LAZYIMPORT_HASH": hash, "LAZYIMPORT_CACHE_DIR": str(cache)}
    for words in (["-m", "app.quick", "-m", "x"], ["-mapp.quick"]):
        folder = tmp_path / words[0]
        folder.mkdir()
        subprocess.run(
            [sys.executable, *words],
            env={**os.environ, **environ, "LAZYIMPORT_PROFILE": str(folder)},
            check=True,
        )
        assert ["app.quick"] == [start.program for start in starts_in(folder)]


def starts_in(folder: Path) -> list[Start]:
    return [start for file in folder.iterdir() for start in decode(file.read_bytes())]


def by_name(start: Start) -> dict[str, Module]:
    return {module.name: module for module in start.modules}


def check_times(modules: Sequence[Module]) -> None:
    """What a module takes is what it does itself, and what it imports meanwhile."""
    for module in modules:
        own = sum(getattr(module, name) for name in OWN)
        inner = [
            each
            for each in modules
            if (each.parent, each.thread) == (module.name, module.thread)
            and module.at <= each.at <= module.at + module.total
        ]
        assert module.total == pytest.approx(
            own + sum(i.total for i in inner), abs=1e-4
        )
        ends = sorted((each.at, each.at + each.total) for each in inner)
        for (_, end), (begin, _) in pairwise(ends):
            assert end <= begin + 1e-4  # one after the other


def test_what_a_start_read_and_imported(
    archive: tuple[str, Path], tmp_path: Path
) -> None:
    (start,) = record(archive, "import app", tmp_path / "new" / "profiles")

    assert start.hash == archive[0]
    assert start.python == f"3.{sys.version_info.minor}"
    assert start.complete
    assert [read.path for read in start.reads if read.kind == "code"] == [
        *("app/__init__.py", "app/slow.py", "app/sub/__init__.py"),
        *("app/sub/inner.py", "app/quick.py"),
    ]
    modules = by_name(start)
    parents = {name: modules[name].parent for name in modules if name[:3] == "app"}
    assert parents == {
        "app": "",
        "app.slow": "app",
        "app.sub": "app.slow",
        "app.sub.inner": "app.slow",
        "app.quick": "app",
    }
    assert modules["json.tool"].parent == "app"
    assert modules["json.tool"].path == ""
    assert modules["nothing_has_this"].failed
    assert 0.2 < modules["app.slow"].run < 0.3 < modules["app.slow"].total
    assert 0.1 < modules["app.sub"].run
    assert modules["app"].run < 0.2 < modules["app"].total
    check_times(start.modules)


def test_threads_that_import_at_once(archive: tuple[str, Path], tmp_path: Path) -> None:
    program = (
        "import app.late, threading, time\n"
        "def imports(name): __import__(name)\n"
        "first = threading.Thread(target=imports, args=['app.lasting'])\n"
        "second = threading.Thread(target=imports, args=['app.also'])\n"
        "first.start(); time.sleep(0.1); second.start()\n"
        "first.join(); second.join()\n"
    )
    (start,) = record(archive, program, tmp_path)

    modules = by_name(start)
    assert modules["app.lasting"].thread != modules["app.also"].thread
    assert modules["app.lasting"].parent == modules["app.also"].parent == ""
    assert 0.5 < modules["app.lasting"].run
    assert 0.3 < modules["app.also"].wait
    assert modules["app.also"].run < 0.2
    check_times(start.modules)


def test_many_threads_write_one_profile(
    archive: tuple[str, Path], tmp_path: Path
) -> None:
    """The line that begins it is the first one, and none is lost."""
    program = (
        "import sys, threading\n"
        "sys.setswitchinterval(1e-6)\n"
        "def imports(n):\n"
        "    for k in range(40):\n"
        "        try:\n"
        "            __import__(f'nowhere_{n}_{k}')\n"
        "        except ImportError: pass\n"
        "threads = [threading.Thread(target=imports, args=[n]) for n in range(8)]\n"
        "import app.late\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
    )
    (start,) = record(archive, program, tmp_path)

    missed = [each for each in start.modules if each.name.startswith("nowhere_")]
    assert len(missed) == 320
    assert all(each.failed for each in missed)


def test_a_real_package(tmp_path: Path) -> None:
    distributions = ["rich", "markdown-it-py", "mdurl"]
    if not are_installed(distributions):
        pytest.skip("rich is not installed")
    copy_installed(distributions, tmp_path / "tree")
    archive = pack_tree(tmp_path / "tree", tmp_path / "cache"), tmp_path / "cache"

    (start,) = record(archive, "import rich.markdown", tmp_path / "profiles")

    ours = [module for module in start.modules if module.path]
    assert len(ours) > 50
    read = {read.path for read in start.reads if read.kind == "code"}
    assert read == {module.path for module in ours}
    assert all(module.load > 0 and module.size > 0 for module in ours)
    check_times(start.modules)


def test_a_package_that_is_put_on_disk(
    archive: tuple[str, Path], tmp_path: Path
) -> None:
    """It is the same whether this process puts it there, or finds it there."""
    cold, warm = (
        record(archive, "import data, app.late", tmp_path / name)[0]
        for name in ("cold", "warm")
    )

    for start in (cold, warm):
        assert [(read.kind, read.path) for read in start.reads if read.kind != "file"][
            :2
        ] == [("package", "data"), ("code", "data/__init__.py")]
    assert next(read.size for read in cold.reads if read.kind == "package") == 5
    assert all(by_name(start)["data"].put > 0 for start in (cold, warm))


def test_who_looked(archive: tuple[str, Path], tmp_path: Path) -> None:
    program = "import app.late\nopen(app.late.__file__).close()\n"
    (start,) = record(archive, program, tmp_path)

    assert dict(start.looked) == {"app/late.py": "__main__"}


def test_children_write_profiles_of_their_own(
    archive: tuple[str, Path], tmp_path: Path
) -> None:
    """A forked one that is killed has written what it did itself."""
    program = (
        "import app.late, os, signal, subprocess, sys, time\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    import data\n"
        "    signal.alarm(60)\n"
        "    signal.pause()\n"
        "for _ in range(3000):\n"
        "    time.sleep(0.02)\n"
        f"    names = os.listdir({str(tmp_path)!r})\n"
        "    if any(f'-{pid}-' in name for name in names):\n"
        "        break\n"
        "os.kill(pid, signal.SIGKILL)\n"
        "os.waitpid(pid, 0)\n"
        "subprocess.run([sys.executable, '-c', 'import app.sub'], check=True)\n"
        "subprocess.run([sys.executable, '-c', 'pass'], check=True)\n"
    )
    starts = record(archive, program, tmp_path)

    codes = [[r.path for r in start.reads if r.kind == "code"] for start in starts]
    assert sorted(read[-1] for read in codes) == [
        *("app/late.py", "app/quick.py", "data/__init__.py")
    ]
    assert len({start.pid for start in starts}) == 3


def test_tracebacks_are_as_without_it(
    archive: tuple[str, Path], tmp_path: Path
) -> None:
    for program in ("import fails", "import broken", "import app.nowhere"):
        plain = from_archive(*archive, program)
        recorded = from_archive(*archive, program, LAZYIMPORT_PROFILE=str(tmp_path))
        folder = archive[1].parent / "tree"
        assert recorded == plain
        if program != "import app.nowhere":
            assert plain == from_directory(folder, program)


def test_a_profile_that_cannot_be_written_ends_nothing(
    archive: tuple[str, Path], tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    done = from_archive(
        *archive, "import app; print('done')", LAZYIMPORT_PROFILE=f"{file}/profiles"
    )

    assert (done.status, done.stdout) == (0, "done\n")
    assert done.stderr.count("cannot be written to") == 1
    assert f"{file}/profiles" in done.stderr
    assert "Not a directory" in done.stderr


def test_a_link_of_somebody_else_is_not_written_through(
    archive: tuple[str, Path], tmp_path: Path
) -> None:
    """In a directory that all may write to, they may guess names."""
    (tmp_path / "theirs").write_text("precious")
    program = (
        "import os\n"
        f"lazyimport.current().record('{tmp_path}/')\n"
        "from lazyimport import recording\n"
        "name = recording.Recording._name\n"
        "def linked(self):\n"
        "    path = name(self)\n"
        f"    os.symlink({str(tmp_path / 'theirs')!r}, path)\n"
        "    return path\n"
        "recording.Recording._name = linked\n"
        "import app\n"
    )
    done = from_archive(*archive, program)

    assert done.status == 0
    assert "cannot be written to" in done.stderr
    assert (tmp_path / "theirs").read_text() == "precious"


def test_a_python_that_imports_in_another_way(
    archive: tuple[str, Path], tmp_path: Path
) -> None:
    """It runs without a profile."""
    program = (
        "from lazyimport.importing import recorded\n"
        "recorded._frozen_importlib = None\n"
        f"lazyimport.current().record({str(tmp_path / 'start.jsonl')!r})\n"
        "import app\n"
        "print('done')\n"
    )
    done = from_archive(*archive, program)

    assert (done.status, done.stdout) == (0, "done\n")
    assert "cannot be written to" in done.stderr
    assert "_find_and_load_unlocked" in done.stderr


def test_a_directory_takes_no_more_than_a_thousand(
    archive: tuple[str, Path], tmp_path: Path
) -> None:
    for number in range(1000):
        (tmp_path / f"{number}.json").touch()
    done = from_archive(*archive, "import app.late", LAZYIMPORT_PROFILE=str(tmp_path))

    assert done.status == 0
    assert "there are 1000 files already" in done.stderr
    assert len(os.listdir(tmp_path)) == 1000


def test_more_than_can_be_recorded(archive: tuple[str, Path], tmp_path: Path) -> None:
    program = (
        "from lazyimport.importing import recorder\nrecorder.MOST = 4\nimport app\n"
    )
    (start,) = record(archive, program, tmp_path)

    assert len(start.reads) + len(start.modules) == 3
    assert not start.complete


def test_uninstalling_ends_it(archive: tuple[str, Path], tmp_path: Path) -> None:
    import _frozen_importlib

    machinery: Any = _frozen_importlib

    def touched() -> list[object]:
        return [
            machinery._find_and_load_unlocked,
            machinery._ModuleLock.acquire,
            ArchiveLoader.get_code,
            type(installed.tree.archive),
        ]

    with lazyimport.install(archive[0], cache_dir=archive[1]) as installed:
        before = touched()
        installed.record(str(tmp_path / "start.jsonl"))
        assert not set(before) & set(touched())
        import app.late  # type: ignore[import-not-found]

        assert app.late.__spec__ is not None
    assert before == touched()
    (start,) = decode((tmp_path / "start.jsonl").read_bytes())
    assert {"app", "app.late"} <= set(by_name(start))
    for name in [name for name in sys.modules if name.partition(".")[0] == "app"]:
        del sys.modules[name]
