"""The marker: without it nothing is deleted, with it only names of the cache's form."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lazyimport.cache.evict import clear, prune, shrink
from lazyimport.cache.marker import NAME, is_marked
from lazyimport.cache.node import NodeCache
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
