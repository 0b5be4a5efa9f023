"""Delivery: published once, fetched once per node, proved where it enters."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.delivery.fetch import fetch
from lazyimport.delivery.publish import Published, publish
from lazyimport.errors import (
    ArchiveError,
    ArchiveMissing,
    CacheError,
    MalformedArchive,
    StoreMissing,
    UnsupportedArchive,
)
from lazyimport.format.archive import Archive
from lazyimport.registry.layout import archive_key
from lazyimport.settings import Settings
from lazyimport.stores import open_store, writable
from tests.support import forge
from tests.support.compare_importers import Files, pack_tree, write_tree
from tests.support.disks import mounted
from tests.support.node_cache import DAY, put_archive
from tests.support.recorder import Recorder

TREE: Files = {
    **{f"pkg/m{n}.py": f"def f{n}():\n    return {n} * {n}\n" for n in range(40)},
    "pkg/__init__.py": "",
    "pkg/blob.bin": os.urandom(50_000),
}


class Site:
    """An author's tree and cache, a store, and a node."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.tree = write_tree(TREE, base / "tree")
        self.author = NodeCache(str(base / "author"))
        self.url = f"file://{base}/store"
        self.node = base / "node"

    def push(self) -> Published:
        hash_ = pack_tree(self.tree, Path(self.author.path))
        archive = self.author.open(hash_)
        assert archive is not None
        return publish(archive, writable(open_store(self.url)), self.author)

    def object(self, hash_: str) -> Path:
        return self.base / "store" / archive_key(hash_)

    def delta(self) -> tuple[bytes, str]:
        """Push twice, and return what the second one sent, and its hash."""
        self.push()
        (self.tree / "pkg/m3.py").write_text("x = 1\n")
        pushed = self.push()
        assert pushed.kind == "delta"
        return self.object(pushed.hash).read_bytes(), pushed.hash

    def settings(self, **changes: str) -> Settings:
        values = {"store": self.url, "cache_dir": str(self.node), **changes}
        return Settings(**values)  # type: ignore[arg-type]

    def fetch(self, hash_: str, **changes: str) -> tuple[Archive, int]:
        return fetch(self.settings(**changes), hash_)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def contents(archive: Archive) -> dict[str, bytes]:
    return {e.path: bytes(archive.content(e)) for e in archive.index.entries()}


def everything(archive: Archive) -> None:
    for entry in archive.index.entries():
        archive.content(entry)
        for variant, _ in entry.codes():
            archive.bytecode(entry, variant)


@pytest.mark.parametrize("mode", ["raw", "zstd", "memory"])
def test_what_was_pushed_arrives(site: Site, mode: str) -> None:
    pushed = site.push()
    original = site.author.open(pushed.hash)
    assert original is not None

    archive, size = site.fetch(pushed.hash, cache_mode=mode)

    assert contents(archive) == contents(original)
    everything(archive)
    assert size == pushed.size == site.object(pushed.hash).stat().st_size
    assert pushed.kind == "full"
    assert site.node.exists() == (mode != "memory")


def test_second_fetch_moves_nothing_and_needs_no_store(site: Site) -> None:
    pushed = site.push()
    site.fetch(pushed.hash)
    site.object(pushed.hash).unlink()

    archive, size = site.fetch(pushed.hash)

    assert size == 0
    everything(archive)


def test_pushing_again_sends_nothing(site: Site) -> None:
    site.push()

    again = site.push()

    assert (again.kind, again.size) == ("present", 0)


@pytest.mark.parametrize("mode", ["raw", "zstd", "memory"])
def test_change_is_sent_as_a_delta(site: Site, mode: str) -> None:
    first = site.push()
    site.fetch(first.hash, cache_mode=mode)
    (site.tree / "pkg/m3.py").write_text("def f3():\n    return 'changed'\n")
    (site.tree / "pkg/m4.py").unlink()

    second = site.push()
    archive, size = site.fetch(second.hash, cache_mode=mode)
    original = site.author.open(second.hash)
    assert original is not None

    assert (second.kind, second.base) == ("delta", first.hash)
    assert second.size < first.size / 20
    assert contents(archive) == contents(original)
    # without a disk nothing is kept, so the base comes along
    assert size == second.size + (first.size if mode == "memory" else 0)


def test_node_without_the_base_fetches_both(site: Site) -> None:
    first = site.push()
    (site.tree / "pkg/m3.py").write_text("x = 1\n")
    second = site.push()

    archive, size = site.fetch(second.hash)

    assert size == first.size + second.size
    everything(archive)


def test_third_push_builds_on_the_full_archive(site: Site) -> None:
    """Never a chain: a delta's base is a full archive."""
    first = site.push()
    for text in ("x = 1\n", "x = 2\n"):
        (site.tree / "pkg/m3.py").write_text(text)
        pushed = site.push()

        assert (pushed.kind, pushed.base) == ("delta", first.hash)


