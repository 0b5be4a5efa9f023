"""Large files travel by themselves: once each, and what is broken off goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lazyimport.cache.arriving import begin_blob
from lazyimport.cache.progress import begin_progress, read_progress, running_fetches
from lazyimport.delivery import blobs_in
from lazyimport.delivery.blobs_in import fetch_blob
from lazyimport.delivery.fetch import fetch
from lazyimport.delivery.obtaining import obtain
from lazyimport.delivery.rooms import FileRoom
from lazyimport.errors import DamagedArchive, MemberMissing
from lazyimport.files import tries
from lazyimport.format.archive import Archive
from lazyimport.reporting import SILENT
from lazyimport.stores import open_store
from tests.support.large import DENSE, LOOSE, LargeSite

#: Bytes in which none of the files lie.
SMALL = 100_000
SIZES = """
import os, shop
folder = os.path.dirname(shop.__file__) + "/weights"
print(*(os.path.getsize(f"{folder}/{name}.bin") for name in ("dense", "loose")))
"""


@pytest.fixture
def site(tmp_path: Path) -> LargeSite:
    return LargeSite(tmp_path)


def arrive(site: LargeSite, hash: str) -> tuple[Archive, int]:
    archive, moved = fetch(site.settings(), hash)
    for blob in archive.blobs().values():
        moved += fetch_blob(site.settings(), hash, blob, SILENT)
    return archive, moved


def content(archive: Archive, path: str) -> bytes:
    entry = archive.index.entry(path)
    assert entry is not None
    return bytes(archive.content(entry))


def test_arrives_beside_the_archive(site: LargeSite) -> None:
    pushed = site.push()

    archive, moved = arrive(site, pushed.hash)

    assert (content(archive, DENSE), content(archive, LOOSE)) == (
        site.dense,
        site.loose,
    )
    assert len(archive.buffer) < SMALL
    assert moved == pushed.size + pushed.large
    assert site.object(pushed.hash).read_bytes() == site.dense
    assert site.object(pushed.hash, LOOSE).stat().st_size < len(site.loose) / 2


def test_changed_line_moves_no_large_file(site: LargeSite) -> None:
    arrive(site, site.push().hash)
    (site.tree / "shop/__init__.py").write_text("x = 2\n")

    pushed = site.push()
    archive, moved = arrive(site, pushed.hash)

    assert (pushed.large, pushed.size < SMALL, moved < SMALL) == (0, True, True)
    assert content(archive, DENSE) == site.dense


@pytest.mark.parametrize("mode", ["raw", "zstd", "memory"])
def test_delta_on_a_node_without_its_base(site: LargeSite, mode: str) -> None:
    (site.tree / "shop/more.py").write_text(f"DATA = {os.urandom(40_000).hex()!r}\n")
    first = site.push()
    (site.tree / "shop/__init__.py").write_text("x = 2\n")
    (site.tree / LOOSE).write_bytes(site.loose[:-1])
    pushed = site.push()
    assert (pushed.kind, pushed.base) == ("delta", first.hash)
    environ = site.environ(pushed.hash, cache_mode=mode)

    printed = subprocess.check_output([sys.executable, "-c", SIZES], env=environ)

    assert printed.split() == [b"%d" % len(site.dense), b"%d" % (len(site.loose) - 1)]


@pytest.mark.parametrize("path", [DENSE, LOOSE])
def test_goes_on_where_a_killed_process_was(site: LargeSite, path: str) -> None:
    hash = site.push().hash
    blob, whole = site.blob(hash, path), site.object(hash, path).stat().st_size
    expected = site.dense if path == DENSE else site.loose
    with begin_blob(site.node, blob) as file:
        file.truncate(blob.size)
        file.write(expected[: 5 << 20])

    moved = fetch_blob(site.settings(), hash, blob, SILENT)

    assert moved < 0.7 * whole
    assert site.here(hash, path).read_bytes() == expected


def test_what_a_killed_process_left_may_be_bad(site: LargeSite) -> None:
    hash = site.push().hash
    with begin_blob(site.node, site.blob(hash)) as file:
        file.write(os.urandom(len(site.dense)))

    fetch_blob(site.settings(), hash, site.blob(hash), SILENT)

    assert site.here(hash).read_bytes() == site.dense


@pytest.mark.parametrize("path", [DENSE, LOOSE])
@pytest.mark.parametrize("damage", ["flipped", "cut", "longer", "empty"])
def test_forged_ones_are_refused(site: LargeSite, path: str, damage: str) -> None:
    hash = site.push().hash
    stored = site.object(hash, path)
    data = stored.read_bytes()
    changed = {
        "flipped": data[:-1000] + bytes([data[-1000] ^ 1]) + data[-999:],
        "cut": data[:-7],
        "longer": data + b"x",
        "empty": b"",
    }
    stored.chmod(0o644)
    stored.write_bytes(changed[damage])

    with pytest.raises(DamagedArchive, match="verify --store") as caught:
        fetch_blob(site.settings(), hash, site.blob(hash, path), SILENT)

    assert caught.value.hash == hash
    assert site.url in str(caught.value)
    assert not site.here(hash, path).exists()


def test_missing_in_the_store(site: LargeSite) -> None:
    hash = site.push().hash
    site.object(hash).unlink()

    with pytest.raises(MemberMissing, match=f"{DENSE} of archive {hash}") as caught:
        fetch_blob(site.settings(), hash, site.blob(hash), SILENT)

    assert site.url in str(caught.value)
    blobs = Path(site.node.folder("blobs")).iterdir()
    assert not sum(path.stat().st_blocks for path in blobs if path.is_file())


def test_cut_by_another_process(site: LargeSite) -> None:
    """On a file system without locks."""
    hash = site.push().hash
    blob, store = site.blob(hash), open_store(site.url)
    with (site.base / "cut").open("w+b") as file:

        class Cut(FileRoom):
            def read(self, at: int, size: int) -> bytes:
                file.truncate(0)
                return super().read(at, size)

        file.write(site.dense[: 1 << 20])  # is read back, to go on from there
        file.flush()
        room = Cut(file.fileno(), blob.size)
        with pytest.raises(OSError, match="Input/output"):
            blobs_in._Coming(store, blob, room, lambda _: None).bring(1)


def test_processes_share_one_transfer(site: LargeSite) -> None:
    hash = site.push().hash
    command = [sys.executable, "-c", SIZES]
    environ = site.environ(hash)

    running = [
        subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]

    sizes = f"{len(site.dense)} {len(site.loose)}\n"
    assert [each.communicate(timeout=60)[0] for each in running] == [sizes] * 4
    assert site.here(hash).stat().st_nlink == 2
    assert {path.name for path in (site.base / "node/blobs").glob("*/*")} == {
        site.blob(hash, path).name for path in (DENSE, LOOSE)
    }


def test_nothing_waits_for_one_that_somebody_else_brings(site: LargeSite) -> None:
    """Neither the archive, to which a delta may come, nor the next large file."""
    hash = site.push().hash
    blob = site.blob(hash)
    with site.node.lock(blob.name, 0), begin_blob(site.node, blob) as file:
        obtain(site.settings(hash), SILENT)
        with site.node.lock(hash, 10):
            assert hash not in running_fetches(site.node)
        for _ in tries(10):
            if site.here(hash, LOOSE).exists():
                break
        assert site.here(hash, LOOSE).exists()
        assert os.fstat(file.fileno()).st_size == 0
    assert not site.here(hash).exists()


def test_progress_of_a_large_file_is_none_of_an_archive(site: LargeSite) -> None:
    blob = site.blob(site.push().hash)
    with site.node.lock(blob.name, 0) as lock, begin_blob(site.node, blob):
        begin_progress(lock.descriptor)
        assert running_fetches(site.node) == {}


def test_what_goes_wrong_is_told_to_who_needs_it(site: LargeSite) -> None:
    """The fetcher of the archive goes on with the others."""
    hash = site.push().hash
    site.object(hash).unlink()
    obtain(site.settings(hash), SILENT)
    for _ in tries(10):
        if site.here(hash, LOOSE).exists():
            break
    assert site.here(hash, LOOSE).exists()
    progress = read_progress(site.node, site.blob(hash).name)
    assert progress is not None
    assert (progress.state, hash in progress.text) == ("failed", True)


@pytest.mark.parametrize("mode", ["zstd", "memory"])
def test_every_mode_has_them(site: LargeSite, mode: str) -> None:
    hash = site.push().hash
    environ = site.environ(hash, cache_mode=mode)

    printed = subprocess.check_output([sys.executable, "-c", SIZES], env=environ)

    assert printed.split() == [b"%d" % len(site.dense), b"%d" % len(site.loose)]


def test_removed_and_damaged_ones_come_again(site: LargeSite) -> None:
    hash = site.push().hash
    command, environ = [sys.executable, "-c", SIZES], site.environ(hash)
    first = subprocess.check_output(command, env=environ)
    for path, what in (DENSE, b""), (LOOSE, b"nonsense"):
        here = site.here(hash, path)
        here.unlink()
        if what:
            here.write_bytes(what)
    for path in (DENSE, LOOSE):
        Path(site.node.tree_path(hash), path).unlink()

    assert subprocess.check_output(command, env=environ) == first
    assert site.here(hash, LOOSE).read_bytes() == site.loose
