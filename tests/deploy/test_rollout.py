"""Following a rollout, and what of a cluster's answers counts."""

from __future__ import annotations

import time

import pytest

from lazyimport.deploy.cluster import Cluster
from lazyimport.deploy.errors import DeployError
from lazyimport.deploy.rollout import follow
from lazyimport.deploy.status import Replica, Served

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

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

    with pytest.raises(
        DeployError, match=f"deployed again meanwhile, with {C}"
    ) as info:
        list(follow(cluster, {"shop": B}, 60))
    assert "superseded" == info.value.outcome


def test_a_failure_says_why_what_serves_and_how_to_go_back() -> None:
    said = 'Error:\n\x1b[36mx\x1b[39m\n  File "/a/trees/' + B + '/s/x.py", line 7\n'
    failed = app(B, "DEPLOY_FAILED")._replace(message=f"{said}KeyError: 'a'\n")
    cluster = Acted(app(A), app(B), failed)

    with pytest.raises(DeployError) as info:
        list(follow(cluster, {"shop": B}, 60, "lazyimport rollback f.yaml"))
    assert [
        "KeyError: 'a', s/x.py:7",
        f"application 'shop' cannot be deployed with archive {B}",
        f"replicas that serve now: 1 with {A}",
        "to go back: lazyimport rollback f.yaml",
    ] == str(info.value).splitlines()
    assert (info.value.app, info.value.hash) == ("shop", B)  # type: ignore[attr-defined]
    assert "failed" == info.value.outcome
    cause = str(info.value.__cause__)  # which --verbose shows, without colors
    assert cause.startswith("Serve says:\nError:\nx\n  File")
    assert info.value.reason in cause


def test_the_failure_of_the_one_before_is_not_its_own() -> None:
    cluster = Acted(app(A, "DEPLOY_FAILED"), app(B, "RUNNING", runs=B))

    assert 2 == len(list(follow(cluster, {"shop": B}, 60)))


def test_a_failure_from_before_is_not_its_own_though_it_looks_the_same() -> None:
    """KubeRay takes a while, and Serve shows meanwhile how the last try has ended."""
    old = app(B, "DEPLOY_FAILED")._replace(since=1.0, message="KeyError: 'a'")
    before = {"shop": old}
    runs = app(B, "RUNNING", runs=B)._replace(since=2.0)
    assert 3 == len(list(follow(Acted(old, old, runs), {"shop": B}, 60, "", before)))

    again = Acted(old, old._replace(since=2.0))
    with pytest.raises(DeployError, match=r"KeyError: 'a'[^$]*cannot be deployed"):
        list(follow(again, {"shop": B}, 60, "", before))
    with pytest.raises(DeployError, match="cannot be deployed"):
        list(follow(Acted(old), {"shop": B}, 60))
    with pytest.raises(DeployError, match="nobody has told Serve to deploy it again"):
        list(follow(Acted(old), {"shop": B}, 1e-9, "", before))


def test_the_time_ends() -> None:
    with pytest.raises(DeployError, match=f"still DEPLOYING after 0 s, not all .*{B}"):
        list(follow(Acted(app(B)), {"shop": B}, 1e-9))
    with pytest.raises(DeployError, match="Serve has no application 'till' yet"):
        list(follow(Acted(app(B)), {"till": B}, 1e-9))


def test_replicas_that_are_not_ready_are_named() -> None:
    """A constructor that hangs: Serve says nothing of it, at first."""
    begun = time.time() - 42.4
    where = ("n1" * 28, "c4" * 16, 4711)
    replicas = [
        Replica("Shop", "old", A, "RUNNING", begun),
        Replica("Shop", "hangs", B, "STARTING", begun, *where),
        Replica("Shop", "waits", None, "STARTING", None),
        *(Replica("Shop", f"r{n}", B, "STARTING", begun) for n in range(3)),
    ]
    late = Acted(app(B)._replace(replicas=tuple(replicas)))

    with pytest.raises(DeployError) as info:
        list(follow(late, {"shop": B}, 1e-9))
    text = str(info.value)
    assert (
        "replica hangs of Shop is STARTING, for 42 s: process 4711 on node n1n1n1n1; "
        f"Ray's dashboard shows its logs and its stack: actor {'c4' * 16}\n"
        "replica waits of Shop is STARTING, and has no process yet\n"
    ) in text
    assert "\nand 2 more replicas are STARTING\n" in text
    assert "replica old" not in text


def test_a_cluster_that_does_not_answer_is_asked_again() -> None:
    class Busy(Acted):
        asked = 0

        def served(self) -> dict[str, Served]:
            self.asked += 1
            if self.asked < 3:
                raise DeployError("busy", retryable=self.asked == 1)
            return super().served()

    busy = Busy(app(B, "RUNNING", runs=B))
    with pytest.raises(DeployError, match="busy\nto go back: back"):
        list(follow(busy, {"shop": B}, 60, "back"))
    assert 2 == busy.asked
    assert 1 == len(list(follow(busy, {"shop": B}, 60)))
