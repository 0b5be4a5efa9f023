"""A Ray cluster, asked through its dashboard: Serve, actors, jobs.

Nothing of Ray is imported: a laptop that only deploys need not have it.
"""

from __future__ import annotations

import time
from shlex import join

from lazyimport.deploy import status
from lazyimport.deploy.dashboard import Dashboard
from lazyimport.deploy.errors import DeployError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from lazyimport.deploy.status import Process, Served

__all__ = ["Cluster"]

_SERVE = "/api/serve/applications/"
#: the living: Ray remembers dead ones, and its answers end at the limit
_ACTORS = (
    "/api/v0/actors?detail=1&limit=10000"
    "&filter_keys=state&filter_predicates=!%3D&filter_values=DEAD"
)
_JOBS = "/api/jobs/"
_SECONDS_BETWEEN = 0.5


class Cluster:
    """The cluster whose dashboard is at *address*, such as ``http://localhost:8265``.

    *token* is sent for clusters that ask for one. Every method raises DeployError
    if the cluster is unreachable or refuses.
    """

    def __init__(self, address: str, token: str | None = None) -> None:
        self._dashboard = Dashboard(address, token)
        self.address = self._dashboard.address

    def apply(self, config: object) -> None:
        """Give Serve its config, as ``serve deploy`` does."""
        self._dashboard.ask("PUT", _SERVE, config)

    def served(self) -> dict[str, Served]:
        """Return the Serve applications by name."""
        running = self._dashboard.ask("GET", _SERVE)
        return status.served(running.get("applications", {}), self._actors())

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

    def processes(self) -> list[Process]:
        """Return every living replica, actor and job; Serve's own are left out."""
        return status.processes(self._actors(), self._dashboard.ask("GET", _JOBS))

    def prefetch(self, hash: str, store: str | None, timeout: float) -> Iterator[str]:
        """Bring the archive *hash* to every node; yield a line for each.

        *store* is the URL to fetch from, None for each node's own. Raises DeployError
        if a node cannot get it, and after *timeout* seconds.
        """
        command = ["python", "-m", "lazyimport.ray.prefetch_job", hash]
        return self.run(join([*command, store] if store else command), timeout)

    def run(self, command: str, timeout: float) -> Iterator[str]:
        """Run *command* on the head node as a job, and yield the lines it prints.

        Raises DeployError if it fails, and after *timeout* seconds.
        """
        deadline = time.monotonic() + timeout
        ask = self._dashboard.ask
        work = {"entrypoint": command}
        job = ask("POST", _JOBS, work, until=deadline)["submission_id"]
        shown = 0
        while True:
            state = ask("GET", f"{_JOBS}{job}", until=deadline)["status"]
            ended = state in status.ENDED
            text = ask("GET", f"{_JOBS}{job}/logs", until=deadline)["logs"] or ""
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
                    f"job {job} of Ray at {self.address} is {how}: {command}"
                )
            time.sleep(_SECONDS_BETWEEN)

    def _actors(self) -> list[dict[str, Any]]:
        found = self._dashboard.ask("GET", _ACTORS)
        actors: list[dict[str, Any]] = found["data"]["result"]["result"]
        return actors
