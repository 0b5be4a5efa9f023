"""A disk that takes nothing stops no process: it runs from memory, and says so."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOLCK
from pathlib import Path
from typing import Any

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.cache.verify import prove
from lazyimport.delivery.fetch import fetch
from lazyimport.delivery.obtaining import obtain
from lazyimport.delivery.publish import Published, publish
from lazyimport.errors import ArchiveMissing, CacheError, StoreMissing
from lazyimport.registry.layout import archive_key
from lazyimport.settings import Settings
from lazyimport.stores import open_store, writable
from lazyimport.stores.attempt import Attempt
from lazyimport.stores.file import FileStore
from tests.support.compare_importers import pack_tree, write_tree
from tests.support.disks import NOBODY, mounted, need_root
from tests.support.late_activation import HASH_FOR_LATER, SET_HASH
from tests.support.recorder import Recorder


class Site:
    """An author who pushes versions of a tree, and a node."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.node = base / "node"
        self.url = f"file://{base}/store"
        self.tree = write_tree(
            {"shop/__init__.py": "", "shop/data.bin": os.urandom(200_000)},
            base / "tree",
        )

    def push(self, name: str = "a", text: str = "") -> Published:
        author = NodeCache(str(self.base / "author"))
        (self.tree / f"shop/{name}.py").write_text(f"x = {text!r}\n")
        archive = author.open(pack_tree(self.tree, Path(author.path)))
        assert archive is not None
        return publish(archive, writable(open_store(self.url)), author)

    def settings(self, **changes: str) -> Settings:
        values = {"store": self.url, "cache_dir": str(self.node), **changes}
        return Settings(**values)  # type: ignore[arg-type]

    def falls_back(self, hash_: str) -> int:
        """Fetch from memory and say so in one line; return the bytes downloaded."""
        reporter = Recorder()
        archive, size = fetch(self.settings(), hash_, reporter)
        prove(archive)
        (line,) = reporter.warnings
        assert "\n" not in line
        for text in (hash_, str(self.node), "memory", "LAZYIMPORT_CACHE_DIR"):
            assert text in line
        return size


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture(name="asked")
def _asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of all requests."""
    asked = []
    receive = FileStore._receive

    def counted(self: FileStore, attempt: Attempt, *rest: Any) -> None:
        asked.append(attempt.key)
        receive(self, attempt, *rest)

    monkeypatch.setattr(FileStore, "_receive", counted)
    return asked


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """A disk that is full after so many bytes of any one file; needs no root."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_every_size_of_room(site: Site) -> None:
    """None at all, not enough for the download, enough for that alone, for all."""
    pushed = site.push()
    for room in (0, 1000, 150_000, pushed.size, pushed.size + 10):
        with no_file_larger_than(room):
            assert site.falls_back(pushed.hash) == pushed.size
        assert list((site.node / "archives").iterdir()) == []
    with no_file_larger_than(10**7):
        archive, _ = fetch(site.settings(), pushed.hash)
    prove(archive)


