"""Going back: to the last version that worked, in a manifest or in a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from shlex import quote
from typing import Any

from lazyimport.deploy.application import VARIABLE, Application
from lazyimport.deploy.cluster import Cluster
from lazyimport.deploy.errors import DeployError
from lazyimport.deploy.git import committed, name_of
from lazyimport.deploy.history import Deployment, History, Run
from lazyimport.deploy.manifest import Manifest
from lazyimport.deploy.plan import Plan
from lazyimport.deploy.rollout import follow
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
    chosen = dict(_previous(app, manifest.path, history) for app in applications)
    if len(chosen) > 1:
        raise DeployError(
            "these applications had different hashes before; roll back one at a time"
        )
    ((hash, why),) = chosen.items()
    return Plan(manifest, hash, names, why=why)


def _previous(app: Application, path: str, history: History) -> tuple[str, str]:
    past = _Past(history, app.name, app.hash, manifest=name_of(path))
    chosen = past.choose()
    if chosen is not None:
        return chosen
    for hash, commit in committed(path, app.name):
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

        def rank(hash: str) -> int:
            fate = self.fates[hash]
            was_applied = fate.last.hash == hash and fate.last.outcome != "written"
            return 2 if fate.ran else int(was_applied)

        newest = reversed(self.fates)
        good = [h for h in newest if h != self._now and not self.fates[h].is_bad]
        if not good:
            return None
        hash = max(good, key=rank)  # the newest of those that rank highest
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


class ClusterRollback:
    """The change that sets an earlier hash in a running cluster, without a manifest.

    *name* is the Serve application, *to* the hash; by default it is the one that
    remaining replicas still run, else chosen as `plan_rollback` does.

    ``name``
        the Serve application,
    ``before``, ``hash``, ``why``
        what its config names now, what it will, and why it is that one.

    Raises DeployError if the cluster has no such application, or nobody knows a
    hash to go back to.
    """

    def __init__(
        self, cluster: Cluster, name: str, history: History, to: str | None = None
    ) -> None:
        served = cluster.served().get(name)
        if served is None or served.hash is None:
            raise DeployError(
                f"Serve at {cluster.address} has no application {name!r} that was "
                "deployed by a config with a hash; see 'lazyimport status'"
            )
        past = _Past(history, name, served.hash, cluster=cluster.address)
        chosen = (to, _TYPED) if to else _still_running(served) or past.choose()
        if chosen is None:
            command = f"lazyimport rollback --app {quote(name)} --to HASH"
            raise past.error(f"every replica runs this one; name one: {command}")
        self.name = name
        self.before = served.hash
        self.hash, self.why = chosen
        self._cluster = cluster
        begun = history.begin(
            name,
            self.before,
            self.hash,
            manifest=past.manifest,
            cluster=cluster.address,
            back=True,
        )
        self._run = Run(history, [begun])

    def apply(self) -> None:
        """Give the cluster its own config with that hash, and record it."""
        config = self._cluster.config()
        for application in config["applications"]:
            if application["name"] == self.name:
                _set(application, self.before, self.hash)
        self._cluster.apply(config)
        self._run.note("applied")

    def follow(self, timeout: float) -> Iterator[list[Served]]:
        """Follow the rollout to its end, as `lazyimport.deploy.follow` does."""
        address = self._cluster.address
        undo = f"lazyimport rollback --app {quote(self.name)} --address {address}"
        rollout = follow(self._cluster, {self.name: self.hash}, timeout, undo)
        return self._run.follow(rollout)


def _still_running(served: Served) -> tuple[str, str] | None:
    """Return the hash of the replicas that a failed deployment has left in place."""
    serving = [r.hash for r in served.replicas if r.serves and r.hash != served.hash]
    if len(set(serving)) != 1 or serving[0] is None:
        return None
    return serving[0], f"{len(serving)} replicas still run it"


def _set(application: Mapping[str, Any], before: str, hash: str) -> None:
    """Replace the hash wherever the config of an application names it."""
    named = [application]
    named += [
        found.get("ray_actor_options") or {}
        for found in application.get("deployments") or ()
    ]
    for holder in named:
        environment = holder.get("runtime_env") or {}
        for place, key in (("lazyimport", "hash"), ("env_vars", VARIABLE)):
            if (environment.get(place) or {}).get(key) == before:
                environment[place][key] = hash
