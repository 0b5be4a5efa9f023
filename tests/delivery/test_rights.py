"""Without the rights: a cache, a store or a tree that this user may not use.

Permissions hold for root too here, so that these are tested wherever tests run.
"""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest

from lazyimport.cache.bytecode import BytecodeCache
from lazyimport.cache.layout import SHARED
from lazyimport.cache.materialize import Materializer
from lazyimport.cache.node import NodeCache
from lazyimport.cache.verify import prove
from lazyimport.delivery.fetch import fetch
from lazyimport.errors import CacheError, StoreDenied
from lazyimport.importing.tree import Tree
from tests.delivery.test_fallback import Site
from tests.support.disks import NOBODY, as_nobody, need_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: What a node cache has when an archive was fetched and used.
FOLDERS = ["", "archives", "locks", "trees", "blobs", "bytecode"]


@pytest.fixture
def site() -> Iterator[Site]:
    """A site whose node is nobody's, not in tmp_path, which others may not enter."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        site = Site(Path(folder))
        site.node.mkdir(mode=0o700)
        for name in FOLDERS:
            (site.node / name).mkdir(mode=0o700, exist_ok=True)
            if os.geteuid() == 0:
                os.chown(site.node / name, NOBODY, NOBODY)
        yield site
        for path, _, _ in os.walk(folder):
            Path(path).chmod(0o755)


@pytest.mark.parametrize("mode", [0o500, 0], ids=["read-only", "locked"])
@pytest.mark.parametrize("folder", ["", "archives", "locks"])
def test_a_cache_that_may_not_be_written(site: Site, folder: str, mode: int) -> None:
    pushed = site.push()
    (site.node / folder).chmod(mode)
    if not folder and mode:  # what is in it may be written all the same
        for name in ("archives", "locks"):
            (site.node / name).rmdir()
    with as_nobody():
        assert site.falls_back(pushed.hash) == pushed.size


def test_a_cache_below_a_locked_folder(site: Site) -> None:
    pushed = site.push()
    above = site.base / "above"
    above.mkdir(mode=0)
    site.node = above / "cache"
    with as_nobody():
        assert site.falls_back(pushed.hash) == pushed.size


def test_an_archive_that_may_not_be_read(site: Site) -> None:
    """Somebody with another umask, or as root, put it there."""
    pushed = site.push()
    with as_nobody():
        fetch(site.settings(), pushed.hash)
    (site.node / "archives" / pushed.hash).chmod(0)
    with as_nobody():
        assert site.falls_back(pushed.hash) == pushed.size


def test_anothers_cache_is_refused_and_not_used(site: Site) -> None:
    need_root()
    pushed = site.push()
    with as_nobody():
        fetch(site.settings(), pushed.hash)
    for path in [site.node, *site.node.rglob("*")]:
        os.chown(path, NOBODY - 1, NOBODY - 1)
        path.chmod(0o755)
    with as_nobody(), pytest.raises(CacheError, match=f"belongs to user {NOBODY - 1}"):
        fetch(site.settings(), pushed.hash)


@pytest.mark.parametrize("step", ["write", "sync"])
def test_a_quota_that_is_used_up(
    site: Site, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Injected: few kernels have quotas. NFS may report one at the end only."""
    pushed = site.push()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    place = {"write": "lazyimport.delivery.rooms.FileRoom.write", "sync": "os.fsync"}[
        step
    ]
    monkeypatch.setattr(place, refuse)
    with as_nobody():
        assert site.falls_back(pushed.hash) == pushed.size
    assert list((site.node / "archives").iterdir()) == []


@pytest.mark.parametrize("folder", ["trees", "blobs"])
def test_files_that_cannot_be_made_are_done_without(site: Site, folder: str) -> None:
    pushed = site.push(text="x" * SHARED)
    with as_nobody():
        archive, _ = fetch(site.settings(), pushed.hash)
    (site.node / folder).chmod(0o500)
    root = NodeCache(str(site.node)).tree_path(archive.hash)
    tree = Tree(archive, root, lambda: Materializer(archive, root))
    with as_nobody():
        assert tree.put_package("shop") is not None
        prove(archive)


def test_bytecode_that_cannot_be_kept_is_done_without(site: Site) -> None:
    (site.node / "bytecode").chmod(0o500)
    kept = BytecodeCache(NodeCache(str(site.node)), "cpython", b"abcd", 0)
    with as_nobody():
        kept.put(b"d" * 32, b"code")
        assert kept.get(b"d" * 32) is None


@pytest.mark.parametrize("folder", ["", "archives"])
def test_a_store_that_may_not_be_read(site: Site, folder: str) -> None:
    pushed = site.push()
    (site.base / "store" / folder).chmod(0)
    with as_nobody(), pytest.raises(StoreDenied) as caught:
        fetch(site.settings(), pushed.hash)
    for text in (pushed.hash, site.url, "Permission denied", "give user id"):
        assert text in str(caught.value)