def test_a_file_system_without_locks(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As some network file systems are: no cold start ends there."""

    def refuse(*_: object) -> None:
        raise OSError(ENOLCK, os.strerror(ENOLCK))

    pushed = site.push()
    monkeypatch.setattr("lazyimport.locks.flock", refuse)

    assert site.falls_back(pushed.hash) == pushed.size
    archive, _ = obtain(site.settings().with_hash(pushed.hash), Recorder())
    prove(archive)


def test_delta_without_room_moves_nothing_twice(site: Site, asked: list[str]) -> None:
    base, delta = site.push(text="1"), site.push(text="2")
    assert delta.kind == "delta"
    asked.clear()
    with no_file_larger_than(base.size + 10):
        assert site.falls_back(delta.hash) == base.size + delta.size
    assert sorted(asked) == sorted(archive_key(p.hash) for p in (base, delta))


def test_delta_without_room_is_read_with_the_base_on_the_disk(site: Site) -> None:
    """No second copy of that: this process, and the one that asked, have it mapped."""
    base, delta = site.push(text="1"), site.push(text="2")
    fetch(site.settings(), base.hash)
    with no_file_larger_than(0):
        assert site.falls_back(delta.hash) == delta.size
        wanted = site.settings().with_hash(delta.hash)
        archive, size = obtain(wanted, Recorder())
    assert size == delta.size
    assert archive.base is not None
    assert archive.base.what == NodeCache(str(site.node)).archive_path(base.hash)
    prove(archive)


@pytest.mark.parametrize("room", [63, 64, 65, 226, 500])
def test_without_room_for_what_went_wrong(site: Site, room: int) -> None:
    """The fetcher can write its error nowhere, or only the beginning of it."""
    pushed, reporter = site.push(), Recorder()
    with no_file_larger_than(room):
        archive, size = obtain(site.settings().with_hash(pushed.hash), reporter)
    assert size == pushed.size
    (line,) = reporter.warnings
    assert "runs from memory" in line
    prove(archive)


def test_what_is_fetched_ahead_must_end_up_in_the_cache(site: Site) -> None:
    """What runs from memory here is of no use to processes that start later."""
    pushed = site.push()
    with (
        no_file_larger_than(0),
        pytest.raises(CacheError, match=f"{pushed.hash}.*LAZYIMPORT_CACHE_DIR"),
    ):
        fetch(site.settings(), pushed.hash, ahead=True)

    _, size = fetch(site.settings(), pushed.hash, ahead=True)
    assert size == pushed.size
    assert (site.node / "archives" / pushed.hash).exists()


def test_full_disk(site: Site) -> None:
    pushed = site.push()
    for kilobytes in (8, 100, 150):
        with mounted(site.node, f"size={kilobytes}k", "mode=0700"):
            site.falls_back(pushed.hash)


def test_read_only_disk(site: Site) -> None:
    pushed = site.push()
    with mounted(site.node, "ro", "mode=0700"):
        site.falls_back(pushed.hash)


def test_read_only_disk_that_has_the_archive(site: Site) -> None:
    """An image with a filled cache: nothing is written, and there is no warning."""
    pushed = site.push()
    with mounted(site.node, "size=4m", "mode=0700"):
        fetch(site.settings(), pushed.hash)
        subprocess.run(["mount", "-o", "remount,ro", str(site.node)], check=True)
        archive, size = fetch(site.settings(), pushed.hash)
        assert size == 0
        prove(archive)
        del archive


CHILD = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
import lazyimport.activation
lazyimport.activation.start()
import shop.a
print(shop.a.x, shop.a.__file__)
"""


def test_activated_process_says_it_in_one_line(site: Site) -> None:
    """And ``__file__`` names the place where the file would be."""
    pushed = site.push(text="hello")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SET_HASH + CHILD],
        env={
            **os.environ,
            HASH_FOR_LATER: pushed.hash,
            "LAZYIMPORT_STORE": site.url,
            "LAZYIMPORT_CACHE_DIR": str(site.node),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    path = f"{NodeCache(str(site.node)).tree_path(pushed.hash)}/shop/a.py"
    assert (done.stdout, done.returncode) == (f"hello {path}\n", 0), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"lazyimport: archive {pushed.hash} runs from memory")


@pytest.mark.parametrize("files", range(3, 10))
def test_a_disk_that_takes_no_more_files(site: Site, files: int) -> None:
    pushed, reporter = site.push(), Recorder()
    with mounted(site.node, f"nr_inodes={files}", "mode=0700"):
        prove(fetch(site.settings(), pushed.hash, reporter)[0])
        is_here = NodeCache(str(site.node)).open(pushed.hash) is not None
    assert is_here == (reporter.warnings == [])
    assert all("inodes" in line for line in reporter.warnings)


