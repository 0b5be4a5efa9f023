"""Pipes in the place of files of a node cache: nobody waits for their other end."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from lazyimport.cache.artifacts import ArtifactRecord
from lazyimport.cache.blobs import find_blob
from lazyimport.cache.bytecode import BytecodeCache
from lazyimport.cache.evict import clear, prune
from lazyimport.cache.partial import let_open, open_partial, wish
from lazyimport.cache.previous import find_packed, packed_hashes
from lazyimport.cache.progress import running_fetches
from lazyimport.cache.reviving import revive
from lazyimport.cache.usage import usage
from lazyimport.cache.verify import verify
from lazyimport.errors import ArchiveError, CacheError
from lazyimport.format.blobs import Blob
from lazyimport.reporting import SILENT
from tests.support.node_cache import MATERIALIZE, put_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lazyimport.cache.node import NodeCache

#: What is in a cache, beside files of trees: those the program of a user opens.
PLACES = [
    "CACHEDIR.TAG",
    "archives/HASH",
    "locks/HASH",
    "trees/HASH.ready/:boot",
    "trees/HASH.ready/:lock",
    "trees/HASH.ready/pkg",
    "packs/PACK",
    "artifacts/ARTIFACT",
    "bytecode/CODE",
    "blobs/BLOB",
    "archives/.HASH.raw.tmp",
    "archives/WISHES",
    "archives/.HASH.0011aabb.tmp",
]
DIGEST = bytes(range(32))


def place_in(cache: NodeCache, place: str, hash: str) -> str:
    """Return the path of what *place* stands for."""
    code = BytecodeCache(cache, "cpython-311", b"\0\0", 0)
    names = {
        "PACK": "0" * 32,
        "ARTIFACT": os.path.basename(ArtifactRecord(cache, "x")._path),
        "CODE": code._path(DIGEST).partition("/bytecode/")[2],
        "BLOB": f"00/{DIGEST.hex()}",
        "HASH": hash,
    }
    if place == "archives/WISHES":
        let_open(cache, hash)
        return str(next(Path(cache.path, "archives").glob("*.wishes.tmp")))
    for name, value in names.items():
        place = place.replace(name, value)
    return f"{cache.path}/{place}"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("place", PLACES)
def test_nobody_waits(cache: NodeCache, place: str) -> None:
    hash = put_archive(cache, used=0)
    run = [sys.executable, "-c", MATERIALIZE, cache.path, hash]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
    path = place_in(cache, place, hash)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).unlink(missing_ok=True)
    os.mkfifo(path)
    blob = Blob(DIGEST, 9, "pkg/w.bin")

    calls: list[Callable[[], object]] = [
        lambda: cache.open(hash),
        lambda: open_partial(cache, hash),
        lambda: wish(cache, hash, [0]),
        lambda: revive(cache, hash, SILENT, {}),
        lambda: find_blob(cache, blob),
        lambda: ArtifactRecord(cache, "x").read(),
        lambda: BytecodeCache(cache, "cpython-311", b"\0\0", 0).get(DIGEST),
        lambda: (list(packed_hashes(cache)), find_packed(cache, hash)),
        lambda: running_fetches(cache),
        lambda: cache.begin(hash, "raw", bool).close(),
        cache.bases,
        lambda: usage(cache),
        lambda: verify(cache, remove=True),
        lambda: prune(cache),
        lambda: clear(cache),
    ]
    for call in calls:
        with suppress(CacheError, ArchiveError, OSError):
            call()
    subprocess.run(run, check=False, stderr=subprocess.DEVNULL)


def test_what_is_no_file_is_damaged(cache: NodeCache) -> None:
    hash = put_archive(cache, used=0)
    os.unlink(cache.archive_path(hash))
    os.mkfifo(cache.archive_path(hash))

    with pytest.raises(CacheError, match=f"{hash}.*it is no regular file; remove it"):
        cache.open(hash)
    (damage,) = verify(cache, remove=True).damages

    assert damage.path == cache.archive_path(hash)
    assert cache.open(hash) is None


def test_a_directory_in_the_place_of_an_archive_stays(cache: NodeCache) -> None:
    hash = put_archive(cache, used=0)
    os.unlink(cache.archive_path(hash))
    os.mkdir(cache.archive_path(hash))

    found = verify(cache, remove=True)

    assert [cache.archive_path(hash)] == [damage.path for damage in found.damages]
    assert os.path.isdir(cache.archive_path(hash))
