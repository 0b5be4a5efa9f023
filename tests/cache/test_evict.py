"""Eviction: the longest unused goes first, what is used never does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lazyimport.cache.evict import clear, make_room, prune
from lazyimport.cache.materialize import Materializer
from lazyimport.cache.node import NodeCache
from lazyimport.cache.usage import archives_by_use, usage
from lazyimport.files import AtomicFile
from tests.support.trees import make_archive

SIZE = 40_000
DAY = 86400.0


@pytest.fixture
def cache(tmp_path: Path) -> NodeCache:
    return NodeCache(str(tmp_path / "cache"))


def keep(cache: NodeCache, *, used: float, **files: str | bytes) -> str:
    """Put an archive into *cache* that was last used *used* seconds ago."""
    tree = {"pkg/__init__.py": "", "pkg/data.bin": os.urandom(SIZE), **files}
    data, name = make_archive(tree)
    cache.publish(name, lambda out: out.write(data))
    path = cache.archive_path(name)
    now = os.stat(path).st_mtime
    os.utime(path, (now - used, now))
    return name


def names(cache: NodeCache) -> list[str]:
    return [kept.hash for kept in archives_by_use(cache)]


def everything(cache: NodeCache) -> list[str]:
    return sorted(
        f"{folder[len(cache.path) + 1 :]}/{name}"
        for folder, _, files in os.walk(cache.path)
        for name in files
        if not folder.endswith("/locks")
    )


def materialized(cache: NodeCache, name: str) -> str:
    """Put the tree of an archive on disk, in a process that ends."""
    program = (
        "import sys; from lazyimport.cache.node import NodeCache; "
        "from lazyimport.cache.materialize import Materializer; "
        "cache = NodeCache(sys.argv[1]); "
        "root = cache.tree_path(sys.argv[2]); "
        "Materializer(cache.open(sys.argv[2]), root).put_all(); print(root)"
    )
    return subprocess.check_output(
        [sys.executable, "-c", program, cache.path, name], text=True
    ).strip()


def test_longest_unused_goes_first(cache: NodeCache) -> None:
    old, older, new = (keep(cache, used=days * DAY) for days in (3, 4, 1))
    assert names(cache) == [older, old, new]

    pruned = prune(cache, limit=usage(cache) - 1)

    assert names(cache) == [old, new]
    assert [kept.hash for kept in pruned.removed] == [older]
    assert pruned.freed >= SIZE
    assert pruned.left == usage(cache)


def test_archive_that_vanishes_while_they_are_listed(
    cache: NodeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process evicts at the same time: the others are there all the same."""
    kept = {keep(cache, used=DAY) for _ in range(5)}
    real = os.scandir

    @contextmanager
    def scandir(path: str) -> Iterator[list[os.DirEntry[str]]]:
        with real(path) as items:
            found = list(items)
        os.unlink(found[1].path)
        kept.remove(found[1].name)
        yield found

    monkeypatch.setattr(os, "scandir", scandir)

    assert cache.archives().keys() == kept
    assert len(kept) == 4


