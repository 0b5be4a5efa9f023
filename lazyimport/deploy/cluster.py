"""A Ray cluster through its dashboard's REST interface: Serve, actors, jobs.

Nothing of Ray is imported: a laptop that only deploys need not have it.
"""

from __future__ import annotations

import json
import time
from typing import NamedTuple

from lazyimport.deploy.errors import DeployError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

__all__ = ["Cluster", "Process", "Replica", "Served", "hash_of"]

_SERVE = "/api/serve/applications/"
#: the living: Ray remembers dead ones, and its answers end at the limit
_ACTORS = (
    "/api/v0/actors?detail=1&limit=10000"
    "&filter_keys=state&filter_predicates=!%3D&filter_values=DEAD"
)
_JOBS = "/api/jobs/"
#: Serve itself is started by the first request that needs it.
_SECONDS = 120
_SECONDS_BETWEEN = 0.5
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
_SERVES_OWN = ("ServeController", "ProxyActor")


class Replica(NamedTuple):
    """A replica: ``hash`` is what its process runs.

    ``state`` is Serve's; ``ALIVE`` if only Ray knows the replica, as it is with those
    that go on serving after a deployment has failed. ``started`` is in seconds since
    the epoch, where Serve tells.
    """

    deployment: str
    id: str
    hash: str | None
    state: str
    started: float | None

    @property
    def serves(self) -> bool:
        """Whether it answers requests."""
        return self.state in {"RUNNING", "ALIVE"}


class Served(NamedTuple):
    """A Serve application as the cluster has it.

    ``hash`` is what its config names, ``status`` and ``message`` are Serve's,
    those of its deployments among the messages; ``targets`` says how many replicas
    each deployment is to have.
    """

    name: str
    hash: str | None
    status: str
    message: str
    targets: Mapping[str, int]
    replicas: tuple[Replica, ...]


class Process(NamedTuple):
    """An actor, replica or job, and the hash that it runs."""

    kind: str
    name: str
    hash: str | None
    state: str
    node: str
    pid: int | None


