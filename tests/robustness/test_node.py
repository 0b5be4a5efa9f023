"""A node downloads once, however many processes start and whichever is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fleet import Fleet, output_of
from tests.support.scale import scaled

PROCESSES = scaled(6, 64)
NODES = scaled(4, 200)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def both(fleet: Fleet, nodes: int = 1) -> dict[str, int]:
    return {p.hash: p.size * nodes for p in (fleet.first, fleet.second)}


@pytest.mark.slow
@pytest.mark.timeout(scaled(300, 3600))
def test_cold_start_of_a_node(fleet: Fleet) -> None:
    """Base and delta are downloaded once each."""
    children = [fleet.start("node", fleet.second.hash) for _ in range(PROCESSES)]

    assert {output_of(child) for child in children} == {"second 300000\n"}
    assert fleet.downloads() == both(fleet)


@pytest.mark.slow
@pytest.mark.timeout(scaled(300, 3600))
def test_downloader_is_killed_half_way(fleet: Fleet) -> None:
    """It is a fetcher: a waiting process starts another one, and no worker fails."""
    die = str(fleet.base / "die")
    children = [
        fleet.start("node", fleet.second.hash, DIE=die) for _ in range(PROCESSES)
    ]
    results = [output_of(child) for child in children]

    assert results == ["second 300000\n"] * PROCESSES
    assert fleet.downloads() == both(fleet)
    names = {path.name for path in (fleet.base / "node/archives").iterdir()}
    assert names == {fleet.first.hash, fleet.second.hash}


@pytest.mark.slow
@pytest.mark.timeout(scaled(300, 3600))
def test_many_nodes_at_once(fleet: Fleet) -> None:
    """Each downloads the bytes of two objects, and no others."""
    children = [fleet.start(f"node{n}", fleet.second.hash) for n in range(NODES)]

    assert {output_of(child) for child in children} == {"second 300000\n"}
    assert fleet.downloads() == both(fleet, NODES)


@pytest.mark.slow
@pytest.mark.timeout(scaled(300, 3600))
def test_next_version_costs_a_node_its_delta(fleet: Fleet) -> None:
    assert output_of(fleet.start("node", fleet.first.hash)) == "first 300000\n"
    fleet.log.unlink()

    assert output_of(fleet.start("node", fleet.second.hash)) == "second 300000\n"
    assert fleet.downloads() == {fleet.second.hash: fleet.second.size}
    assert fleet.second.size < fleet.first.size / 20