def test_files_of_a_tree_count_where_they_are_no_links(
    cache: NodeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system without hard links."""
    name = keep(cache, used=DAY)
    linked = usage(cache)

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    archive = cache.open(name)
    assert archive is not None
    Materializer(archive, cache.tree_path(name)).put_all()

    assert usage(cache) >= linked + 2 * SIZE  # the blob, and the file of the tree


def test_opening_is_using(cache: NodeCache) -> None:
    first, second = keep(cache, used=3 * DAY), keep(cache, used=2 * DAY)
    archive = cache.open(first)
    del archive

    assert names(cache) == [second, first]


def test_time_of_arrival_stays(cache: NodeCache) -> None:
    name = keep(cache, used=3 * DAY)
    before = cache.archives()[name].st_mtime
    cache.open(name)

    assert before == cache.archives()[name].st_mtime


def test_what_is_open_is_in_use_until_it_is_closed(cache: NodeCache) -> None:
    name = keep(cache, used=3 * DAY)
    archive = cache.open(name)
    assert archive is not None

    pruned = prune(cache, limit=0)
    assert [kept.hash for kept in pruned.in_use] == names(cache) == [name]

    del archive
    assert [kept.hash for kept in prune(cache, limit=0).removed] == [name]
    assert everything(cache) == []


HOLD = """
import os, sys
from lazyimport.cache.node import NodeCache
archive = NodeCache(sys.argv[1]).open(sys.argv[2])
if os.fork():
    os._exit(0)
print("ready", flush=True)
sys.stdin.read()
"""


def test_fork_of_a_dead_process_still_uses_it(cache: NodeCache) -> None:
    """As the workers of a fork server do."""
    name = keep(cache, used=DAY)
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", HOLD, cache.path, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert child.wait() == 0
        assert [kept.hash for kept in prune(cache, limit=0).in_use] == [name]
        child.stdin.close()
        assert child.stdout.read() == b""  # the fork is gone

    assert [kept.hash for kept in prune(cache, limit=0).removed] == [name]


def test_older_than(cache: NodeCache) -> None:
    keep(cache, used=40 * DAY)
    new = keep(cache, used=3 * DAY)

    prune(cache, older_than=30 * DAY)

    assert names(cache) == [new]


def test_use_in_the_future_is_from_before_the_clock_was_put_back(
    cache: NodeCache,
) -> None:
    used = keep(cache, used=3 * DAY)
    future = keep(cache, used=-400 * DAY)

    assert names(cache) == [future, used]
    cache.open(future)
    assert names(cache) == [used, future]


def test_tree_goes_with_its_archive_and_shared_files_stay(cache: NodeCache) -> None:
    shared = os.urandom(SIZE)
    old = keep(cache, used=2 * DAY, **{"pkg/shared.bin": shared})
    new = keep(cache, used=DAY, **{"pkg/shared.bin": shared})
    materialized(cache, old)
    root = materialized(cache, new)
    os.utime(cache.archive_path(old), (0, 0))

    pruned = prune(cache, older_than=3 * DAY)

    assert [kept.hash for kept in pruned.removed] == [old]
    assert pruned.freed > 2 * SIZE  # the archive and the file that it alone had
    assert not [name for name in everything(cache) if old in name]
    assert Path(root, "pkg/shared.bin").read_bytes() == shared
    assert len(list(Path(cache.path, "blobs").rglob("*/*"))) == 3


def test_used_tree_of_memory_mode_stays(cache: NodeCache) -> None:
    """Its process has no archive open, but files of the tree."""
    data, name = make_archive({"pkg/__init__.py": "", "pkg/x.txt": "x"})
    from lazyimport.format.archive import Archive

    root = cache.tree_path(name)
    Materializer(Archive(data, name), root).put_all()

    clear(cache)
    assert Path(root, "pkg/x.txt").read_text() == "x"

    clear(cache, force=True)
    assert everything(cache) == []


def test_dry_run_changes_nothing(cache: NodeCache) -> None:
    name = keep(cache, used=DAY)
    materialized(cache, name)
    before = everything(cache)

    pruned = prune(cache, limit=0, dry_run=True)

    assert [kept.hash for kept in pruned.removed] == [name]
    assert pruned.freed >= SIZE
    assert before == everything(cache)


def test_leftovers_of_killed_processes_go(cache: NodeCache) -> None:
    name = keep(cache, used=DAY)
    materialized(cache, name)
    before = everything(cache)
    dead = [
        AtomicFile(cache.archive_path("ab" * 32)).temporary,
        AtomicFile(f"{cache.path}/blobs/ab/{'ab' * 32}").temporary,
        f"{cache.path}/bytecode/cpython-311/ab/.{'ab' * 32}.123-00.tmp",
        f"{cache.path}/trees/.{'ab' * 32}.ready.0011.tmp/pkg",
        f"{cache.path}/blobs/ab/{'ab' * 32}",
    ]
    for path in dead:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(path).write_bytes(b"half")
        os.utime(path, (0, 0))

    prune(cache)

    assert before == everything(cache)


def test_file_that_is_being_written_stays(cache: NodeCache) -> None:
    keep(cache, used=DAY)
    unknown = "ab" * 32
    with cache.lock(unknown, 1), AtomicFile(cache.archive_path(unknown)) as file:
        prune(cache)
        file.write(b"x")

    assert unknown in names(cache)


def test_what_is_being_fetched_is_left_alone(cache: NodeCache) -> None:
    name = keep(cache, used=DAY)
    with cache.lock(name, 1):
        assert [kept.hash for kept in prune(cache, limit=0).in_use] == [name]

    assert names(cache) == [name]


def test_make_room_leaves_a_small_cache_alone(cache: NodeCache) -> None:
    name = keep(cache, used=DAY)
    for limit in ("off", "900TB", None):
        make_room(cache, limit)
    assert names(cache) == [name]

    make_room(cache, "1kB")
    assert names(cache) == []


def test_make_room_never_fails(tmp_path: Path) -> None:
    make_room(NodeCache(str(tmp_path / "none")), "1kB")
    (tmp_path / "file").write_text("")
    make_room(NodeCache(str(tmp_path / "file")), "1kB")


def test_reopened_archive_that_was_removed_meanwhile_is_not_here(
    cache: NodeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race in the docstring of the module."""
    from lazyimport.cache import node as module

    name = keep(cache, used=DAY)

    def flock(descriptor: int, how: int) -> None:
        cache.remove(name)

    monkeypatch.setattr(module, "flock", flock)
    assert cache.open(name) is None


def test_clear(cache: NodeCache) -> None:
    used, unused = keep(cache, used=DAY), keep(cache, used=DAY)
    materialized(cache, unused)
    archive = cache.open(used)
    assert archive is not None

    cleared = clear(cache)
    assert [kept.hash for kept in cleared.in_use] == [used]
    assert everything(cache) == [f"archives/{used}"]

    assert [kept.hash for kept in clear(cache, force=True).removed] == [used]
    assert everything(cache) == []
    entry = archive.index.entry("pkg/data.bin")
    assert entry is not None
    assert len(archive.content(entry)) == SIZE  # who runs it keeps it
