"""What is remembered of a rollout."""

from __future__ import annotations

import time

import pytest

from lazyimport.deploy import DeployError, Timeline
from lazyimport.deploy.cluster import Cluster
from lazyimport.deploy.rollout import follow
from lazyimport.deploy.status import Replica, Served, requests_in
from tests.fakes.dashboard import Dashboard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

A, B = "a1" * 32, "b2" * 32


def app(status: str, *replicas: tuple[str, str, str], message: str = "") -> Served:
    found = tuple(Replica("Shop", name, hash, s, 0.0) for name, hash, s in replicas)
    return Served("shop", B, status, message, {"Shop": 1}, found)


def rollout() -> Timeline:
    """The first new replica does not start, the second does."""
    timeline = Timeline({"shop": B})
    old = ("one", A, "RUNNING")
    timeline.see([app("DEPLOYING", old)], 0.0)
    timeline.see([app("DEPLOYING", old, ("two", B, "STARTING"))], 1.0)
    said = "Traceback (most recent call last):\nKeyError: 'a'\n"
    timeline.see([app("DEPLOYING", old, message=said)], 2.0)
    timeline.count({"one": (5.0, 0.0), "elsewhere": (9.0, 9.0)}, 2.0)
    timeline.see([app("DEPLOYING", old, ("three", B, "STARTING"), message=said)], 3.0)
    stopping = ("one", A, "STOPPING")
    timeline.see([app("RUNNING", stopping, ("three", B, "RUNNING"))], 4.0)
    timeline.see([app("RUNNING", ("three", B, "RUNNING"))], 5.0)
    timeline.count({"one": (9.0, 1.0), "three": (4.0, 2.0)}, 5.0)
    timeline.count({"three": (6.0, 2.0)}, 6.0)
    timeline.outcome, timeline.lasted = "running", 6.0
    return timeline


def test_states_last_from_one_look_to_the_next() -> None:
    facts: Any = rollout().facts()

    assert {"shop": [("DEPLOYING", 0.0, 4.0), ("RUNNING", 4.0, None)]} == facts[
        "applications"
    ]
    assert [
        ("one", A, [("RUNNING", 0.0, 4.0), ("STOPPING", 4.0, 5.0)], False),
        ("two", B, [("STARTING", 1.0, 2.0)], True),
        ("three", B, [("STARTING", 3.0, 4.0), ("RUNNING", 4.0, None)], False),
    ] == [(r["id"], r["hash"], r["spans"], r["failed"]) for r in facts["replicas"]]
    assert [(2.0, "shop", "KeyError: 'a'")] == [each[:3] for each in facts["messages"]]


def test_a_clock_that_is_put_back_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    timeline = Timeline({"shop": B})
    timeline.see([app("DEPLOYING")])
    monkeypatch.setattr(time, "time", lambda: timeline.began - 86400)
    timeline.see([app("RUNNING")])

    facts: Any = timeline.facts()
    (_, began, ended), (_, later, _) = facts["applications"]["shop"]
    assert 0 <= began <= ended <= later < 3600
    assert 0 <= facts["lasted"] < 3600


def test_requests_are_counted_by_hash_and_outlive_their_replicas() -> None:
    assert [
        (2.0, A, 5.0, 0.0),
        (5.0, A, 9.0, 1.0),
        (5.0, B, 4.0, 2.0),
        (6.0, A, 9.0, 1.0),
        (6.0, B, 6.0, 2.0),
    ] == rollout().counts


def test_how_it_ended() -> None:
    class Failing(Cluster):
        def served(self) -> dict[str, Served]:
            return {"shop": app("DEPLOY_FAILED", message="KeyError: 'a'")}

        def requests(self) -> dict[str, tuple[float, float]]:
            return {}

    cluster = Failing("http://nowhere:8265")
    timeline = Timeline({"shop": B})
    following = timeline.record(follow(cluster, timeline.wanted, 60), cluster)
    with pytest.raises(DeployError):
        list(following)
    left = Timeline({"shop": B})
    assert next(left.record(iter([[app("DEPLOYING")]]), cluster))

    assert "failed" == timeline.outcome
    assert timeline.reason.startswith("KeyError: 'a'\n")
    assert "interrupted" == left.outcome


METRICS = """\
# HELP ray_serve_deployment_request_counter_total The number of queries
ray_serve_deployment_request_counter_total{application="shop",replica="two",route="/"} 7.0
ray_serve_deployment_request_counter_total{application="shop",replica="two",route="/a"} 1e+03
ray_serve_deployment_request_counter{application="shop",replica="shop#Shop#old"} 3.0
ray_serve_deployment_error_counter_total{replica="two",exception_type="KeyError"} 2.0
"""


def test_requests_in_metrics() -> None:
    assert {"two": (1007.0, 2.0), "old": (3.0, 0.0)} == requests_in(METRICS)


def test_exporters_that_cannot_be_reached_are_left_out() -> None:
    with Dashboard() as dashboard:
        cluster = Cluster(dashboard.address)
        assert {} == cluster.requests()  # it names no exporters
        dashboard.metrics = METRICS
        cluster = Cluster(dashboard.address)
        assert 1007.0 == cluster.requests()["two"][0]
        dashboard.metrics = ""
        assert {} == cluster.requests() == cluster.requests()

    assert 2 == dashboard.asked.count("/metrics"), "what did not answer is left alone"
