"""Following a rollout, and what of a cluster's answers counts."""

from __future__ import annotations

import pytest

from lazyimport.deploy.cluster import Cluster, Replica, Served
from lazyimport.deploy.errors import DeployError
from lazyimport.deploy.rollout import follow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

A, B, C = "a1" * 32, "b2" * 32, "c3" * 32


def app(hash: str, status: str = "DEPLOYING", runs: str = A) -> Served:
    replica = Replica("Shop", "1", runs, "RUNNING", 0.0)
    return Served("shop", hash, status, "", {"Shop": 1}, (replica,))


class Acted(Cluster):
    """A cluster that says one thing after the other."""

    def __init__(self, *states: Served) -> None:
        super().__init__("http://nowhere:8265")
        self._states: Iterator[Served] = iter(states)

    def served(self) -> dict[str, Served]:
        return {"shop": next(self._states)}


def test_it_ends_when_all_run_it() -> None:
    cluster = Acted(app(A), app(B), app(B, "RUNNING", runs=B))

    assert 3 == len(list(follow(cluster, {"shop": B}, 60)))


def test_a_newer_deployment_is_told_at_once() -> None:
    """To go back would take away what somebody else has deployed since."""
    cluster = Acted(app(A), app(B), app(C))

    with pytest.raises(DeployError, match=f"deployed anew meanwhile, with {C}") as info:
        list(follow(cluster, {"shop": B}, 60))
    assert info.value.superseded


def test_the_config_is_given_back_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"name": "shop", "import_path": "shop:app"}
    answer: dict[str, Any] = {
        "target_capacity": 50,
        "applications": {"shop": {"deployed_app_config": config}, "x": {}},
    }
    monkeypatch.setattr(Cluster, "_ask", lambda *_: answer)

    assert {"target_capacity": 50, "applications": [config]} == Cluster("x").config()


def test_dead_actors_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray remembers them by the thousand, and answers with so many actors at most."""
    asked = []

    def ask(_: Cluster, method: str, path: str) -> Any:
        asked.append((method, path))
        return [] if "jobs" in path else {"data": {"result": {"result": []}}}

    monkeypatch.setattr(Cluster, "_ask", ask)

    assert [] == Cluster("x").processes()
    assert "filter_predicates=!%3D&filter_values=DEAD" in asked[0][1]
