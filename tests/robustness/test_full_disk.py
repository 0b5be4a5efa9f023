"""A disk that is full at any write: the archive still runs, and heals later."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from lazyimport.cache.blobs import LARGE
from lazyimport.cache.materialize import Materializer
from lazyimport.cache.node import NodeCache
from lazyimport.cache.verify import prove, verify
from lazyimport.delivery.blobs_in import fetch_blob
from lazyimport.delivery.fetch import fetch
from lazyimport.errors import CacheError
from lazyimport.importing.tree import Tree
from tests.support.compare_importers import pack_tree, write_tree
from tests.support.disks import mounted
from tests.support.fleet import Fleet
from tests.support.large import DENSE, LOOSE, LargeSite
from tests.support.recorder import Recorder
from tests.support.scale import scaled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

STEPS = scaled(8, 400)


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def start(fleet: Fleet, node: str, mode: str) -> tuple[int, bool]:
    """Fetch and materialize; return the number of warnings, and whether files exist."""
    reporter = Recorder()
    settings = fleet.settings(node, cache_mode=mode)
    archive, _ = fetch(settings, fleet.second.hash, reporter)
    prove(archive)
    root = NodeCache(settings.cache_dir).tree_path(archive.hash)
    tree = Tree(archive, root, lambda: Materializer(archive, root))
    return len(reporter.warnings), tree.put_package("shop") is None


@pytest.mark.slow
@pytest.mark.timeout(scaled(300, 3600))
@pytest.mark.parametrize("mode", ["raw", "zstd"])
def test_every_file_may_be_cut_anywhere(tmp_path: Path, mode: str) -> None:
    fleet = Fleet(tmp_path)
    assert start(fleet, "whole", mode) == (0, True)
    largest = max(
        os.stat(f"{folder}/{name}").st_size
        for folder, _, names in os.walk(tmp_path / "whole")
        for name in names
    )
    warnings = []
    for step in range(STEPS):
        node = f"node{step % 7}"  # with what earlier steps left there
        with no_file_larger_than(largest * step // STEPS):
            warnings.append(start(fleet, node, mode)[0])
        assert verify(NodeCache(str(tmp_path / node)), remove=False).damages == []
    assert warnings[0] == 1
    for number in range(7):
        assert start(fleet, f"node{number}", mode) == (0, True)


@pytest.mark.slow
@pytest.mark.timeout(scaled(300, 3600))
def test_disk_of_every_size(tmp_path: Path) -> None:
    """From a disk without a single page to one with room for everything."""
    fleet = Fleet(tmp_path)
    step = scaled(400, 8) << 10
    size, warnings, there = step, 1, False
    while warnings or not there:
        with mounted(tmp_path / "node", f"size={size}", "mode=0700"):
            warnings, there = start(fleet, "node", "raw")
            assert verify(NodeCache(str(tmp_path / "node")), remove=False).damages == []
        size += step
    assert size < 8 << 20


READS = """
import os, lazyimport, shop
weights = os.path.join(os.path.dirname(shop.__file__), "weights/dense.bin")
for call in (open, lazyimport.path):
    try:
        call(weights)
    except OSError as error:
        print(error)
"""


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> LargeSite:
    return LargeSite(tmp_path, on_demand="shop/weights/**")


@pytest.mark.parametrize("fetch", ["whole", "stream"])
def test_large_file_without_room_is_an_error_and_takes_no_memory(
    site: LargeSite, fetch: str
) -> None:
    hash = site.push().hash
    with mounted(site.base / "node", "size=6m", "mode=0700"):
        environ = site.environ(hash, fetch=fetch)
        command = [sys.executable, "-c", READS]
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, check=False
        )
        blob, settings = site.blob(hash), site.settings(hash)
        with pytest.raises(CacheError, match=r"\d+ bytes are free"):
            fetch_blob(settings, hash, blob, Recorder())
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    for line in lines:
        assert f"put {DENSE} of archive {hash} ({len(site.dense)} bytes) into" in line
        assert f"the node cache {site.node.path}: No space left on device (" in line
        assert "LAZYIMPORT_CACHE_DIR" in line


def test_archive_of_which_a_large_file_has_no_room_is_no_import(
    tmp_path: Path,
) -> None:
    site = LargeSite(tmp_path)
    hash = site.push().hash
    with mounted(site.base / "node", "size=6m", "mode=0700"):
        command = [sys.executable, "-c", "import shop"]
        done = subprocess.run(
            command, env=site.environ(hash), capture_output=True, text=True, check=False
        )
    assert "ArchiveImportError: cannot put the files of shop on disk: " in done.stderr
    assert f"of archive {hash} ({LARGE + 5000} bytes) into the node" in done.stderr


def test_packing_names_the_file_that_finds_no_room(site: LargeSite) -> None:
    with (
        mounted(site.base / "author", "size=6m", "mode=0700"),
        pytest.raises(CacheError, match=rf"{DENSE} \({LARGE + 5000} bytes\).*are free"),
    ):
        site.pack()


def test_pushing_names_the_file_that_finds_no_room(site: LargeSite) -> None:
    """Compressed, it lies beside the original until it is sent."""
    size = 2 * LARGE + (1 << 20)
    with (
        mounted(site.base / "author", f"size={size}", "mode=0700"),
        pytest.raises(CacheError, match=rf"{LOOSE}, compressed .*are free"),
    ):
        site.push()


def test_files_of_a_package_are_named(tmp_path: Path) -> None:
    tree = write_tree(
        {"shop/__init__.py": "", "shop/a.bin": os.urandom(900_000)}, tmp_path / "tree"
    )
    cache = NodeCache(str(tmp_path / "node"))
    archive = cache.open(pack_tree(tree, tmp_path / "node"))
    assert archive is not None
    with mounted(tmp_path / "small", "size=500k", "mode=0700"):
        root = NodeCache(str(tmp_path / "small")).tree_path(archive.hash)
        told: list[str] = []
        Tree(
            archive, root, lambda: Materializer(archive, root), warn=told.append
        ).prepare("shop/__init__.py")
    (line,) = told
    assert f"put shop/a.bin of archive {archive.hash} (900000 bytes) into" in line
    assert f"the node cache {root}/shop: No space left on device (" in line


def test_archive_without_room_is_not_streamed(tmp_path: Path) -> None:
    """Nobody opens what will not fit, and the message says what was free before."""
    fleet = Fleet(tmp_path)
    reporter = Recorder()
    with mounted(tmp_path / "node", "size=100k", "mode=0700"):
        settings = fleet.settings("node", fetch="stream")
        archive, _ = fetch(settings, fleet.second.hash, reporter)
        prove(archive)
    (line,) = reporter.warnings
    free = re.search(r"\((\d+) bytes are free\)", line)
    assert free is not None, line
    assert int(free[1]) > 80_000
