"""Going back: to the last version that worked, in a manifest or in a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from shlex import quote

from lazyimport.deploy.application import VARIABLE, Application
from lazyimport.deploy.cluster import Cluster
from lazyimport.deploy.errors import DeployError, ManifestError
from lazyimport.deploy.git import versions
from lazyimport.deploy.history import Deployment, History
from lazyimport.deploy.manifest import ClusterManifest, Manifest
from lazyimport.deploy.plan import Plan
from lazyimport.deploy.status import Served

_TYPED = "it was asked for"


def plan_rollback(
    manifest: Manifest, names: Sequence[str], history: History, to: str | None = None
) -> Plan:
    """Return the plan that sets the hash *to*, by default of what worked last.

    That is the last version which all replicas of the applications *names* ran, as
    *history* knows, and from which nobody has rolled back since. If none is known, it
    is the newest one that did not fail, in *history* or in git. `Plan.why` says it.

    Raises DeployError if nobody knows any, or if they had different ones.
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
    past = _Past(history, app.name, app.hash, manifest=manifest.name)
    chosen = past.choose()
    if chosen is not None:
        return chosen
    for commit, hash in _committed(path, app.name):
        fate = past.fates.get(hash)
        if hash != app.hash and not (fate and fate.is_bad):
            return hash, (
                f"it is the newest other hash in git (commit {commit[:10]}), and nobody "
                f"recorded whether it worked{past.passed_over()}"
            )
    command = f"lazyimport rollback {quote(path)} --app {quote(app.name)} --to HASH"
    if past.is_first:
        raise DeployError(
            f"{app.name} had no hash before {app.hash}: to go back to that, take "
            f"{VARIABLE} out of {path}:{app.line}; to go to another, {command}"
        )
    raise past.error(f"git has no other hash of it in {path}; name one: {command}")


class _Fate:
    """What became of one hash; *last* is its last deployment, or that after it."""

    def __init__(self, last: Deployment) -> None:
        self.last = last
        self.ran = False
        self.failed: Deployment | None = None
        self.left: Deployment | None = None  # by this rollback

    @property
    def is_bad(self) -> bool:
        """Whether it failed and never ran, or somebody rolled back from it."""
        return self.left is not None or (self.failed is not None and not self.ran)

    def rank(self, hash: str) -> int:
        """Return how much is known for *hash*, whose fate this is."""
        was_applied = self.last.hash == hash and self.last.outcome != "written"
        return 2 if self.ran else int(was_applied)

    def __str__(self) -> str:
        if self.left is not None:
            return f"was rolled back {self.left.began}"
        if self.failed is not None and not self.ran:
            reason = self.failed.reason
            return self.failed.outcome + (f" ({reason})" if reason else "")
        return "ran" if self.ran else "was not waited for"


class _Past:
    """What *history* knows of the hashes that *app*, which has *now*, had before.

    An application of one name may run in several places, with a manifest for each.
    The deployments by *manifest* count; if there are none, as on another machine,
    those by the manifest that named *now* last, which went to *cluster* if any did.
    """

    def __init__(
        self,
        history: History,
        app: str,
        now: str | None,
        *,
        manifest: str = "",
        cluster: str = "",
    ) -> None:
        counted = [each for each in history.deployments(app) if each.trusted]
        if not any(each.manifest == manifest for each in counted):
            ran = [each for each in counted if each.hash == now]
            ran.sort(key=lambda each: each.cluster != cluster)
            manifest = ran[0].manifest if ran else manifest
        deployments = [each for each in counted if each.manifest == manifest]
        self.manifest = manifest
        befores = {each.before for each in deployments}
        self.is_first = bool(now) and befores | {now} == {None, now}
        #: by hash, in the order in which they were deployed last
        self.fates: dict[str, _Fate] = {}
        for each in reversed(deployments):
            self._learn(each)
        self._app = app
        self._now = now

    def _learn(self, each: Deployment) -> None:
        known = self.fates.pop(each.hash, _Fate(each))
        if each.before and each.before != each.hash:
            before = self.fates.setdefault(each.before, _Fate(each))
            if each.back and known.left is None:
                before.left = each
        self.fates[each.hash] = known
        known.last, known.left = each, None
        if each.outcome == "running":
            known.ran, known.failed = True, None
        elif each.outcome in ("failed", "timed out"):
            known.failed = each

    def choose(self) -> tuple[str, str] | None:
        """Return the hash to go back to and why, None if nothing is known."""
        newest = reversed(self.fates)
        good = [h for h in newest if h != self._now and not self.fates[h].is_bad]
        if not good:
            return None
        # The newest of those that ran, else of those that were applied, else of all.
        hash = max(good, key=lambda hash: self.fates[hash].rank(hash))
        fate = self.fates[hash]
        if fate.ran:
            why = f"it is the last that worked: deployed {fate.last.began}"
        elif fate.last.hash == hash:
            why = f"it was deployed {fate.last.began}, and nobody waited for it"
        else:
            why = f"{self._app} had it before {fate.last.hash[:12]} was deployed"
        return hash, why + self.passed_over(hash)

    def passed_over(self, chosen: str | None = None) -> str:
        """Return what is said of the hashes that were deployed after *chosen*."""
        newer = list(takewhile(lambda hash: hash != chosen, reversed(self.fates)))
        texts = [f"{h[:12]} {self.fates[h]}" for h in newer if h != self._now]
        return f"; passed over: {', '.join(texts)}" if texts else ""

    def error(self, advice: str) -> DeployError:
        """Return the error for the case that there is nothing to go back to."""
        return DeployError(
            f"nobody knows a version of {self._app} that worked before "
            f"{self._now or 'now'}{self.passed_over()}; {advice}"
        )


class ClusterRollback(Plan):
    """The plan that sets an earlier hash in a running cluster, without a manifest.

    *name* is the Serve application, *to* the hash; by default it is the one that
    remaining replicas still run, else chosen as `plan_rollback` does. `write`
    applies it.

    Raises DeployError if the cluster has no such application that was deployed by a
    config, or nobody knows a hash to go back to.
    """

    def __init__(
        self, cluster: Cluster, name: str, history: History, to: str | None = None
    ) -> None:
        (app,) = ClusterManifest(cluster).choose([name])
        past = _Past(history, name, app.hash, cluster=cluster.address)
        served = cluster.served().get(name)
        running = _still_running(served) if served else None
        chosen = (to, _TYPED) if to else running or past.choose()
        if chosen is None:
            command = f"lazyimport rollback --app {quote(name)} --to HASH"
            raise past.error(f"no replica runs another one; name one: {command}")
        manifest = ClusterManifest(cluster, past.manifest)
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


def _committed(path: str, app: str) -> Iterator[tuple[str, str]]:
    """Yield commits of the file *path* and the hash of *app* in each, newest first."""
    for commit, text in versions(path):
        try:
            applications = Manifest(text, path).applications
        except ManifestError:
            continue  # in that commit it was something else
        for application in applications:
            if application.name == app and application.hash:
                yield commit, application.hash
