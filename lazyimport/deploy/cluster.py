"""A Ray cluster, asked through its dashboard: Serve, actors, jobs.

Nothing of Ray is imported: a laptop that only deploys need not have it.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from lazyimport.delivery.compatibility import Python
from lazyimport.delivery.doctor import Finding
from lazyimport.deploy import status
from lazyimport.deploy.dashboard import Dashboard, ForwardedDashboard
from lazyimport.deploy.errors import DeployError
from lazyimport.deploy.kubectl import Forward
from lazyimport.deploy.node_log import NodeLog, Told
from lazyimport.deploy.own_jobs import findings_in, pythons_in, run_own
from lazyimport.deploy.status import Process, Served
from lazyimport.stores.side_by_side import side_by_side

P = ParamSpec("P")
T = TypeVar("T")

_SERVE = "/api/serve/applications/"
#: the living: Ray remembers dead ones, and its answers end at the limit
_ACTORS = (
    "/api/v0/actors?detail=1&limit=10000"
    "&filter_keys=state&filter_predicates=!%3D&filter_values=DEAD"
)
_JOBS = "/api/jobs/"
_WORKERS = (
    "/api/v0/workers?detail=1&limit=10000"
    "&filter_keys=is_alive&filter_predicates=%3D&filter_values=True"
)
#: what the newest workers of a node wrote, one line each; the node's id is missing
_LOG = "/api/v0/logs/file?filename=lazyimport.log&lines={}&node_id={}"
_LOGS = "/api/v0/logs?glob=lazyimport.log&node_id={}"
#: where the metrics of each node are, as Prometheus asks for it
_EXPORTERS = "/api/prometheus/sd"
#: Metrics are an extra: nodes that answer later than this are not asked again.
_SECONDS_FOR_METRICS = 2.0
_SECONDS_BETWEEN = 0.5


def _understood(read: Callable[P, T]) -> Callable[P, T]:
    """Let a method that reads answers raise DeployError for one of another form."""

    @wraps(read)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(*args, **kwargs)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            address = getattr(args[0], "address", "")
            raise DeployError(
                f"what answers at {address} has another form than Ray's dashboard "
                f"({type(error).__name__}: {error}); see whether it is that, and "
                "whether this lazyimport knows its version of Ray"
            ) from error

    return call


class Cluster:
    """The cluster whose dashboard is at *address*, such as ``http://localhost:8265``.

    A `Forward` may lead there in place of an address. *token* is sent to clusters that
    ask for one. Raises DeployError for what is no address of a dashboard; so does every
    method if the cluster is unreachable or refuses.
    """

    def __init__(self, address: str | Forward, token: str | None = None) -> None:
        self._dashboard = (
            Dashboard(address, token)
            if isinstance(address, str)
            else ForwardedDashboard(address, token)
        )
        self._exporters: list[str] | None = None

    @property
    def address(self) -> str:
        """The address of the dashboard, which may change where a port is forwarded."""
        return self._dashboard.address

    def apply(self, config: object) -> None:
        """Give Serve its config, as ``serve deploy`` does."""
        self._dashboard.ask("PUT", _SERVE, config)

    @_understood
    def served(self) -> dict[str, Served]:
        """Return the Serve applications by name."""
        running = self._dashboard.ask("GET", _SERVE)
        return status.served(running.get("applications", {}), self._actors())

    def running(self) -> dict[str, Served]:
        """Return them as `served` does, with what live replicas run by now.

        That is in the logs of all nodes.
        """
        told = self.processes()
        return {name: status.as_told(app, told) for name, app in self.served().items()}

    @_understood
    def serving(self) -> dict[str, Served]:
        """Return them as `served` does, but sooner, without the hashes of replicas."""
        return status.served(
            self._dashboard.ask("GET", _SERVE).get("applications", {}), []
        )

    @_understood
    def told(self, wish: int, node: str) -> dict[str, Told]:
        """Return what live replicas on *node* have told of a *wish*, by their ids.

        Raises DeployError if its log cannot be read.
        """
        return NodeLog(self._read_log(node, 1000)).told(wish)

    @_understood
    def config(self) -> dict[str, Any]:
        """Return the config that Serve runs now, to change and `apply` again."""
        running = self._dashboard.ask("GET", _SERVE)
        configs = [
            app.get("deployed_app_config") for app in running["applications"].values()
        ]
        config = {"applications": [config for config in configs if config]}
        if running.get("target_capacity") is not None:
            config["target_capacity"] = running["target_capacity"]
        return config

    @_understood
    def processes(self) -> list[Process]:
        """Return every living replica, actor and job; Serve's own are left out."""
        actors = self._actors()
        nodes = {actor["node_id"] for actor in actors if actor.get("node_id")}
        told = side_by_side(*(partial(self._log, node) for node in nodes))
        logs: dict[str, NodeLog] = dict(zip(nodes, told, strict=True))
        workers: list[dict[str, Any]] = []
        if not all(log.is_empty for log in logs.values()):
            with suppress(DeployError):  # a Ray that does not tell
                answer = self._dashboard.ask("GET", _WORKERS)
                workers = answer["data"]["result"]["result"]
        return status.processes(
            actors, self._dashboard.ask("GET", _JOBS), logs, workers
        )

    def requests(self) -> dict[str, tuple[float, float]]:
        """Return, by replica, how many requests it has had, and how many failed.

        Asks the exporters of metrics on the nodes; those that cannot be reached from
        here are left out.
        """
        if self._exporters is None:
            with suppress(DeployError):
                self._exporters = [
                    target
                    for group in self._dashboard.ask("GET", _EXPORTERS)
                    for target in group["targets"]
                ]
        exporters = self._exporters = self._exporters or []
        texts = side_by_side(*(partial(_metrics_of, one) for one in exporters))
        self._exporters = [
            one for one, text in zip(exporters, texts, strict=True) if text is not None
        ]
        return status.requests_in("\n".join(filter(None, texts)))

    def prefetch(self, hash: str, store: str | None, timeout: float) -> Iterator[str]:
        """Bring the archive *hash* to every node; yield a line for each.

        *store* is the URL to fetch from, None for each node's own. Raises DeployError
        if a node cannot get it, and after *timeout* seconds.
        """
        words = [hash, *filter(None, [store])]
        run = partial(self.run, timeout=timeout)
        return run_own(run, "lazyimport.ray.prefetch_job", *words)

    def pythons(self, timeout: float) -> list[Python]:
        """Return the Python of each node.

        Raises DeployError as `run` does, and if the lazyimport there is too old.
        """
        run = partial(self.run, timeout=timeout)
        return pythons_in(self._answer(run_own(run, "lazyimport.ray.describe_job")))

    def examine(
        self,
        hash: str | None,
        store: str | None,
        timeout: float,
        *,
        write: bool = False,
    ) -> list[Finding]:
        """Return what each node finds that tries what it needs to run archives.

        *hash* is one to look for, *store* the URL of one to ask, None for each node's
        own; *write* tries what a push needs too. Raises DeployError as `pythons` does.
        """
        words = [hash or "-", store or "-", *["--write"] * write]
        run = partial(self.run, timeout=timeout)
        lines = self._answer(run_own(run, "lazyimport.ray.doctor_job", *words))
        return findings_in(lines)

    def _answer(self, job: Iterator[str]) -> list[str]:
        """Return the lines of a *job*; if it fails, they are in the error."""
        lines: list[str] = []
        try:
            lines.extend(job)
        except DeployError as error:
            said = "".join(f"\n{line}" for line in lines)
            raise error.with_text(f"{error}{said}") from error.__cause__
        return lines

    def run(self, command: str, timeout: float) -> Iterator[str]:
        """Run *command* on the head node as a job, and yield the lines it prints.

        Raises DeployError if it fails, and after *timeout* seconds.
        """
        deadline = time.monotonic() + timeout
        job = self._submit(command, deadline)
        shown = 0
        while True:
            state, text = self._state_of(job, deadline)
            ended = state in status.ENDED
            lines = text.splitlines()
            if not ended and not text.endswith("\n"):
                lines = lines[:-1]  # the last one is not whole yet
            yield from lines[shown:]
            shown = len(lines)
            if state == "SUCCEEDED":
                return
            if ended or time.monotonic() > deadline:
                how = state if ended else f"still {state} after {timeout:.0f} s"
                raise DeployError(
                    f"{self.address}{job}, a job of Ray, is {how}: {command}"
                )
            time.sleep(_SECONDS_BETWEEN)

    @_understood
    def _state_of(self, job: str, until: float) -> tuple[str, str]:
        """Return the state of a *job*, and what it has printed by then."""
        state = self._dashboard.ask("GET", job, until=until)["status"]
        text = self._dashboard.ask("GET", f"{job}/logs", until=until)["logs"]
        return str(state), str(text or "")

    def _submit(self, command: str, until: float) -> str:
        """Begin a job, once, and return its path; try until the clock says *until*.

        The answer may get lost when the job has begun. Its name, which no other has,
        tells.
        """
        name = f"lazyimport-{os.urandom(8).hex()}"
        job = {"entrypoint": command, "submission_id": name}
        while True:
            try:
                self._dashboard.send("POST", _JOBS, json.dumps(job).encode())
            except DeployError as error:
                if not error.retryable or time.monotonic() > until:
                    raise
                if not self._has_begun(name, until):
                    time.sleep(_SECONDS_BETWEEN)
                    continue
            return _JOBS + name

    def _has_begun(self, name: str, until: float) -> bool:
        """Return whether there is a job of that name."""
        try:
            self._dashboard.ask("GET", _JOBS + name, until=until)
        except DeployError as error:
            if error.retryable:
                raise
            return False
        return True

    def _log(self, node: str) -> NodeLog:
        """Return what the workers of a node wrote of their archives."""
        try:
            return NodeLog(self._read_log(node, 10_000))
        except DeployError as error:
            return NodeLog(unread=str(error))

    def _read_log(self, node: str, lines: int) -> str:
        """Return the last lines, "" if there is no log: no worker has an archive."""
        try:
            text: bytes = self._dashboard.send(
                "GET", _LOG.format(lines, node), decode=bytes
            )
        except DeployError:
            # For Ray a file that is missing is a failure like any other.
            found = self._dashboard.send("GET", _LOGS.format(node))["data"]["result"]
            if any(found.values()):
                raise
            return ""
        return (text or b"").decode(errors="replace")

    def _actors(self) -> list[dict[str, Any]]:
        found = self._dashboard.ask("GET", _ACTORS)
        actors: list[dict[str, Any]] = found["data"]["result"]["result"]
        return actors


def _metrics_of(exporter: str) -> str | None:
    """Return what an exporter, a host and port, says of its node; None if nothing."""
    try:
        with urllib.request.urlopen(
            f"http://{exporter}/metrics", timeout=_SECONDS_FOR_METRICS
        ) as answer:
            text: bytes = answer.read()
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return text.decode(errors="replace")