class Cluster:
    """The cluster whose dashboard is at *address*, such as http://localhost:8265.

    *token* is sent where the cluster asks for one. Every method raises DeployError
    where the cluster cannot be reached or refuses.
    """

    def __init__(self, address: str, token: str | None = None) -> None:
        self.address = address.rstrip("/")
        if "://" not in self.address:
            self.address = f"http://{self.address}"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def apply(self, config: object) -> None:
        """Give Serve its config, as ``serve deploy`` does."""
        self._ask("PUT", _SERVE, config)

    def served(self) -> dict[str, Served]:
        """Return the Serve applications by name."""
        applications = self._serve()
        actors = [actor for actor in self._actors() if actor["state"] == "ALIVE"]
        return {name: _served(name, app, actors) for name, app in applications.items()}

    def config(self) -> dict[str, Any]:
        """Return the config that Serve runs now, to change and `apply` again."""
        running = self._ask("GET", _SERVE)
        configs = [
            app.get("deployed_app_config") for app in running["applications"].values()
        ]
        config = {"applications": [config for config in configs if config]}
        if running.get("target_capacity") is not None:
            config["target_capacity"] = running["target_capacity"]
        return config

    def processes(self) -> list[Process]:
        """Return every living actor, replica and job; Serve's own are left out."""
        found = []
        for actor in self._actors():
            kind, name = "actor", actor["name"] or actor["class_name"]
            if actor["state"] == "DEAD" or actor["class_name"] in _SERVES_OWN:
                continue
            if actor["class_name"].startswith("ServeReplica:"):
                kind = "replica"
                name = name.removeprefix("SERVE_REPLICA::").replace("#", "/")
            found.append(
                Process(
                    kind,
                    name,
                    _actor_hash(actor),
                    actor["state"],
                    (actor.get("node_id") or "")[:8],
                    actor.get("pid"),
                )
            )
        for job in self._ask("GET", _JOBS):
            if job["status"] not in _ENDED:
                driver = job.get("driver_info") or {}
                found.append(
                    Process(
                        "job",
                        job["submission_id"] or job["entrypoint"],
                        hash_of(job.get("runtime_env")),
                        job["status"],
                        (job.get("driver_node_id") or "")[:8],
                        int(driver["pid"]) if driver.get("pid") else None,
                    )
                )
        return found

    def run(self, command: str, timeout: float) -> Iterator[str]:
        """Run *command* on the head node as a job, and yield the lines it prints.

        Raises DeployError if it fails, and after *timeout* seconds.
        """
        deadline = time.monotonic() + timeout
        work = {"entrypoint": command}
        job = self._ask("POST", _JOBS, work, until=deadline)["submission_id"]
        shown = 0
        while True:
            status = self._ask("GET", f"{_JOBS}{job}", until=deadline)["status"]
            ended = status in _ENDED
            said = self._ask("GET", f"{_JOBS}{job}/logs", until=deadline)
            text = said["logs"] or ""
            lines = text.splitlines()
            if not ended and not text.endswith("\n"):
                lines = lines[:-1]  # the last one is not whole yet
            yield from lines[shown:]
            shown = len(lines)
            if status == "SUCCEEDED":
                return
            if ended or time.monotonic() > deadline:
                how = status if ended else f"still {status} after {timeout:.0f} s"
                raise DeployError(
                    f"job {job} of Ray at {self.address} is {how}: {command}"
                )
            time.sleep(_SECONDS_BETWEEN)

    def _serve(self) -> dict[str, Any]:
        applications: dict[str, Any] = self._ask("GET", _SERVE).get("applications", {})
        return applications

    def _actors(self) -> list[dict[str, Any]]:
        found = self._ask("GET", _ACTORS)
        actors: list[dict[str, Any]] = found["data"]["result"]["result"]
        return actors

    def _ask(
        self, method: str, path: str, value: object = None, until: float = 0
    ) -> Any:
        """Return the answer; *until* then, ask again where Ray says it cannot now."""
        while True:
            try:
                return self._ask_once(method, path, value)
            except _BusyError:
                if time.monotonic() > until:
                    raise
            time.sleep(_SECONDS_BETWEEN)

    def _ask_once(self, method: str, path: str, value: object) -> Any:
        import http.client
        import urllib.error
        import urllib.request

        try:
            data = None if value is None else json.dumps(value).encode()
        except TypeError as error:
            raise DeployError(
                f"what is to be sent to {self.address} has a value that JSON has not "
                f"({error}): YAML reads a plain date as one, so put it in quotes"
            ) from error
        if not self.address.startswith(("http://", "https://")):
            raise DeployError(
                f"{self.address} is no address of Ray's dashboard, which is "
                "http://host:8265; ray:// is that of the Ray Client"
            )
        request = urllib.request.Request(  # noqa: S310 - the scheme is the user's choice
            self.address + path,
            data,
            {"Content-Type": "application/json", **self._headers},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
                text = answer.read()
            return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            with error:
                said = error.read().decode(errors="replace").strip()
            busy = error.code >= 500
            raise (_BusyError if busy else DeployError)(
                f"Ray at {self.address} refuses ({error.code} {error.reason}): {said}",
                retryable=busy,
            ) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise DeployError(
                f"cannot reach Ray's dashboard at {self.address}: {reason}; name it "
                "with --address or RAY_DASHBOARD_ADDRESS (its port is 8265, not that "
                "of GCS or of the Ray Client)",
                retryable=True,
            ) from error


class _BusyError(DeployError):
    """The dashboard is there, and cannot do it: it has just started, or is busy."""


def hash_of(runtime_env: object) -> str | None:
    """Return the hash that a runtime environment names, or None."""
    if not isinstance(runtime_env, dict):
        return None
    plugin = runtime_env.get("lazyimport")
    if isinstance(plugin, dict) and plugin.get("hash"):
        return str(plugin["hash"])
    return (runtime_env.get("env_vars") or {}).get("LAZYIMPORT_HASH")


def _actor_hash(actor: dict[str, Any]) -> str | None:
    return hash_of(json.loads(actor.get("serialized_runtime_env") or "{}"))


def _served(name: str, app: dict[str, Any], actors: list[dict[str, Any]]) -> Served:
    deployments: dict[str, Any] = app.get("deployments") or {}
    messages = [app.get("message"), *(d.get("message") for d in deployments.values())]
    hashes = {actor["actor_id"]: _actor_hash(actor) for actor in actors}
    replicas = [
        Replica(
            key,
            replica["replica_id"],
            hashes.get(replica.get("actor_id") or ""),
            replica["state"],
            replica["start_time_s"],
        )
        for key, deployment in deployments.items()
        for replica in deployment["replicas"]
    ]
    known = {replica.id for replica in replicas}
    for actor in actors:
        kind, _, deployment = actor["class_name"].partition(f":{name}:")
        own = actor["name"].rpartition("#")[2]
        if kind == "ServeReplica" and deployment and own not in known:
            hash = _actor_hash(actor)
            replicas.append(Replica(deployment, own, hash, "ALIVE", None))
    return Served(
        name,
        hash_of((app.get("deployed_app_config") or {}).get("runtime_env")),
        app["status"],
        "\n".join(message for message in messages if message),
        {key: d.get("target_num_replicas") or 0 for key, d in deployments.items()},
        tuple(replicas),
    )
