"""Sweeping: leftovers of the dead go, and nothing that somebody is writing."""

from __future__ import annotations

import os
from pathlib import Path

from lazyimport.cache.evict import clear, prune
from lazyimport.cache.node import NodeCache
from lazyimport.cache.sweep import is_sweep_due
from lazyimport.files import AtomicFile
from tests.support.node_cache import (
    DAY,
    all_files,
    hashes_by_use,
    materialize,
    put_archive,
)


def test_leftovers_of_killed_processes_go(cache: NodeCache) -> None:
    name = put_archive(cache, used=DAY)
    materialize(cache, name)
    before = all_files(cache)
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

    assert before == all_files(cache)


def test_file_that_is_being_written_stays(cache: NodeCache) -> None:
    put_archive(cache, used=DAY)
    unknown = "ab" * 32
    with cache.lock(unknown, 1), AtomicFile(cache.archive_path(unknown)) as file:
        prune(cache)
        file.write(b"x")

    assert unknown in hashes_by_use(cache)


def test_blob_that_is_being_written_stays(cache: NodeCache) -> None:
    """No tree links to it yet, and its writer has not given it its name."""
    put_archive(cache, used=DAY)
    path = cache.blob_path(b"d" * 32, executable=False)
    os.makedirs(os.path.dirname(path))
    with AtomicFile(path) as file:
        clear(cache)
        file.write(b"x")

    assert Path(path).read_bytes() == b"x"


def test_sweep_is_due_once_a_day(cache: NodeCache) -> None:
    assert is_sweep_due(cache)
    prune(cache)
    assert not is_sweep_due(cache)

    day_before = os.stat(cache.lock_path("eviction")).st_mtime - DAY - 60
    os.utime(cache.lock_path("eviction"), (day_before, day_before))
    prune(cache, dry_run=True)
    assert is_sweep_due(cache)  # a dry run sweeps nothing
