"""Large files in the node cache: once, as long as something needs them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lazyimport.cache import sweeper
from lazyimport.cache.evict import clear, prune
from lazyimport.cache.node import NodeCache
from lazyimport.cache.removal import remove_unless_used
from lazyimport.cache.sealed import is_sealed
from lazyimport.cache.usage import usage
from lazyimport.cache.verify import verify
from lazyimport.delivery.blobs_in import fetch_blob
from lazyimport.delivery.fetch import fetch
from lazyimport.errors import MemberMissing
from lazyimport.packing.options import PackOptions
from lazyimport.packing.packer import pack
from lazyimport.reporting import SILENT, Reporter
from tests.support.large import DENSE, LOOSE, LargeSite
from tests.support.node_cache import materialize

#: What is not large, in all.
SMALL = 300_000


@pytest.fixture
def site(tmp_path: Path) -> LargeSite:
    return LargeSite(tmp_path)


def bring(site: LargeSite, hash: str) -> str:
    archive, _ = fetch(site.settings(), hash)
    for blob in archive.blobs().values():
        fetch_blob(site.settings(), hash, blob, SILENT)
    return hash


def age(site: LargeSite) -> None:
    """Let two days pass."""
    for folder, _, names in os.walk(site.node.path):
        for name in names:
            path = f"{folder}/{name}"
            status = os.stat(path)
            then = [
                time - 2 * 86400 * 10**9
                for time in (status.st_atime_ns, status.st_mtime_ns)
            ]
            os.utime(path, ns=(then[0], then[1]))


def test_two_versions_and_a_tree_take_the_size_of_the_data(site: LargeSite) -> None:
    bring(site, site.push().hash)
    (site.tree / "shop/__init__.py").write_text("x = 2\n")
    second = bring(site, site.push().hash)
    materialize(site.node, second)

    assert usage(site.node) < len(site.dense) + len(site.loose) + SMALL


def test_packing_keeps_one_copy(site: LargeSite) -> None:
    site.pack()
    (site.tree / "shop/__init__.py").write_text("x = 2\n")
    site.pack()

    assert usage(site.author) < len(site.dense) + len(site.loose) + SMALL
    assert not prune(site.author, older_than=0.0).in_use


def test_stay_with_the_last_archive_that_needs_them(site: LargeSite) -> None:
    first = bring(site, site.push().hash)
    (site.tree / DENSE).write_bytes(site.dense[::-1])
    second = bring(site, site.push().hash)
    age(site)

    prune(site.node)
    assert all(site.here(hash).exists() for hash in (first, second))

    os.utime(site.node.archive_path(second))
    prune(site.node, older_than=86400.0)

    assert not site.here(first).exists()
    assert site.here(second).exists()
    assert site.here(second, LOOSE).exists()

    clear(site.node)
    assert usage(site.node) < SMALL


def test_stay_with_a_packing_that_was_not_written_whole(site: LargeSite) -> None:
    site.push()
    (site.tree / LOOSE).write_bytes(site.loose[1:])
    hash = site.pack().hash
    assert site.author.open(hash) is None
    for path in Path(site.author.path, "blobs").glob("*/*"):
        os.utime(path, ns=(0, path.stat().st_mtime_ns - 2 * 86400 * 10**9))

    prune(site.author)

    names = {path.name for path in Path(site.author.path, "blobs").glob("*/*")}
    assert len(names) == 3

    clear(site.author, force=True)
    assert not list(Path(site.author.path, "blobs").glob("*/*"))


@pytest.mark.parametrize("how", ["archive", "partial", "writing", "used"])
def test_stay_with_what_comes_after_the_walk(
    site: LargeSite, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bring(site, site.push().hash)
    (site.tree / "shop/__init__.py").write_text("x = 2\n")
    second = site.push().hash
    age(site)
    open_files = []

    def remove_late(cache: NodeCache, hash: str, *, force: bool) -> bool:
        if how == "used":
            open_files.append(cache.open_blob(site.blob(second)))
        else:
            fetch(site.settings(), second)
        whole = Path(cache.archive_path(second))
        if how == "partial":
            whole.rename(cache.partial_path(second, "raw"))
        if how == "writing":
            whole.unlink()
            open_files.append(cache.begin(second, "raw", lambda _: True))
        return remove_unless_used(cache, hash, force=force)

    monkeypatch.setattr(sweeper, "remove_unless_used", remove_late)
    assert len(prune(site.node, older_than=86400.0).removed) == 1

    assert site.here(first).exists()
    for file in open_files:
        file.close()
    age(site)
    monkeypatch.undo()
    clear(site.node)
    assert not site.here(first).exists()


def test_stay_while_an_archive_is_here_that_cannot_be_read(site: LargeSite) -> None:
    """It is of a newer format, and may need them."""
    hash = bring(site, site.push().hash)
    path = Path(site.node.archive_path(hash))
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[8] += 1
    path.write_bytes(data)
    age(site)

    prune(site.node)
    assert site.here(hash).exists()

    clear(site.node)
    assert not site.here(hash).exists()


def test_verify_finds_what_was_edited(site: LargeSite) -> None:
    hash = bring(site, site.push().hash)
    tree = Path(materialize(site.node, hash))
    here = site.here(hash)
    here.chmod(0o644)
    data = bytearray(site.dense)
    data[17] ^= 1
    here.write_bytes(data)

    assert [damage.path for damage in verify(site.node, remove=True).damages] == [
        str(here)
    ]
    assert not here.exists()
    assert not (tree / DENSE).exists()
    bring(site, hash)
    materialize(site.node, hash)
    assert (tree / DENSE).read_bytes() == site.dense
    assert not verify(site.node, remove=False).damages


def test_one_with_a_broken_seal_is_read_once(site: LargeSite) -> None:
    """As in a layer of an image, which keeps no more than seconds."""
    blob = site.blob(site.pack().hash)
    path = site.author.blob_path(blob.digest, executable=False)
    os.utime(path, (10**9, 10**9))
    assert not is_sealed(os.stat(path), blob.name)

    site.author.open_blob(blob).close()

    assert is_sealed(os.stat(path), blob.name)


def test_one_that_is_damaged_is_read_once(site: LargeSite) -> None:
    """Whoever waits for it looks for it every few milliseconds."""
    blob = site.blob(site.pack().hash)
    path = site.author.blob_path(blob.digest, executable=False)
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.write(b"damaged")

    with pytest.raises(MemberMissing):
        site.author.open_blob(blob)

    assert not os.path.exists(path)


def test_stay_while_they_are_packed(site: LargeSite) -> None:
    """What refers to them is written last, after all sources are compiled."""

    class Evicting(Reporter):
        def step(self, text: str, *_: object) -> None:
            clear(site.author)

    options = PackOptions()
    settings = site.author_settings()
    packed = pack([site.tree], settings, options, reporter=Evicting(), whole=False)

    assert len(packed.revision.blobs) == 2
    for blob in packed.revision.blobs.values():
        site.author.read_blob(blob)
