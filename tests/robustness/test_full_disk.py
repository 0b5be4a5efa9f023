"""A disk that is full at any write: the archive still runs, and heals later."""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest

from lazyimport.cache.materialize import Materializer
from lazyimport.cache.node import NodeCache
from lazyimport.cache.verify import prove, verify
from lazyimport.delivery.fetch import fetch
from lazyimport.importing.tree import Tree
from tests.support.disks import mounted
from tests.support.fleet import Fleet
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
    return len(reporter.warnings), tree.materialize("shop")


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
