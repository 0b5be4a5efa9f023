"""Large files in a store: they stay as long as an archive that stays needs them."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

import pytest

from lazyimport.delivery.publish import publish
from lazyimport.errors import DamagedArchive, StoreError
from lazyimport.registry.channels import set_channel
from lazyimport.registry.gc import Collected, collect
from lazyimport.registry.gc_lock import Announced, Announcement
from lazyimport.registry.survey import Rules, survey
from lazyimport.stores import mutable, open_store, writable
from lazyimport.stores.file import FileStore
from tests.support.large import DENSE, LOOSE, LargeSite

HOUR = 3600.0
RULES = Rules(older_than=HOUR, history=1)


@pytest.fixture
def site(tmp_path: Path) -> LargeSite:
    return LargeSite(tmp_path)


def age(site: LargeSite) -> None:
    """Let two hours pass."""
    then = time.time() - 2 * HOUR
    for folder, _, names in os.walk(site.base / "store"):
        for name in names:
            os.utime(f"{folder}/{name}", (then, then))


def two_versions(site: LargeSite) -> tuple[str, str]:
    """Push twice, with another large file; a channel points to the second archive."""
    first = site.push().hash
    (site.tree / DENSE).write_bytes(site.dense[::-1])
    second = site.push().hash
    age(site)
    set_channel(mutable(open_store(site.url)), "prod", second, by="a test")
    return first, second


def test_only_what_nobody_needs_goes(site: LargeSite) -> None:
    first, second = two_versions(site)
    store = writable(open_store(site.url))

    found = survey(store, RULES, time.time())
    done = collect(store, RULES, "a test")

    gone = site.object(first)
    assert [blob.key for blob in found.blobs] == [f"blobs/{gone.name}"]
    assert done.blobs == found.blobs
    assert [path.exists() for path in (gone, site.object(second))] == [False, True]
    assert site.object(second, LOOSE).exists()
    assert not survey(store, RULES, time.time()).blobs


def test_what_is_being_pushed_stays(site: LargeSite) -> None:
    first, _ = two_versions(site)
    store = writable(open_store(site.url))
    needs = next((site.base / "store/needs").glob(f"{first}-*"))
    os.utime(needs)  # whoever put it there is about to put the archive

    assert not survey(store, RULES, time.time()).blobs


def test_push_that_reuses_one_waits_for_a_collection(site: LargeSite) -> None:
    first, second = two_versions(site)
    store = FileStore(f"{site.base}/store")
    archive = site.archive(second)
    blob = site.blob(second)
    looked = []

    class Watching(FileStore):
        def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
            if key == "gc/running.json":
                looked.append(key)
                if len(looked) == 3:
                    site.object(second).unlink(missing_ok=True)
                    collection.__exit__()
            return super().read(key, start, end)

    with Announced(store, {blob.name}, "a test") as collection:
        published = publish(archive, Watching(store.folder), site.author)

    assert first != second
    assert published.large == blob.size
    assert site.object(second).exists()


def killed_push(site: LargeSite) -> str:
    """Leave what a push of a changed line put before it was killed two hours ago."""
    first = site.push().hash
    (site.tree / "shop/__init__.py").write_text("x = 2\n")
    hash = site.push().hash
    (site.base / "store/archives" / hash).unlink()
    age(site)
    set_channel(mutable(open_store(site.url)), "prod", first, by="a test")
    return hash


def test_collection_while_a_push_goes_on_where_a_killed_one_was(
    site: LargeSite,
) -> None:
    hash = killed_push(site)
    collected: list[Collected] = []

    class Slow(FileStore):
        def put(self, key: str, data: BinaryIO) -> bool:
            if key == f"archives/{hash}" and not collected:
                collected.append(collect(FileStore(self.folder), RULES, "a test"))
            return super().put(key, data)

    publish(site.archive(hash), Slow(f"{site.base}/store"), site.author)

    assert collected[0].leftovers
    assert not collected[0].blobs
    assert not collect(FileStore(f"{site.base}/store"), RULES, "a test").blobs


def test_leftovers_are_announced(site: LargeSite) -> None:
    """So that a push which is about to put their archive waits, and looks again."""
    hash = killed_push(site)
    announced: list[Collection[str]] = []

    class Watching(FileStore):
        def delete(self, key: str) -> None:
            if key.startswith("needs/"):
                running = Announcement.read(self)
                announced.append(sorted(running.hashes) if running else ())
            super().delete(key)

    collect(Watching(f"{site.base}/store"), RULES, "a test")

    assert announced == [[hash]]


def test_nothing_goes_where_a_note_is_missing(site: LargeSite) -> None:
    two_versions(site)
    for path in (site.base / "store/needs").iterdir():
        path.unlink()

    with pytest.raises(StoreError, match="does not say which large files archive"):
        collect(writable(open_store(site.url)), RULES, "a test")

    assert len(list((site.base / "store/blobs").iterdir())) == 3


def test_damaged_note(site: LargeSite) -> None:
    two_versions(site)
    for path in (site.base / "store/needs").iterdir():
        path.chmod(0o644)
        path.write_text("")

    with pytest.raises(DamagedArchive, match="is damaged"):
        survey(writable(open_store(site.url)), RULES, time.time())
