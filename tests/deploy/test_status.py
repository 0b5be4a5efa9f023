"""What Ray's answers say about what runs where."""

from __future__ import annotations

import json

import pytest

from lazyimport.deploy.node_log import NodeLog
from lazyimport.deploy.status import Process, Replica, Served, processes, served

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

A, B = "a1" * 32, "b2" * 32
NODE = "0123456789abcdef"


def actor(name: str, kind: str, hash: str | None = A, **facts: Any) -> dict[str, Any]:
    """An actor as Ray tells of it."""
    env = {"env_vars": {"LAZYIMPORT_HASH": hash}} if hash else {}
    return {
        "actor_id": f"id of {name}",
        "name": name,
        "class_name": kind,
        "state": "ALIVE",
        "node_id": NODE,
        "pid": 7,
        "serialized_runtime_env": json.dumps(env),
        **facts,
    }


def replica(number: int, **facts: Any) -> dict[str, Any]:
    """A replica as Serve tells of it."""
    return {
        "replica_id": f"r{number}",
        "actor_id": f"id of SERVE_REPLICA::shop#Shop#r{number}",
        "state": "RUNNING",
        "start_time_s": 5.0,
        **facts,
    }


def shop(*replicas: dict[str, Any], **facts: Any) -> dict[str, Any]:
    deployment = {"replicas": replicas, "target_num_replicas": 2, "message": "why"}
    config = {"runtime_env": {"env_vars": {"LAZYIMPORT_HASH": B}}}
    return {
        "status": "DEPLOYING",
        "message": "",
        "deployments": {"Shop": deployment},
        "deployed_app_config": config,
        **facts,
    }


class TestProcesses:
    """Actors, replicas and jobs."""

    def test_replicas_come_first_and_dead_and_own_ones_not_at_all(self) -> None:
        found = processes(
            [
                actor("b", "Counter"),
                actor("", "Anonymous", None),
                actor("gone", "Counter", state="DEAD"),
                actor("SERVE_CONTROLLER_ACTOR", "ServeController"),
                actor("SERVE_PROXY_ACTOR-1", "ProxyActor"),
                actor("SERVE_REPLICA::shop#Shop#r1", "ServeReplica:shop:Shop", B),
            ],
            [],
        )

        assert [
            Process("replica", "shop/Shop/r1", B, "ALIVE", "01234567", 7),
            Process("actor", "Anonymous", None, "ALIVE", "01234567", 7),
            Process("actor", "b", A, "ALIVE", "01234567", 7),
        ] == found

    def test_jobs_that_run(self) -> None:
        env = {"lazyimport": {"hash": B}, "env_vars": {"LAZYIMPORT_HASH": A}}
        job = {"submission_id": "raysubmit_1", "status": "RUNNING", "runtime_env": env}
        other = {"submission_id": None, "status": "PENDING", "entrypoint": "python x"}
        more = {"driver_info": {"pid": "12"}, "driver_node_id": "f" * 20}

        assert [
            Process("job", "python x", None, "PENDING", "", None),
            Process("job", "raysubmit_1", B, "RUNNING", "ffffffff", 12),
        ] == processes([], [{**job, **more}, other, {**job, "status": "STOPPED"}])

    def test_one_that_has_no_archive(self) -> None:
        """Its worker wrote so into the log of its node; the newest line counts."""
        lines = [
            {"pid": 7, "hash": A, "failure": None},
            {"pid": 7, "hash": A, "failure": "archive is neither\nin"},
            {"pid": 8, "hash": A, "failure": "no"},
            {"pid": 8, "hash": A, "failure": None},
        ]
        log = 'ilure": null}\n1' + "\n".join(map(json.dumps, lines)) + "\n[]\n{"
        actors = [actor("b", "Counter"), actor("c", "C", pid=8)]
        found = processes(actors, [], {NODE: NodeLog(log)})
        assert ["archive is neither\nin", None] == [each.failure for each in found]

    def test_one_whose_number_another_one_had(self) -> None:
        """What that wrote of another archive is not its own."""
        gone = {"pid": 7, "hash": B, "failure": "no", "fetching": "fetching, 3 %"}
        live = {"replica": "r1", "state": "swapped"}
        log = NodeLog("\n".join(map(json.dumps, [gone, {**gone, "live": live}])))
        actors = [
            actor("b", "Counter"),
            actor("SERVE_REPLICA::shop#Shop#r2", "ServeReplica:shop:Shop"),
            actor("in a channel", "Counter", None),
        ]
        replica, b, any_ = processes(actors, [], {NODE: log})

        assert (A, None, None, False) == (b.hash, b.failure, b.fetching, b.live)
        assert (A, None, False) == (replica.hash, replica.failure, replica.live)
        assert "no" == any_.failure

    @pytest.mark.parametrize("live", [{"wish": 1, "replica": "r2"}, "soon", [1]])
    def test_one_that_wrote_in_a_form_of_another_version(self, live: object) -> None:
        log = NodeLog(json.dumps({"pid": 7, "live": live}))
        [found] = processes([actor("b", "Counter")], [], {NODE: log})

        assert A == found.hash
        assert {} == log.told(1)

    def test_one_whose_number_a_worker_had_that_is_gone(self) -> None:
        """Ray's ids of workers tell them apart, also where no hash is known."""
        gone = {"pid": 7, "worker": "aa", "hash": A, "failure": "no"}
        older = {"pid": 8, "hash": A, "failure": "written without an id"}
        log = NodeLog("\n".join(map(json.dumps, [gone, older])))
        actors = [
            actor("a", "Counter"),
            actor("b", "Counter", None),
            actor("c", "Counter", pid=8),
        ]

        def failures(*ids: str) -> list[str | None]:
            workers = [
                {"node_id": NODE, "pid": pid, "worker_id": id_}
                for pid, id_ in zip([7, 8], ids, strict=False)
            ]
            found = processes(actors, [], {NODE: log}, workers)
            return [process.failure for process in found]

        assert [None, None, older["failure"]] == failures("bb", "cc")
        assert ["no", "no", older["failure"]] == failures("aa", "cc")
        assert ["no", "no", older["failure"]] == failures()

    def test_one_whose_hash_is_written_in_another_way(self) -> None:
        log = NodeLog(json.dumps({"pid": 7, "hash": A, "failure": "no"}))
        (found,) = processes([actor("b", "C", f" {A.upper()}")], [], {NODE: log})
        assert (A, "no") == (found.hash, found.failure)

    def test_one_whose_node_does_not_tell(self) -> None:
        log = NodeLog(unread="refuses")
        (found,) = processes([actor("b", "Counter")], [], {NODE: log})
        assert (None, "refuses") == (found.failure, found.unread)

    def test_one_that_runs_from_a_part_of_its_archive(self) -> None:
        lines = [
            {"pid": 7, "hash": A, "fetching": "fetching, 34 %"},
            {"pid": 8, "hash": A, "fetching": "fetching, 34 %"},
            {"pid": 8, "hash": A, "fetching": None},
            {"pid": 7, "hash": A, "live": {"state": "swapped"}},
        ]
        log = NodeLog("\n".join(map(json.dumps, lines)))
        actors = [actor("b", "Counter"), actor("c", "C", pid=8)]
        found = processes(actors, [], {NODE: log})
        assert ["fetching, 34 %", None] == [each.fetching for each in found]


