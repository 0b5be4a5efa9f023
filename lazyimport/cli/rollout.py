"""Applying a manifest, and following it until every replica runs the new hash."""

from __future__ import annotations

import os
import sys
import time
from contextlib import nullcontext

from lazyimport.cli.options import UsageError
from lazyimport.cli.progress import is_terminal
from lazyimport.cli.tables import columns
from lazyimport.deploy.cluster import Cluster
from lazyimport.deploy.errors import DeployError
from lazyimport.deploy.manifest import CRON_JOB, JOB, SERVE, SERVICE
from lazyimport.deploy.rollout import follow

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from lazyimport.cli.progress import Notes
    from lazyimport.deploy.cluster import Served
    from lazyimport.deploy.manifest import Application, Manifest

__all__ = ["apply", "check_options", "cluster", "prefetch", "wait"]

_LOCAL = "http://localhost:8265"


def cluster(arguments: argparse.Namespace) -> Cluster:
    """Return the cluster that options or environment name."""
    address = arguments.address or os.environ.get("RAY_DASHBOARD_ADDRESS") or _LOCAL
    return _connect(address)


def _connect(address: str) -> Cluster:
    """Return the cluster at *address*, asked with the token that Ray's tools send."""
    token = os.environ.get("RAY_AUTH_TOKEN")
    if not token:
        path = os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token"
        try:
            with open(os.path.expanduser(path), encoding="utf-8") as file:
                token = file.read().strip()
        except OSError:
            token = None
    return Cluster(address, token)


def check_options(
    arguments: argparse.Namespace, applications: Sequence[Application]
) -> None:
    """Raise UsageError for what cannot be waited for, before anything is done."""
    kinds = {application.kind for application in applications}
    if arguments.wait and kinds & {JOB, CRON_JOB}:
        raise UsageError(
            "a job has no replicas to wait for: leave out --wait, and follow it with "
            "kubectl get rayjob"
        )
    services = {app.resource for app in applications if app.kind == SERVICE}
    if (arguments.wait or arguments.prefetch) and len(services) > 1:
        raise UsageError(
            "these are several RayServices, each with a cluster of its own: wait for "
            "them and prefetch one by one, with --app"
        )
    if arguments.prefetch and kinds & {JOB, CRON_JOB} and not arguments.address:
        raise UsageError(
            "KubeRay makes a cluster for each run of a job, so there is none to prefetch "
            "to; name one with --address if the job selects it (clusterSelector)"
        )
    if arguments.apply and len(kinds) > 1:
        raise UsageError(
            "these are a Serve config and Kubernetes objects: apply them one by one"
        )


def apply(
    manifest: Manifest,
    applications: Sequence[Application],
    arguments: argparse.Namespace,
    notes: Notes,
) -> None:
    """Give the manifest to the cluster, by Serve's REST interface or by kubectl."""
    if applications[0].kind != SERVE:
        _apply_by_kubectl(manifest, applications, notes)
        return
    configs = manifest.serve_configs()
    if len(configs) != 1:
        raise DeployError(
            f"{manifest.path} has {len(configs)} Serve configs, and a cluster runs one; "
            "put their applications into one"
        )
    target = cluster(arguments)
    notes.wait(f"applying to {target.address}")
    try:
        target.apply(configs[0])
    finally:
        notes.clear()
    notes.say(f"applied to {target.address}")


def _apply_by_kubectl(
    manifest: Manifest, applications: Sequence[Application], notes: Notes
) -> None:
    from lazyimport.deploy import kubectl

    verb = "create" if manifest.generates_names else "apply"
    notes.wait(f"kubectl {verb}")
    try:
        said = kubectl.apply(manifest.path, verb)
    finally:
        notes.clear()
    notes.say(said)
    for name in [a.name for a in applications if a.kind == JOB]:
        found = f"rayjob.ray.io/{name} "
        if f"{found}configured" in said or f"{found}unchanged" in said:
            notes.warn(
                f"RayJob {name!r} was there before, and KubeRay runs one only once: if "
                f"it has started, kubectl delete rayjob {name} and apply it again; with "
                "generateName instead of a name every deploy is a job of its own"
            )


