"""Going back: to the last version that worked, in a manifest or in a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from shlex import quote

from lazyimport.deploy.application import VARIABLE, Application
from lazyimport.deploy.cluster import Cluster
from lazyimport.deploy.errors import DeployError, ManifestError
from lazyimport.deploy.git import versions
from lazyimport.deploy.history import Deployment, History
from lazyimport.deploy.manifest import ClusterManifest, Manifest
from lazyimport.deploy.plan import Plan
from lazyimport.deploy.status import Served
from lazyimport.errors import ArchiveMissing, MalformedArchive, StoreError
from lazyimport.registry.archives import require_archive
from lazyimport.registry.past import Past

_TYPED = "it was asked for"


def plan_rollback(
    manifest: Manifest, names: Sequence[str], history: History, to: str | None = None
) -> Plan:
    """Return the plan that sets the hash *to*, by default of what worked last.

    That is the last version which all replicas of the applications *names* ran, as
    *history* knows, and from which nobody has rolled back since. If none is known, it
    is the newest one that did not fail, in *history* or in git. What the store of
    *history* does not have is passed over. `Plan.why` says it.

    Raises DeployError if none is known, or if they had different ones.
    """
    applications = manifest.choose(names)
    if to is not None:
        return Plan(manifest, to, names, why=_TYPED)
    chosen = dict(_previous(app, manifest, history) for app in applications)
    if len(chosen) > 1:
        raise DeployError(
            "these applications had different hashes before; roll back one at a time"
        )
    ((hash, why),) = chosen.items()
    return Plan(manifest, hash, names, why=why)


def _previous(
    app: Application, manifest: Manifest, history: History
) -> tuple[str, str]:
    path = manifest.path
    by, deployments = _line(history, app.name, app.hash, manifest.name)
    past = Past(deployments, app.hash)
    is_gone = partial(_is_gone, history)
    chosen = past.choose(is_gone)
    if chosen is not None:
        other = f"; by {by}: nothing is recorded by {manifest.name}"
        return chosen[0], chosen[1] + other * (by != manifest.name)
    for commit, hash in _committed(manifest, app.name):
        fate = past.fates.get(hash)
        is_good = hash != app.hash and not (fate and fate.is_bad)
        if is_good and not is_gone(hash):
            return hash, (
                f"it is the newest other hash in git (commit {commit[:10]}), and nobody "
                f"recorded whether it worked{past.passed_over()}"
            )
    key = f" --set-key {quote(manifest.key)}" if manifest.key else ""
    command = (
        f"lazyimport rollback {quote(path)} --app {quote(app.name)}{key} --to HASH"
    )
    if past.is_first:
        raise DeployError(
            f"{app.name} had no hash before {app.hash}: to go back to that, take "
            f"{VARIABLE} out of {path}:{app.line}; to go to another, {command}"
        )
    advice = f"git has no other hash of it in {path}; name one: {command}"
    raise _nothing(app.name, past, advice)


def _is_gone(history: History, hash: str) -> bool:
    """Return whether the store does not have an archive; False if it does not say."""
    if history.store is None:
        return False
    try:
        require_archive(history.store, hash)
    except ArchiveMissing:
        return True
    except (StoreError, MalformedArchive):
        return False  # whoever fetches it gets the error
    return False


def _line(
    history: History, app: str, now: str | None, manifest: str, cluster: str = ""
) -> tuple[str, list[Deployment]]:
    """Return the manifest whose deployments count for *app*, and those deployments.

    An application of one name may run in several places, with a manifest for each.
    If *history* has none by *manifest*, as on another machine, the manifest counts that
    was last deployed with the hash *now*, to *cluster* if any was.
    """
    known = history.deployments(app, manifest=manifest)
    counted = [each for each in known if each.trusted]
    if not any(each.manifest == manifest for each in counted):
        ran = [each for each in counted if each.hash == now]
        ran.sort(key=lambda each: each.cluster != cluster)
        manifest = ran[0].manifest if ran else manifest
    return manifest, [each for each in counted if each.manifest == manifest]


def _nothing(app: str, past: Past, advice: str) -> DeployError:
    return DeployError(
        f"nobody knows a version of {app} that worked before "
        f"{past.now or 'now'}{past.passed_over()}; {advice}"
    )


class ClusterRollback(Plan):
    """The plan that sets an earlier hash in a running cluster, without a manifest.

    *name* is the Serve application, *to* the hash; by default it is the one that
    remaining replicas still run, else chosen as `plan_rollback` does. `write`
    applies it.

    Raises DeployError if the cluster has no such application that was deployed by a
    config, or no hash to go back to is known.
    """

    def __init__(
        self, cluster: Cluster, name: str, history: History, to: str | None = None
    ) -> None:
        (app,) = ClusterManifest(cluster).choose([name])
        by, deployments = _line(history, name, app.hash, "", cluster.address)
        past = Past(deployments, app.hash)
        served = cluster.running().get(name)
        running = _still_running(served) if served else None
        recorded = past.choose(partial(_is_gone, history))
        if recorded and by:
            recorded = recorded[0], f"{recorded[1]}; by {by}"
        chosen = (to, _TYPED) if to else running or recorded
        if chosen is None:
            command = f"lazyimport rollback --app {quote(name)} --to HASH"
            advice = f"no replica runs another one; name one: {command}"
            raise _nothing(name, past, advice)
        manifest = ClusterManifest(cluster, by)
        super().__init__(manifest, chosen[0], [name], why=chosen[1])
        self.warnings.append(
            "the cluster will differ from the manifest; change that too, or the next "
            f"time it is applied it brings back {app.hash}"
        )


def _still_running(served: Served) -> tuple[str, str] | None:
    """Return the hash of the replicas that a failed deployment has left in place."""
    others = {hash: n for hash, n in served.serving.items() if hash != served.hash}
    for hash, count in others.items():
        if hash is not None and len(others) == 1:
            return hash, f"it still runs, in {count} of the replicas"
    return None


def _committed(manifest: Manifest, app: str) -> Iterator[tuple[str, str]]:
    """Yield commits of *manifest* and the hash of *app* in each, newest first."""
    for commit, text in versions(manifest.path):
        try:
            applications = manifest.with_text(text).applications
        except ManifestError:
            continue  # in that commit it was something else
        for application in applications:
            if application.name == app and application.hash:
                yield commit, application.hash