def test_large_change_is_sent_in_full(site: Site) -> None:
    site.push()
    (site.tree / "pkg/blob.bin").write_bytes(os.urandom(50_000))

    assert site.push().kind == "full"


def test_going_back_finds_the_old_archive(site: Site) -> None:
    """A rollback moves nothing at all."""
    before = (site.tree / "pkg/m3.py").read_text()
    first = site.push()
    (site.tree / "pkg/m3.py").write_text("x = 1\n")
    site.push()
    (site.tree / "pkg/m3.py").write_text(before)

    back = site.push()

    assert (back.hash, back.kind) == (first.hash, "present")


def test_unknown_hash(site: Site) -> None:
    site.push()
    unknown = "ab" * 32

    with pytest.raises(ArchiveMissing) as caught:
        site.fetch(unknown)

    for text in (unknown, site.url, str(site.node), "lazyimport push"):
        assert text in str(caught.value)
    # It says all there is to say: what the store raised is not shown above it.
    assert 1 == "".join(traceback.format_exception(caught.value)).count("Traceback")


def test_no_store_at_all(site: Site) -> None:
    with pytest.raises(ArchiveMissing, match="LAZYIMPORT_STORE"):
        fetch(Settings(cache_dir=str(site.node)), "ab" * 32)


def test_store_that_does_not_exist(site: Site) -> None:
    with pytest.raises(StoreMissing, match="elsewhere"):
        site.fetch("ab" * 32, store=f"file://{site.base}/elsewhere")


@pytest.mark.parametrize("mode", ["raw", "memory"])
@pytest.mark.parametrize("length", [1, 2, 9])
def test_bases_without_end(site: Site, mode: str, length: int) -> None:
    """Forged: a delta to itself, two to each other, many in a row."""
    delta, first = site.delta()
    names = [first, *(f"{n:064x}" for n in range(1, length))]
    for name, base in zip(names, [*names[1:], names[0]], strict=True):
        ends = {"hash": bytes.fromhex(name), "base": bytes.fromhex(base)}
        path = site.object(name)
        path.unlink(missing_ok=True)
        path.write_bytes(forge.reheaded(delta, **ends))

    with pytest.raises(MalformedArchive, match="is no full archive"):
        site.fetch(first, cache_mode=mode)


def test_missing_base_is_named(site: Site) -> None:
    first = site.push()
    (site.tree / "pkg/m3.py").write_text("x = 1\n")
    second = site.push()
    site.object(first.hash).unlink()

    with pytest.raises(ArchiveMissing) as caught:
        site.fetch(second.hash)

    assert first.hash in str(caught.value)
    assert second.hash in str(caught.value)


def truncate(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    return data[:-3000] + bytes([data[-3000] ^ 4]) + data[-2999:]


def newer(data: bytes) -> bytes:
    return data[:8] + (2).to_bytes(2, "little") + data[10:]


@pytest.mark.parametrize("mode", ["raw", "zstd"])
@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (truncate, MalformedArchive),
        (flip, ArchiveError),
        (newer, UnsupportedArchive),
        (lambda _: b"", MalformedArchive),
        (lambda _: b"<html>not found</html>" * 20, MalformedArchive),
    ],
    ids=["truncated", "flipped", "newer", "empty", "not an archive"],
)
def test_spoiled_object_is_refused_and_leaves_nothing(
    site: Site,
    mode: str,
    spoil: Callable[[bytes], bytes],
    error: type[ArchiveError],
) -> None:
    pushed = site.push()
    stored = site.object(pushed.hash)
    good = stored.read_bytes()
    stored.chmod(0o600)
    stored.write_bytes(spoil(good))

    with pytest.raises(error) as caught:
        site.fetch(pushed.hash, cache_mode=mode)

    assert pushed.hash in str(caught.value)
    assert site.url in str(caught.value)
    assert list((site.node / "archives").glob("*")) == []
    stored.write_bytes(good)
    everything(site.fetch(pushed.hash, cache_mode=mode)[0])


def test_forged_object_is_refused(site: Site) -> None:
    """A valid archive of something else under this name."""
    wanted = site.push()
    (site.tree / "pkg/blob.bin").write_bytes(os.urandom(60_000))
    other = site.push()
    os.replace(site.object(other.hash), site.object(wanted.hash))

    with pytest.raises(MalformedArchive) as caught:
        site.fetch(wanted.hash)

    assert wanted.hash in str(caught.value)
    assert other.hash in str(caught.value)


def test_forged_header_is_refused(site: Site) -> None:
    """A valid archive of something else that claims to be this one."""
    from lazyimport.format.sections import HEADER_SIZE, Header

    wanted = site.push()
    (site.tree / "pkg/blob.bin").write_bytes(os.urandom(60_000))
    other = site.push()
    data = site.object(other.hash).read_bytes()
    header = Header.decode(data)
    header.hash = wanted.hash
    site.object(wanted.hash).chmod(0o600)
    site.object(wanted.hash).write_bytes(header.encode() + data[HEADER_SIZE:])

    with pytest.raises(ArchiveError) as caught:
        site.fetch(wanted.hash)

    assert wanted.hash in str(caught.value)


