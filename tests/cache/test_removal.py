"""Removal: what a living process uses stays, whatever else becomes of the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Timer

import pytest

from lazyimport.cache.evict import clear, prune
from lazyimport.cache.materialize import Materializer
from lazyimport.cache.node import NodeCache
from lazyimport.cache.removal import delete_folder, is_used, remove_unless_used
from lazyimport.files import make_directories, unclaim
from lazyimport.format.archive import Archive
from tests.support.disks import as_nobody
from tests.support.node_cache import DAY, all_files, hashes_by_use, put_archive
from tests.support.trees import make_archive

HOLD = """
import os, sys
from lazyimport.cache.node import NodeCache
archive = NodeCache(sys.argv[1]).open(sys.argv[2])
if os.fork():
    os._exit(0)
print("ready", flush=True)
sys.stdin.read()
"""


def test_what_is_open_is_in_use_until_it_is_closed(cache: NodeCache) -> None:
    name = put_archive(cache, used=3 * DAY)
    archive = cache.open(name)
    assert archive is not None

    pruned = prune(cache, limit=0)
    assert [archive.hash for archive in pruned.in_use] == hashes_by_use(cache) == [name]

    del archive
    assert [archive.hash for archive in prune(cache, limit=0).removed] == [name]
    assert all_files(cache) == []


def test_fork_of_a_dead_process_still_uses_it(cache: NodeCache) -> None:
    """As the workers of a fork server do."""
    name = put_archive(cache, used=DAY)
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", HOLD, cache.path, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert child.wait() == 0
        assert [archive.hash for archive in prune(cache, limit=0).in_use] == [name]
        child.stdin.close()
        assert child.stdout.read() == b""  # the fork is gone

    assert [archive.hash for archive in prune(cache, limit=0).removed] == [name]


def test_used_tree_of_memory_mode_stays(cache: NodeCache) -> None:
    """Its process has no archive open, but files of the tree."""
    data, name = make_archive({"pkg/__init__.py": "", "pkg/x.txt": "x"})

    root = cache.tree_path(name)
    Materializer(Archive(data, name), root).put_all()

    clear(cache)
    assert Path(root, "pkg/x.txt").read_text() == "x"

    clear(cache, force=True)
    assert all_files(cache) == []


def test_what_is_being_fetched_is_left_alone(cache: NodeCache) -> None:
    name = put_archive(cache, used=DAY)
    with cache.lock(name, 1):
        assert [archive.hash for archive in prune(cache, limit=0).in_use] == [name]

    assert hashes_by_use(cache) == [name]


def test_who_has_just_fetched_it_is_waited_for(cache: NodeCache) -> None:
    name = put_archive(cache, used=DAY)
    with cache.lock(name, 1) as lock:
        Timer(0.3, lambda: unclaim(lock.descriptor)).start()
        assert [archive.hash for archive in prune(cache, limit=0).removed] == [name]


def test_what_is_not_there_is_not_used(cache: NodeCache) -> None:
    assert not is_used(cache.archive_path("ab" * 32))
    assert remove_unless_used(cache, "ab" * 32)


def test_pipes_in_the_place_of_trees_make_nobody_wait(cache: NodeCache) -> None:
    name = put_archive(cache, used=3 * DAY)
    os.makedirs(os.path.dirname(cache.tree_path(name)))
    for hash in (name, "b" * 64):
        os.mkfifo(cache.tree_path(hash))

    program = "import sys; from lazyimport.cli import main; main(sys.argv[1:])"
    clear = [sys.executable, "-c", program, "cache", "clear", "--cache-dir", cache.path]
    subprocess.run(clear, check=True, timeout=30, capture_output=True)

    assert hashes_by_use(cache) == []


def test_a_folder_that_a_program_made_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the module cache of Go is."""
    tmp_path.chmod(0o777)
    monkeypatch.chdir(tmp_path)  # the folders above are root's
    tree = "tree"
    with as_nobody():
        for name in ("a", "b/c"):
            make_directories(f"{tree}/{name}")
            Path(tree, name, "file").touch()
        for folder, mode in (("a", 0o555), ("b/c", 0o300), ("b", 0o100), ("", 0o555)):
            os.chmod(f"{tree}/{folder}", mode)
        delete_folder(tree)
        assert not os.path.lexists(tree)


def test_a_tree_that_is_deeper_than_calls_may_be(tmp_path: Path) -> None:
    deep = f"{tmp_path}/tree/{'d/' * 1200}e"
    make_directories(deep)
    Path(deep, "file").touch()

    delete_folder(f"{tmp_path}/tree")

    assert not (tmp_path / "tree").exists()
