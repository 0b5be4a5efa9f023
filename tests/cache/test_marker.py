"""The marker: without it nothing is deleted, with it only names of the cache's form."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lazyimport.cache.evict import clear, prune, shrink
from lazyimport.cache.marker import NAME, is_marked
from lazyimport.cache.node import NodeCache
from lazyimport.cache.room import make_room
from lazyimport.cache.verify import verify
from lazyimport.errors import CacheError
from tests.support.node_cache import DAY, hashes_by_use, put_archive

#: As a user calls what is not a cache's, in folders that are called as its own.
FOREIGN = [
    "archives/release-1.0.tar",
    f"archives/{'AB' * 32}",
    "artifacts/release-1.0.tar",
    "blobs/models/weights.bin",
    f"blobs/cd/{'ab' * 32}",
    "bytecode/notes.txt",
    f"bytecode/notes/ab/{'ab' * 32}",
    "deployments/x.yaml",
    "locks/door",
    "packs/a.pack",
    "staging/site/index.html",
    "trees/.git/config",
    f"trees/{'ab' * 31}/x",
    ".x.tmp",
    "packs/.swap.tmp",
]


def put_foreign(folder: Path) -> dict[str, bytes]:
    """Put files into *folder* that are very old, and return what is there."""
    for name in FOREIGN:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, (1e9, 1e9))
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        name: (folder / name).read_bytes()
        for name in FOREIGN
        if (folder / name).exists()
    }


@pytest.mark.parametrize("there", [[], ["lost+found"], [f".{NAME}.00112233.tmp"]])
def test_empty_directory_is_marked(cache: NodeCache, there: list[str]) -> None:
    """Also a fresh file system, and one where the marker was being written."""
    for name in there:
        Path(cache.path, name).mkdir(parents=True)
    cache.make()

    text = Path(cache.path, NAME).read_bytes()
    assert text.startswith(b"Signature: 8a477f597d28d172789f06886806bc55\n")
    assert is_marked(cache.path)


def test_nothing_is_deleted_without_a_marker(cache: NodeCache) -> None:
    before = put_foreign(Path(cache.path))
    name = put_archive(cache, used=40 * DAY)

    shrink(cache, "1B")
    for remove in (prune, clear):
        for dry_run in (False, True):
            with pytest.raises(
                CacheError, match=f"refusing .* {cache.path}: it has no"
            ):
                remove(cache, dry_run=dry_run)

    assert not is_marked(cache.path)
    assert contents(Path(cache.path)) == before
    assert hashes_by_use(cache) == [name]  # it is used all the same


@pytest.mark.parametrize("folder", ["gc", "proofs", "provenance"])
def test_a_store_is_not_taken_for_a_cache(cache: NodeCache, folder: str) -> None:
    """Not even if the first push found it empty, and marked it: whatever removes."""
    name = put_archive(cache, used=40 * DAY)
    assert is_marked(cache.path)
    os.mkdir(cache.folder(folder))
    path = Path(cache.archive_path(name))
    path.chmod(0o600)
    path.write_bytes(b"a damaged archive, the only copy")
    os.utime(f"{cache.path}/{NAME}", (0, 0))
    before = sorted(Path(cache.path).rglob("*"))

    shrink(cache, "1B")
    make_room(cache, "1B")
    removals: list[Callable[[], object]] = [
        lambda: prune(cache, limit=0),
        lambda: clear(cache, force=True),
        lambda: verify(cache, remove=True),
        lambda: cache.remove(name),
        lambda: cache.begin(name, "raw", bool),
        lambda: cache.publish(name, lambda file: file.write(b"another")),
        lambda: cache.lock(name, 0),
    ]
    for remove in removals:
        with pytest.raises(CacheError, match=f"is a store, .* the folder {folder}/"):
            remove()
    time.sleep(0.3)  # a process of its own makes room

    assert sorted(Path(cache.path).rglob("*")) == before
    assert path.read_bytes() == b"a damaged archive, the only copy"
    assert len(verify(cache, remove=False).damages) == 1


def test_kept_signatures_make_no_store(cache: NodeCache) -> None:
    """A node that requires signatures, and deploys, has folders of these names."""
    name = put_archive(cache, used=DAY)
    for folder in ("signatures", "channels", "deployments"):
        cache.make_folder(folder)

    assert [archive.hash for archive in clear(cache).removed] == [name]


@pytest.mark.parametrize("text", ["", "Signature: 8a477f597d28d172789f06886806bc55\n"])
def test_marker_of_another_program_is_none(cache: NodeCache, text: str) -> None:
    os.makedirs(cache.path)
    Path(cache.path, NAME).write_text(text)
    cache.make()

    assert not is_marked(cache.path)
    with pytest.raises(CacheError):
        clear(cache)
    assert Path(cache.path, NAME).read_text() == text


def test_only_names_of_its_form_are_deleted(cache: NodeCache) -> None:
    cache.make()
    before = put_foreign(Path(cache.path))
    put_archive(cache, used=40 * DAY)

    shrink(cache, "1B")
    prune(cache, limit=0, older_than=DAY)
    clear(cache, force=True)

    assert contents(Path(cache.path)) == before
    assert hashes_by_use(cache) == []
