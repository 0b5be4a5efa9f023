"""Going back: the plan that sets the hash before, in a manifest or in a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote

from lazyimport.deploy.application import Application
from lazyimport.deploy.cluster import Cluster
from lazyimport.deploy.errors import DeployError
from lazyimport.deploy.history import History, committed
from lazyimport.deploy.manifest import Manifest
from lazyimport.deploy.plan import Plan
from lazyimport.deploy.rollout import follow
from lazyimport.deploy.status import Served


def plan_rollback(manifest: Manifest, names: Sequence[str], history: History) -> Plan:
    """Return the plan that sets the hash which the applications *names* had before.

    That is what was deployed from this machine before, else what git has. Raises
    DeployError if neither knows, or if they had different ones.
    """
    hashes = {_previous(app, manifest, history) for app in manifest.choose(names)}
    if len(hashes) > 1:
        raise DeployError(
            "these applications had different hashes before; roll back one at a time"
        )
    return Plan(manifest, hashes.pop(), names)


def _previous(application: Application, manifest: Manifest, history: History) -> str:
    path, name, now = manifest.path, application.name, application.hash
    known = history.deployment(path, name, now)
    before = known and known.before
    before = before or next((h for h in committed(path, name) if h != now), None)
    if before is not None:
        return before
    command = f"lazyimport deploy {quote(path)} --app {quote(name)} --hash HASH"
    if known is not None:
        raise DeployError(
            f"{name} had no hash before {now}: to go back to that, take LAZYIMPORT_HASH "
            f"out of {path}:{application.line}; to go to another, {command}"
        )
    raise DeployError(
        f"nobody knows what {name} ran before {now or 'now'}: it was not deployed from "
        f"this machine, and git has no other hash of it in {path}; name one: {command}"
    )


class ClusterRollback:
    """The change that sets the hash before in a running cluster, without a manifest.

    ``name``
        the Serve application,
    ``before``, ``hash``
        what its config names now, and will.

    Raises DeployError if the cluster has no such application, or nobody knows the
    hash before.
    """

    def __init__(self, cluster: Cluster, name: str, history: History) -> None:
        served = cluster.served().get(name)
        if served is None or served.hash is None:
            raise DeployError(
                f"Serve at {cluster.address} has no application {name!r} that was "
                "deployed by a config with a hash; see 'lazyimport status'"
            )
        known = history.deployment(cluster.address, name, served.hash)
        hash = _still_running(served) or (known and known.before)
        if hash is None:
            raise DeployError(
                f"nobody knows what {name} ran before {served.hash}: every replica "
                "runs that, and it was not deployed from this machine; deploy a hash "
                "by name"
            )
        self.name = name
        self.before = served.hash
        self.hash = hash
        self._cluster = cluster
        self._history = history

    def apply(self) -> None:
        """Give the cluster its own config with that hash, and record it."""
        config = self._cluster.config()
        for application in config["applications"]:
            if application["name"] == self.name:
                _set(application["runtime_env"], self.hash)
        self._cluster.apply(config)
        self._history.add(self._cluster.address, self.name, self.before, self.hash)

    def follow(self, timeout: float) -> Iterator[list[Served]]:
        """Follow the rollout to its end, as `lazyimport.deploy.follow` does."""
        address = self._cluster.address
        undo = f"lazyimport rollback --app {quote(self.name)} --address {address}"
        return follow(self._cluster, {self.name: self.hash}, timeout, undo)


def _still_running(served: Served) -> str | None:
    """Return the hash of the replicas that a failed deployment has left in place."""
    others = {r.hash for r in served.replicas if r.serves} - {served.hash}
    return others.pop() if len(others) == 1 else None


def _set(runtime_env: dict[str, dict[str, str]], hash: str) -> None:
    if "lazyimport" in runtime_env:
        runtime_env["lazyimport"]["hash"] = hash
    else:
        runtime_env["env_vars"]["LAZYIMPORT_HASH"] = hash
