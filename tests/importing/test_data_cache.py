"""Data of compressed members is decoded once, in bounded memory, by any thread."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cachetools import Cache

from lazyimport.cache.node import NodeCache
from lazyimport.format.archive import Archive
from lazyimport.importing import data_cache
from lazyimport.importing.resources import ArchivePath
from lazyimport.importing.tree import Tree
from tests.support.trees import make_archive

FILES = {f"pkg/{n}.txt": f"{n} words " * 100_000 for n in range(50)}


@pytest.fixture(name="archive", scope="module")
def _archive() -> tuple[bytes, str]:
    return make_archive(FILES, raw=False)


@pytest.fixture
def tree(archive: tuple[bytes, str]) -> Tree:
    data_cache._cache.clear()
    return Tree(Archive(*archive), "/nowhere")


def text(tree: Tree, number: int) -> bytes:
    return ArchivePath(tree, f"pkg/{number}.txt").read_bytes()


def test_same_bytes_again(tree: Tree) -> None:
    first = text(tree, 1)

    assert first == FILES["pkg/1.txt"].encode()
    assert text(tree, 1) is first


def test_memory_is_bounded(tree: Tree) -> None:
    """What has not been read for longest goes first."""
    first = text(tree, 0)
    for number in range(50):
        text(tree, number)
        assert text(tree, 0) is first
        assert data_cache._cache.currsize <= data_cache.LIMIT == 32 << 20
    assert len(data_cache._cache) < 50


def test_large_file_pushes_nothing_out(tree: Tree) -> None:
    small = text(tree, 1)
    data, name = make_archive({"pkg/large": "x" * (9 << 20)}, raw=False)
    large = ArchivePath(Tree(Archive(data, name), "/nowhere"), "pkg/large")

    assert len(large.read_bytes()) == 9 << 20
    assert list(data_cache._cache.values()) == [small]


def test_raw_members_are_not_cached() -> None:
    data_cache._cache.clear()
    raw = Tree(Archive(*make_archive({"pkg/a.txt": "x" * 1000})), "/nowhere")

    assert ArchivePath(raw, "pkg/a.txt").read_bytes() == b"x" * 1000
    assert not data_cache._cache


@pytest.mark.parametrize("loaded", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("package", ["cachetools", "zstandard"])
def test_nothing_of_the_archive_runs_to_read_it(
    tmp_path: Path, package: str, loaded: bool
) -> None:
    """Not even what is called as the package that helps; programs get that one."""
    own = {
        f"{package}/__init__.py": "own = True\n",
        f"{package}/backend_c.py": "print('not this one')\n",
    }
    data, name = make_archive({**FILES, "pkg/__init__.py": "", **own}, raw=False)
    cache = NodeCache(str(tmp_path))
    cache.publish(name, lambda out: out.write(data))
    program = (
        "import lazyimport, pkgutil, sys\n"
        "lazyimport.install(sys.argv[1], cache_dir=sys.argv[2], cache_mode='zstd')\n"
        f"if {loaded}: import {package}\n"
        "print(len(pkgutil.get_data('pkg', '1.txt')))\n"
        f"print({package!r} in sys.modules, '{package}.backend_c' in sys.modules)\n"
        f"import {package}; print({package}.own)\n"
    )
    command = [sys.executable, "-c", program, name, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{len(FILES['pkg/1.txt'])}\n{loaded} False\nTrue\n"


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="has zstd of its own")
def test_a_package_without_an_extension(tmp_path: Path) -> None:
    """What the image has in Python helps, and not what the archive has."""
    files = {**FILES, "pkg/__init__.py": "", "zstandard/__init__.py": "own = True\n"}
    data, name = make_archive(files, raw=False)
    cache = NodeCache(str(tmp_path / "cache"))
    cache.publish(name, lambda out: out.write(data))
    (tmp_path / "image/zstandard").mkdir(parents=True)
    (tmp_path / "image/zstandard/__init__.py").write_text("from .other import *\n")
    (tmp_path / "image/zstandard/other.py").write_text(
        "import lazyimport, lazyimport.installed as installed\n"
        "installed.__file__ = lazyimport.__file__\n"
        "print(__name__)\nglobals().update(vars(installed.load_installed('zstandard')))\n"
    )
    program = (
        "import lazyimport, pkgutil, sys\n"
        "import lazyimport.installed as installed\n"
        "lazyimport.install(sys.argv[1], cache_dir=sys.argv[2], cache_mode='zstd')\n"
        "installed.__file__ = sys.argv[3] + '/lazyimport/installed.py'\n"
        "print(len(pkgutil.get_data('pkg', '1.txt')))\n"
        "import zstandard; print(zstandard.own)\n"
    )
    where = [str(tmp_path / "cache"), str(tmp_path / "image")]
    command = [sys.executable, "-c", program, name, *where]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = "_lazyimport_zstandard.other", str(len(FILES["pkg/1.txt"])), "True"
    assert done.stdout.split() == [*said]


def test_threads(tree: Tree) -> None:
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(
            number
            for number in range(40)
            if text(tree, number) != FILES[f"pkg/{number}.txt"].encode()
        )

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork_while_another_thread_reads(tree: Tree) -> None:
    with data_cache._lock:
        child = os.fork()
        if not child:
            status = 1
            try:
                status = 0 if text(tree, 2) == FILES["pkg/2.txt"].encode() else 2
            finally:
                sys.stderr.flush()
                os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork_while_another_thread_pushes_something_out(tree: Tree) -> None:
    """The child begins with an empty cache: what it inherits may be half done.

    Such a state cachetools could not even clear before version 7.1.
    """
    for number in range(40):
        text(tree, number)
    # the state in the middle of LRUCache.__delitem__
    Cache.__delitem__(data_cache._cache, next(iter(data_cache._cache)))

    child = os.fork()
    if not child:
        status = 1
        try:
            assert not data_cache._cache
            for number in range(50):
                assert text(tree, number) == FILES[f"pkg/{number}.txt"].encode()
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    data_cache._forked()  # here too, for the tests to come

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