def prefetch(
    applications: Sequence[Application], arguments: argparse.Namespace, notes: Notes
) -> None:
    """Bring the archive to every node of the cluster; raises DeployError."""
    from shlex import join

    with _address(applications[0], arguments) as address:
        target = _connect(address)
        for hash, store in {(app.hash, app.store) for app in applications if app.hash}:
            words = ["python", "-m", "lazyimport.ray.prefetch_job", hash]
            command = join([*words, store] if store else words)
            for line in target.run(command, arguments.timeout):
                notes.say(line)


def wait(
    applications: Sequence[Application],
    arguments: argparse.Namespace,
    notes: Notes,
    undo: str,
) -> None:
    """Follow the applications to the end; *undo* is how to go back.

    Raises DeployError if one does not come up.
    """
    wanted = {app.name: app.hash for app in applications if app.hash}
    with _address(applications[0], arguments) as address:
        target = _connect(address)
        follow_to_end(target, wanted, arguments.timeout, notes, undo)


def follow_to_end(
    target: Cluster,
    wanted: Mapping[str, str],
    timeout: float,
    notes: Notes,
    undo: str,
) -> None:
    """Show the rollout of *wanted* (application -> hash) until it is through."""
    started = time.monotonic()
    view = _View()
    count = 0
    try:
        for now in follow(target, wanted, timeout):
            view.show(now)
            count = sum(len(app.replicas) for app in now)
    except DeployError as error:
        if error.superseded:
            raise
        raise error.with_text(f"{error}\nto go back: {undo}") from error
    seconds = time.monotonic() - started
    names = ", ".join(wanted)
    notes.say(f"{names}: all {count} replicas run it, after {seconds:.1f} s")


def _address(
    application: Application, arguments: argparse.Namespace
) -> AbstractContextManager[str]:
    if application.kind == SERVICE and not arguments.address:
        from lazyimport.deploy.kubectl import dashboard_of

        assert application.resource is not None
        return dashboard_of(*application.resource)
    return nullcontext(cluster(arguments).address)


class _View:
    """The table of a rollout on stderr: rewritten on a terminal, else what changes."""

    def __init__(self) -> None:
        self._live = is_terminal(sys.stderr)
        self._lines = 0
        self._seen: set[tuple[str, ...]] = set()

    def show(self, applications: Sequence[Served]) -> None:
        """Show where the rollout is."""
        if self._live:
            self._rewrite(columns(_rows(applications)))
            return
        for app in applications:
            self._tell(app.name, app.status)
            for replica in app.replicas:
                self._tell(
                    f"{app.name}/{replica.deployment}/{replica.id}",
                    (replica.hash or "")[:12],
                    replica.state,
                )

    def _rewrite(self, lines: Sequence[str]) -> None:
        up = f"\x1b[{self._lines}F" if self._lines else ""
        body = "".join(f"{line}\x1b[K\n" for line in lines)
        sys.stderr.write(f"{up}{body}\x1b[J")
        sys.stderr.flush()
        self._lines = len(lines)

    def _tell(self, *words: str) -> None:
        if words not in self._seen:
            self._seen.add(words)
            print(" ".join(words), file=sys.stderr, flush=True)


def _rows(applications: Sequence[Served]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("DEPLOYMENT", "REPLICA", "HASH", "STATE", "AGE")]
    now = time.time()
    for app in applications:
        rows.append((app.name, "", (app.hash or "")[:12], app.status, ""))
        rows += [
            (
                f"  {replica.deployment}",
                replica.id,
                (replica.hash or "-")[:12],
                replica.state,
                f"{max(now - replica.started, 0):.0f} s" if replica.started else "",
            )
            for replica in sorted(
                app.replicas, key=lambda r: (r.deployment, r.started or 0)
            )
        ]
    return rows
