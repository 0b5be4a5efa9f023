"""A process killed at any moment damages nothing, and the next start succeeds."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from lazyimport.cache import growth
from lazyimport.cache.evict import prune
from lazyimport.cache.marker import NAME
from lazyimport.cache.node import NodeCache
from lazyimport.cache.verify import verify
from tests.support.fleet import BUSY, PROGRAM, Fleet, output_of
from tests.support.scale import scaled

KILLS = scaled(6, 500)


@pytest.mark.slow
@pytest.mark.timeout(scaled(300, 3600))
@pytest.mark.parametrize("mode", ["raw", "zstd"])
def test_killed_at_any_moment(tmp_path: Path, mode: str) -> None:
    fleet = Fleet(tmp_path)
    chance = random.Random(f"{mode} {KILLS}")
    cache = NodeCache(str(tmp_path / "node"))
    hashes = [fleet.first.hash, fleet.second.hash]

    def busy(after: float) -> str:
        wanted, other = chance.sample(hashes, 2)
        child = fleet.start(
            "node",
            wanted,
            BUSY,
            OTHER=other,
            AFTER=str(after),
            LAZYIMPORT_CACHE_MODE=mode,
        )
        return output_of(child)

    whole = float(busy(100))
    killed = 0
    while killed < KILLS // 2:
        ended = busy(chance.uniform(0, 1) * whole + 1e-6)
        if not ended.startswith("-14: "):  # it was done before the alarm
            whole = float(ended)
            continue
        killed += 1
        wanted = chance.choice([fleet.first, fleet.second])
        child = fleet.start("node", wanted.hash, PROGRAM, LAZYIMPORT_CACHE_MODE=mode)
        version = "first" if wanted is fleet.first else "second"
        assert output_of(child) == f"{version} 300000\n"
        assert verify(cache, remove=False).damages == []

    unfinished = [path for path in leftovers(cache) if "archives" not in path]
    assert len(unfinished) <= killed
    prune(cache, limit=0)
    assert leftovers(cache) == []
    assert files(cache) == []
    print(f"{mode}: {killed} killed, {len(unfinished)} of them left a file")


def leftovers(cache: NodeCache) -> list[str]:
    return [path for path in files(cache) if path.endswith(".tmp")]


def files(cache: NodeCache) -> list[str]:
    return [
        f"{folder}/{name}"
        for folder, _, names in os.walk(cache.path)
        for name in names
        if not folder.endswith("/locks") and name not in {NAME, growth.NAME}
    ]
