"""Eviction: the longest unused goes first, what is used never does."""

from __future__ import annotations

import os
from pathlib import Path

from lazyimport.cache.evict import clear, make_room, prune
from lazyimport.cache.node import NodeCache
from lazyimport.cache.usage import usage
from tests.support.node_cache import (
    DAY,
    SIZE,
    all_files,
    hashes_by_use,
    materialize,
    put_archive,
)


def test_longest_unused_goes_first(cache: NodeCache) -> None:
    old, older, new = (put_archive(cache, used=days * DAY) for days in (3, 4, 1))
    assert hashes_by_use(cache) == [older, old, new]

    pruned = prune(cache, limit=usage(cache) - 1)

    assert hashes_by_use(cache) == [old, new]
    assert [archive.hash for archive in pruned.removed] == [older]
    assert pruned.freed >= SIZE
    assert pruned.left == usage(cache)


def test_older_than(cache: NodeCache) -> None:
    put_archive(cache, used=40 * DAY)
    new = put_archive(cache, used=3 * DAY)

    prune(cache, older_than=30 * DAY)

    assert hashes_by_use(cache) == [new]


def test_tree_goes_with_its_archive_and_shared_files_stay(cache: NodeCache) -> None:
    shared = os.urandom(SIZE)
    old = put_archive(cache, used=2 * DAY, **{"pkg/shared.bin": shared})
    new = put_archive(cache, used=DAY, **{"pkg/shared.bin": shared})
    materialize(cache, old)
    root = materialize(cache, new)
    os.utime(cache.archive_path(old), (0, 0))

    pruned = prune(cache, older_than=3 * DAY)

    assert [archive.hash for archive in pruned.removed] == [old]
    assert pruned.freed > 2 * SIZE  # the archive and the file that it alone had
    assert not [name for name in all_files(cache) if old in name]
    assert Path(root, "pkg/shared.bin").read_bytes() == shared
    assert len(list(Path(cache.path, "blobs").rglob("*/*"))) == 3


def test_dry_run_changes_nothing(cache: NodeCache) -> None:
    name = put_archive(cache, used=DAY)
    materialize(cache, name)
    before = all_files(cache)

    pruned = prune(cache, limit=0, dry_run=True)

    assert [archive.hash for archive in pruned.removed] == [name]
    assert pruned.freed >= SIZE
    assert before == all_files(cache)


def test_make_room_leaves_a_small_cache_alone(cache: NodeCache) -> None:
    name = put_archive(cache, used=DAY)
    for limit in ("off", "900TB", None):
        make_room(cache, limit)
    assert hashes_by_use(cache) == [name]

    make_room(cache, "1kB")
    assert hashes_by_use(cache) == []


def test_make_room_never_fails(tmp_path: Path) -> None:
    make_room(NodeCache(str(tmp_path / "none")), "1kB")
    (tmp_path / "file").write_text("")
    make_room(NodeCache(str(tmp_path / "file")), "1kB")


def test_clear(cache: NodeCache) -> None:
    used, unused = put_archive(cache, used=DAY), put_archive(cache, used=DAY)
    materialize(cache, unused)
    archive = cache.open(used)
    assert archive is not None

    cleared = clear(cache)
    assert [archive.hash for archive in cleared.in_use] == [used]
    assert all_files(cache) == [f"archives/{used}"]

    assert [archive.hash for archive in clear(cache, force=True).removed] == [used]
    assert all_files(cache) == []
    entry = archive.index.entry("pkg/data.bin")
    assert entry is not None
    assert len(archive.content(entry)) == SIZE  # a process that has it open goes on


def test_archive_in_use_is_named_once(cache: NodeCache) -> None:
    """It is too old, and the cache too large."""
    name = put_archive(cache, used=3 * DAY)
    archive = cache.open(name)
    os.utime(cache.archive_path(name), (0, 0))

    pruned = prune(cache, limit=0, older_than=DAY)

    assert archive is not None
    assert [archive.hash for archive in pruned.in_use] == [name]