class TestServed:
    """Applications of Serve."""

    def test_a_replica_runs_the_hash_of_its_actor(self) -> None:
        """Not that of the config, which may be newer."""
        actors = [actor("SERVE_REPLICA::shop#Shop#r1", "ServeReplica:shop:Shop", A)]
        app = served({"shop": shop(replica(1), replica(2))}, actors)["shop"]

        assert (B, "DEPLOYING", "why", {"Shop": 2}) == app[1:5]
        assert [("r1", A, 5.0), ("r2", None, 5.0)] == [
            (r.id, r.hash, r.started) for r in app.replicas
        ]

    def test_what_a_failed_deployment_left_still_serves(self) -> None:
        """Serve does not list these replicas any more; Ray does."""
        actors = [
            actor("SERVE_REPLICA::shop#Shop#old", "ServeReplica:shop:Shop", A),
            actor("SERVE_REPLICA::till#Till#x", "ServeReplica:till:Till", A),
        ]
        app = served({"shop": shop(status="DEPLOY_FAILED", deployments={})}, actors)

        assert (Replica("Shop", "old", A, "ALIVE", None),) == app["shop"].replicas
        assert app["shop"].replicas[0].serves

    def test_an_application_without_a_config_or_a_deployment(self) -> None:
        app = served({"shop": {"status": "NOT_STARTED"}}, [])["shop"]

        assert Served("shop", None, "NOT_STARTED", "", {}, ()) == app
        assert not app.is_well

    def test_what_serves_and_whether_that_is_well(self) -> None:
        actors = [
            actor(f"SERVE_REPLICA::shop#Shop#r{n}", "ServeReplica:shop:Shop", hash)
            for n, hash in ((1, A), (2, B), (3, B))
        ]
        replicas = [replica(1), replica(2), replica(3, state="STARTING")]
        app = served({"shop": shop(*replicas, last_deployed_time_s=9.0)}, actors)[
            "shop"
        ]

        assert {A: 1, B: 1} == app.serving
        assert (9.0, False) == (app.since, app.is_well)


@pytest.mark.parametrize(
    ("change", "runs"),
    [
        ({}, True),
        ({"hash": A}, False),
        ({"status": "DEPLOYING"}, False),
        ({"targets": {}}, False),
        ({"targets": {"Shop": 2}}, False),
        ({"replicas": (Replica("Shop", "1", A, "RUNNING", 0),)}, False),
        ({"replicas": (Replica("Shop", "1", B, "STARTING", 0),)}, False),
    ],
)
def test_an_application_runs_a_hash_when_nothing_else_is_left(
    change: dict[str, Any], runs: bool
) -> None:
    replicas = (Replica("Shop", "1", B, "RUNNING", 0),)
    app = Served("shop", B, "RUNNING", "", {"Shop": 1}, replicas)

    assert runs == app._replace(**change).runs(B)