@pytest.mark.parametrize("where", [100, 200, -1], ids=["header", "root", "cut"])
def test_damaged_cache_is_fetched_again(site: Site, where: int) -> None:
    pushed = site.push()
    site.fetch(pushed.hash)
    path = site.node / "archives" / pushed.hash
    data = bytearray(path.read_bytes())
    path.chmod(0o600)
    if where < 0:
        path.write_bytes(data[:where])
    else:
        data[where] ^= 1
        path.write_bytes(data)

    with pytest.warns(RuntimeWarning, match=f"{pushed.hash}.*fetching it again"):
        archive, size = site.fetch(pushed.hash)

    assert size == pushed.size
    everything(archive)


FETCH = """
import sys, time
from lazyimport.delivery import fetch as module
from lazyimport.stores.file import FileStore
receive = FileStore._receive
def counted(self, attempt, *rest):
    open(sys.argv[4], "a").write(attempt.key + "\\n")
    time.sleep(float(sys.argv[5]))
    return receive(self, attempt, *rest)
FileStore._receive = counted
from lazyimport.settings import Settings
archive, size = module.fetch(Settings(store=sys.argv[1], cache_dir=sys.argv[2]), sys.argv[3])
print(size, sum(len(archive.content(e)) for e in archive.index.entries()))
"""


def start(site: Site, hash_: str, pause: float) -> subprocess.Popen[str]:
    log = str(site.base / "downloads")
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, site.url, str(site.node), hash_, log, str(pause)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_one_download_however_many_processes_start(site: Site) -> None:
    pushed = site.push()

    children = [start(site, pushed.hash, 0.2) for _ in range(16)]
    results = [child.communicate(timeout=60) for child in children]

    assert all(not errors for _, errors in results), results
    sizes = [int(out.split()[0]) for out, _ in results]
    assert sorted(sizes) == [0] * 15 + [pushed.size]
    assert (site.base / "downloads").read_text() == f"{archive_key(pushed.hash)}\n"


def test_fetching_loads_nothing_of_the_packing_side(site: Site) -> None:
    _, hash_ = site.delta()
    program = """\
import sys
from lazyimport.delivery.fetch import fetch
from lazyimport.settings import Settings
fetch(Settings(store=sys.argv[1], cache_dir=sys.argv[2]), sys.argv[3])
print(*(name for name in sys.modules if name.startswith("lazyimport.packing")))
"""
    arguments = [site.url, str(site.node), hash_]
    command = [sys.executable, "-c", program, *arguments]
    assert subprocess.check_output(command, text=True) == "\n"


def test_killed_downloader_is_replaced(site: Site) -> None:
    """Its lock is free at once, and what it left behind goes away."""
    pushed = site.push()
    first = start(site, pushed.hash, 60)
    while not (site.base / "downloads").exists():
        time.sleep(0.01)
    second = start(site, pushed.hash, 0)

    first.send_signal(signal.SIGKILL)
    first.communicate()
    out, errors = second.communicate(timeout=60)

    assert out.split()[0] == str(pushed.size), errors
    assert [p.name for p in (site.node / "archives").iterdir()] == [pushed.hash]


def test_waiting_for_another_download_ends(site: Site) -> None:
    pushed = site.push()
    with (
        NodeCache(str(site.node)).lock(pushed.hash, 1),
        pytest.raises(CacheError, match="LAZYIMPORT_TIMEOUT"),
    ):
        site.fetch(pushed.hash, timeout="0.2")


def test_cache_that_cannot_be_written(site: Site) -> None:
    pushed = site.push()
    site.node.write_text("a file where the directory should be")

    with pytest.raises(CacheError, match="is not a directory; remove what is there"):
        site.fetch(pushed.hash)


def test_disk_that_unused_archives_have_filled(site: Site) -> None:
    """As far as a cache without a limit goes, and whoever was to remove them died."""
    hash_ = site.push().hash
    size = os.stat(site.author.archive_path(hash_)).st_size
    with mounted(site.node, f"size={2 * size}", "mode=700"):
        cache = NodeCache(str(site.node))
        old = put_archive(cache, used=DAY, **{"pkg/more.bin": os.urandom(size)})
        reporter = Recorder()
        archive, _ = fetch(site.settings(), hash_, reporter)
        assert archive.what == cache.archive_path(hash_)
        assert old not in cache.archives()
        assert reporter.warnings == []
        del archive


def test_cached_archive_is_read_only_and_private(site: Site) -> None:
    pushed = site.push()
    site.fetch(pushed.hash)

    assert (site.node / "archives" / pushed.hash).stat().st_mode & 0o777 == 0o444
    assert site.node.stat().st_mode & 0o777 == 0o700
