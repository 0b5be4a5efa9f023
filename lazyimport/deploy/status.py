"""What a cluster runs: Serve's applications and replicas, actors, jobs, and hashes.

The functions read Ray's answers, as its dashboard gives them, into these values.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from lazyimport.deploy.node_log import NodeLog
from lazyimport.settings import ENVIRONMENT

_REQUESTS = re.compile(
    r"^ray_serve_deployment_(request|error)_counter(?:_total)?\{(.*)\} ([\d.e+]+)",
    re.MULTILINE,
)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_SERVES_OWN = ("ServeController", "ProxyActor")
#: digits of the id of a node that are shown
SHORT = 8
#: states of a job that is over
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


class Replica(NamedTuple):
    """A replica of a deployment, and the ``hash`` that its process was started with.

    `as_told` puts what it runs in the place of that.

    ``state`` is Serve's; ``ALIVE`` if only Ray knows the replica, as it is with those
    that go on serving after a deployment has failed. ``started`` is in seconds since
    the epoch, None if Serve does not tell; ``node`` and ``actor`` are ids of Ray, and
    ``pid`` is None before there is a process.
    """

    deployment: str
    id: str
    hash: str | None
    state: str
    started: float | None
    node: str = ""
    actor: str = ""
    pid: int | None = None

    @property
    def serves(self) -> bool:
        """Whether it answers requests."""
        return self.state in {"RUNNING", "ALIVE"}


class Served(NamedTuple):
    """A Serve application in a cluster.

    ``hash`` is what its config names to start with (`as_told` puts ``live`` there);
    ``status`` and ``message`` are Serve's, with the messages of its deployments;
    ``targets`` says how many replicas each deployment is to have; ``since`` is when it
    was deployed, in seconds since the epoch, None if Serve does not tell. ``live`` is
    the archive that living replicas were told to serve, None where code cannot change
    (`lazyimport.deploy.live`).
    """

    name: str
    hash: str | None
    status: str
    message: str
    targets: Mapping[str, int]
    replicas: tuple[Replica, ...]
    since: float | None = None
    live: str | None = None

    @property
    def serving(self) -> Counter[str | None]:
        """How many replicas answer requests, by the hash that they run."""
        return Counter(replica.hash for replica in self.replicas if replica.serves)

    @property
    def is_well(self) -> bool:
        """Whether it runs what its config names, and nothing else."""
        return self.runs(self.hash) if self.hash else self.status == "RUNNING"

    def is_still(self, before: Served) -> bool:
        """Whether it was not deployed again since *before*, however it fares."""
        return self.since is not None and self.since == before.since

    def runs(self, hash: str) -> bool:
        """Whether all its replicas are up and run *hash*, and no other one is left."""
        if self.hash != hash or self.status != "RUNNING" or not self.targets:
            return False
        running = Counter(r.deployment for r in self.replicas if r.state == "RUNNING")
        return all(replica.hash == hash for replica in self.replicas) and all(
            running[deployment] == count for deployment, count in self.targets.items()
        )


class Process(NamedTuple):
    """An actor, replica or job, and the hash that it runs.

    ``kind`` is ``actor``, ``replica`` or ``job``; ``node`` begins the id of the node;
    ``failure`` says why it could not install the archive, None if it did, or if its
    node does not tell; ``live`` is whether the hash may change while it lives;
    ``fetching`` is how far the archive is while the process runs from a part of it.
    ``unread`` says why the log of its node, which would tell, could not be read.
    """

    kind: str
    name: str
    hash: str | None
    state: str
    node: str
    pid: int | None
    failure: str | None = None
    live: bool = False
    fetching: str | None = None
    unread: str | None = None


def processes(
    actors: Iterable[dict[str, Any]],
    jobs: Iterable[dict[str, Any]],
    logs: Mapping[str, NodeLog] = {},
    workers: Iterable[dict[str, Any]] = (),
) -> list[Process]:
    """Return the living actors, replicas and jobs but Serve's own, replicas first.

    *logs* are by the ids of nodes; *workers* are the living, who may have written them.
    """
    found = [
        _of_actor(actor)
        for actor in actors
        if actor["state"] != "DEAD" and actor["class_name"] not in _SERVES_OWN
    ]
    found += [_of_job(job) for job in jobs if job["status"] not in ENDED]
    known = {node[:SHORT]: log for node, log in logs.items()}
    ids = {(w["node_id"][:SHORT], w["pid"]): w["worker_id"] for w in workers}
    told = [
        _told(process, known.get(process.node), ids.get((process.node, process.pid)))
        for process in found
    ]
    return sorted(told, key=lambda p: (p.kind != "replica", p.kind, p.name))


def served(
    applications: Mapping[str, Any], actors: Iterable[dict[str, Any]]
) -> dict[str, Served]:
    """Return Serve's *applications* by name; *actors* tell what replicas run."""
    alive = [actor for actor in actors if actor["state"] == "ALIVE"]
    return {name: _served(name, app, alive) for name, app in applications.items()}