@pytest.mark.parametrize("has", ["nothing", "the base", "the archive"])
def test_another_users_cache(site: Site, has: str) -> None:
    need_root()
    hashes = [site.push().hash, site.push(text="as a delta").hash]
    site.node.mkdir(mode=0o700)
    fetch(site.settings(cache_mode="memory"), hashes[1])  # imports what it needs
    if has != "nothing":
        fetch(site.settings(), hashes[has == "the archive"])
    before = sorted(site.node.rglob("*"))
    for path in [site.base, *site.base.parents[:-1]]:
        path.chmod(path.stat().st_mode | 0o011)
    os.seteuid(NOBODY)
    try:
        site.falls_back(hashes[1])
    finally:
        os.seteuid(0)
    assert sorted(site.node.rglob("*")) == before


def test_cache_that_others_can_write_is_refused(site: Site) -> None:
    """Memory is for disks that do not work, not for those that somebody prepared."""
    pushed = site.push()
    site.node.mkdir()
    site.node.chmod(0o777)
    with pytest.raises(CacheError, match="written by everybody"):
        fetch(site.settings(), pushed.hash)

    need_root()
    site.node.chmod(0o700)
    os.chown(site.node, NOBODY, NOBODY)
    with pytest.raises(CacheError, match=f"belongs to user {NOBODY}"):
        fetch(site.settings(), pushed.hash)


def test_without_a_store_there_is_nothing_to_fall_back_to(site: Site) -> None:
    with no_file_larger_than(0), pytest.raises(ArchiveMissing):
        fetch(site.settings(store=""), "ab" * 32)


def test_one_download_however_many_threads_start(site: Site, asked: list[str]) -> None:
    pushed = site.push()
    asked.clear()
    sizes = []
    threads = [
        threading.Thread(
            target=lambda: sizes.append(fetch(site.settings(), pushed.hash)[1])
        )
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert asked == [archive_key(pushed.hash)]
    assert sorted(sizes) == [0] * 15 + [pushed.size]


def test_two_deltas_at_once_fetch_their_base_once(site: Site, asked: list[str]) -> None:
    base, *deltas = [site.push(text=text) for text in "123"]
    asked.clear()
    threads = [
        threading.Thread(target=fetch, args=(site.settings(), delta.hash))
        for delta in deltas
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(asked) == sorted(archive_key(p.hash) for p in (base, *deltas))


OFFLINE = """
import socket
def refuse(*_): raise AssertionError("a socket")
socket.socket = socket.create_connection = socket.getaddrinfo = refuse
import lazyimport, sys
lazyimport.install()
import shop.a
online = ("lazyimport.delivery", "lazyimport.registry", "lazyimport.stores")
print(shop.a.x, [name for name in sys.modules if name.startswith(online)])
"""


def test_node_that_has_the_archive_needs_no_network(site: Site) -> None:
    pushed = site.push(text="hello")
    fetch(site.settings(), pushed.hash)
    done = subprocess.run(
        [sys.executable, "-c", SET_HASH + OFFLINE],
        env={
            **os.environ,
            HASH_FOR_LATER: pushed.hash,
            "LAZYIMPORT_STORE": "gs://no-such-bucket/code",
            "LAZYIMPORT_CACHE_DIR": str(site.node),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout == "hello []\n"


def test_node_with_the_base_alone_says_what_is_missing(site: Site) -> None:
    base, delta = site.push(text="1"), site.push(text="2")
    fetch(site.settings(), base.hash)
    with pytest.raises(StoreMissing) as caught:
        fetch(site.settings(store="file:///nowhere"), delta.hash)

    for text in (f"archive {delta.hash} is not in", str(site.node), "file:///nowhere"):
        assert text in str(caught.value)


def test_node_that_cannot_get_the_base_names_both(site: Site) -> None:
    base, delta = site.push(text="1"), site.push(text="2")
    (site.base / "store" / archive_key(base.hash)).unlink()
    with pytest.raises(ArchiveMissing, match=f"{delta.hash}.*{base.hash}"):
        fetch(site.settings(), delta.hash)
