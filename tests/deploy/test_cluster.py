"""A cluster, asked through its dashboard."""

from __future__ import annotations

import pytest

from lazyimport.deploy.cluster import Cluster
from lazyimport.deploy.errors import DeployError
from tests.fakes.dashboard import Dashboard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

A = "a1" * 32


@pytest.fixture(name="dashboard")
def _dashboard() -> Iterator[Dashboard]:
    with Dashboard() as dashboard:
        dashboard.submitted = 2  # its agent is there
        yield dashboard


def test_the_config_is_given_back_whole(dashboard: Dashboard) -> None:
    config = {"name": "shop", "import_path": "shop:app"}
    dashboard.serve = {
        "target_capacity": 50,
        "applications": {"shop": {"deployed_app_config": config}, "x": {}},
    }
    cluster = Cluster(dashboard.address)
    cluster.apply(cluster.config())

    assert [{"target_capacity": 50, "applications": [config]}] == dashboard.applied


def test_no_serve_is_no_application(dashboard: Dashboard) -> None:
    dashboard.serve = {}

    assert {} == Cluster(dashboard.address).served()


def test_dead_actors_are_not_asked_for(dashboard: Dashboard) -> None:
    """Ray remembers them by the thousand, and answers with so many actors at most."""
    assert [] == Cluster(dashboard.address).processes()
    assert "filter_predicates=!%3D&filter_values=DEAD" in dashboard.asked[0]


def test_a_job_prints_line_by_line(dashboard: Dashboard) -> None:
    dashboard.status, dashboard.logs = "RUNNING", "one\ntwo\nthr"
    lines = Cluster(dashboard.address).run("true", 60)

    assert ["one", "two"] == [next(lines), next(lines)]
    dashboard.status, dashboard.logs = "SUCCEEDED", "one\ntwo\nthree\nfour"
    assert ["three", "four"] == list(lines)
    assert ["true"] == dashboard.commands


@pytest.mark.parametrize(
    ("status", "said"),
    [("FAILED", "is FAILED"), ("RUNNING", "still RUNNING after 0 s")],
)
def test_a_job_that_fails_or_does_not_end(
    dashboard: Dashboard, status: str, said: str
) -> None:
    dashboard.status, dashboard.logs = status, "why\n"
    lines = Cluster(dashboard.address).run("false", 0.01)

    assert "why" == next(lines)
    with pytest.raises(DeployError, match=rf"job job of Ray .* {said}: false"):
        list(lines)


@pytest.mark.parametrize(("store", "last"), [(None, A), ("gs://b/a c", "'gs://b/a c'")])
def test_prefetching_is_a_job(
    dashboard: Dashboard, store: str | None, last: str
) -> None:
    lines = list(Cluster(dashboard.address).prefetch(A, store, 60))

    assert ["prefetched to 1 of 1 nodes"] == lines
    (command,) = dashboard.commands
    assert command.startswith(f"python -m lazyimport.ray.prefetch_job {A}")
    assert command.endswith(last)