def as_told(app: Served, told: Iterable[Process]) -> Served:
    """Return *app* with what it is to run, and its replicas do, if they are live.

    What these run, the logs of their nodes tell. They may still be live when a
    deployment that failed has replaced the config that made them so.
    """
    runs = {each.name.rpartition("/")[2]: each.hash for each in told if each.live}
    replicas = [
        r._replace(hash=runs.get(r.id, app.live or r.hash)) for r in app.replicas
    ]
    return app._replace(hash=app.live or app.hash, replicas=tuple(replicas))


def requests_in(metrics: str) -> dict[str, tuple[float, float]]:
    """Return, by replica, how many requests it has had, and how many failed.

    *metrics* are Ray's, as Prometheus reads them.
    """
    found: dict[str, list[float]] = {}
    for kind, labels, value in _REQUESTS.findall(metrics):
        replica = dict(_LABEL.findall(labels)).get("replica", "").rpartition("#")[2]
        counts = found.setdefault(replica, [0.0, 0.0])
        counts[kind == "error"] += float(value)
    return {replica: (all_, failed) for replica, (all_, failed) in found.items()}


def _of_actor(actor: dict[str, Any]) -> Process:
    kind, name = "actor", actor["name"] or actor["class_name"]
    if actor["class_name"].startswith("ServeReplica:"):
        kind = "replica"
        name = name.removeprefix("SERVE_REPLICA::").replace("#", "/")
    node = (actor.get("node_id") or "")[:SHORT]
    return Process(kind, name, _hash_of(actor), actor["state"], node, actor.get("pid"))


def _told(process: Process, log: NodeLog | None, worker: str | None) -> Process:
    """Return *process*, a *worker* of Ray, with what the *log* of its node says."""
    if log is None or process.pid is None:
        return process
    facts = log.installed(process.pid, process.hash, worker)
    live = log.lives(process.pid, process.name.rpartition("/")[2])
    return process._replace(
        failure=facts.get("failure"),
        live=live is not None,
        hash=live or process.hash,
        fetching=facts.get("fetching"),
        unread=log.unread,
    )


def _of_job(job: dict[str, Any]) -> Process:
    name = job["submission_id"] or job["entrypoint"]
    node = (job.get("driver_node_id") or "")[:SHORT]
    pid = (job.get("driver_info") or {}).get("pid")
    hash = _named_hash(job.get("runtime_env"))
    return Process("job", name, hash, job["status"], node, int(pid) if pid else None)


def _served(name: str, app: dict[str, Any], actors: list[dict[str, Any]]) -> Served:
    deployments: dict[str, Any] = app.get("deployments") or {}
    messages = [app.get("message"), *(d.get("message") for d in deployments.values())]
    replicas = list(_replicas(deployments, actors))
    replicas += _left(name, {replica.id for replica in replicas}, actors)
    return Served(
        name,
        _named_hash((app.get("deployed_app_config") or {}).get("runtime_env")),
        app["status"],
        "\n".join(message for message in messages if message),
        {key: d.get("target_num_replicas") or 0 for key, d in deployments.items()},
        tuple(replicas),
        app.get("last_deployed_time_s"),
        _live(app.get("deployed_app_config") or {}),
    )


def _live(config: dict[str, Any]) -> str | None:
    """Return the hash that live replicas were told to serve, None if none are live."""
    env_vars = (config.get("runtime_env") or {}).get("env_vars") or {}
    if not env_vars.get(ENVIRONMENT["live"]):
        return None
    for deployment in config.get("deployments") or ():
        wish = (deployment.get("user_config") or {}).get("lazyimport") or {}
        if wish.get("hash"):
            return str(wish["hash"])
    return _named_hash(config.get("runtime_env"))


def _replicas(
    deployments: Mapping[str, Any], actors: list[dict[str, Any]]
) -> Iterator[Replica]:
    hashes = {actor["actor_id"]: _hash_of(actor) for actor in actors}
    for deployment, facts in deployments.items():
        for replica in facts["replicas"]:
            actor = replica.get("actor_id") or ""
            yield Replica(
                deployment,
                replica["replica_id"],
                hashes.get(actor),
                replica["state"],
                replica["start_time_s"],
                replica.get("node_id") or "",
                actor,
                replica.get("pid"),
            )


def _left(
    application: str, known: set[str], actors: list[dict[str, Any]]
) -> Iterator[Replica]:
    """Yield the replicas that live although Serve does not list them any more."""
    for actor in actors:
        kind, _, deployment = actor["class_name"].partition(f":{application}:")
        name = actor["name"].rpartition("#")[2]
        if kind == "ServeReplica" and deployment and name not in known:
            yield Replica(deployment, name, _hash_of(actor), "ALIVE", None)


def _hash_of(actor: dict[str, Any]) -> str | None:
    return _named_hash(json.loads(actor.get("serialized_runtime_env") or "{}"))


def _named_hash(runtime_env: Any) -> str | None:
    if not isinstance(runtime_env, dict):
        return None
    plugin = runtime_env.get("lazyimport")
    if isinstance(plugin, dict) and plugin.get("hash"):
        return _as_settings_read(plugin["hash"])
    hash = (runtime_env.get("env_vars") or {}).get(ENVIRONMENT["hash"])
    return _as_settings_read(hash) if hash else None


def _as_settings_read(hash: object) -> str:
    return str(hash).strip().lower()
