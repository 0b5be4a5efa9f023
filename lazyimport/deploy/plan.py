"""Plans: what changes in a manifest so that its applications run another hash."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from lazyimport.delivery.comparing import Comparison, compare, unified
from lazyimport.delivery.contents import read_contents
from lazyimport.deploy.application import Application
from lazyimport.deploy.errors import DeployError
from lazyimport.deploy.history import History, Run
from lazyimport.deploy.manifest import Manifest
from lazyimport.deploy.nodes import find, pairs
from lazyimport.deploy.rollout import follow
from lazyimport.deploy.status import Served
from lazyimport.deploy.target import Target
from lazyimport.deploy.timeline import Timeline
from lazyimport.environment import mistyped
from lazyimport.lazy import traced
from lazyimport.reporting import SILENT, Reporter
from lazyimport.settings import ENVIRONMENT, Settings
from lazyimport.tracing import note, record
from lazyimport.values import redact


class Step(NamedTuple):
    """One application, as it will be, and the hash that it has ``before``."""

    application: Application
    before: str | None


class Plan:
    """The change that lets the applications *names* of a manifest run *hash*.

    Nothing is changed before `write` and `apply`. *names* may be empty if the
    manifest has one application. *store* is the one that has the archive, if known.

    ``before``, ``after``
        the manifest now, and as it will be,
    ``steps``
        what changes for each application,
    ``wanted``
        the hash of each application, by its name,
    ``warnings``
        what a person may not expect,
    ``undo``, ``back``
        the command that goes back, in the file; and in what runs too,
    ``why``
        of a rollback: why it is this hash; "" for any other.

    Raises ManifestError, DeployError or SettingsError, as `Manifest.with_hash` does.
    """

    def __init__(
        self,
        manifest: Manifest,
        hash: str,
        names: Sequence[str] = (),
        *,
        store: str | None = None,
        why: str = "",
    ) -> None:
        self.before = manifest
        self.after = manifest.with_hash(hash, names)
        self.applications = self.after.choose(names)
        hashes = [application.hash for application in manifest.choose(names)]
        self.steps = list(map(Step, self.applications, hashes))
        self.wanted = {app.name: app.hash for app in self.applications if app.hash}
        self.warnings = [*self.after.warnings, *self._other_stores(store)]
        self.warnings += self._mistyped()
        words = [word for name in names for word in ("--app", name)]
        words += ["--set-key", manifest.key] if manifest.key else []
        words = [*["--address"] * (manifest.cluster is not None), manifest.path, *words]
        self.undo = shlex.join(["lazyimport", "rollback", *words])
        self.back = self.undo + ("" if manifest.key else " --apply --wait")
        self.why = why
        self._arguments = (hash, names, store, why)
        self._begun: Run | None = None
        self._earlier: Mapping[str, Served] = {}

    @property
    def changes(self) -> bool:
        """Whether the manifest changes, so that no cluster has it yet as it will be."""
        return self.before.text != self.after.text

    def diff(self) -> str:
        """Return the difference as ``diff -u`` prints it; empty if there is none."""
        path = self.before.path
        return unified(self.before.text, self.after.text, path, path)

    def compare(
        self, settings: Settings, reporter: Reporter = SILENT
    ) -> Iterator[Comparison]:
        """Yield what changes in the code, once for all with the same change.

        Raises what `read_contents` does.
        """
        for before, after in dict.fromkeys((was, app.hash) for app, was in self.steps):
            if before and after and before != after:
                old = read_contents(before, settings, reporter)
                yield compare(old, read_contents(after, settings, reporter))

    def prefetch(self, target: Target, timeout: float) -> Iterator[str]:
        """Bring the archive to every node of the cluster; yield a line for each.

        Raises DeployError if a node cannot get it, and after *timeout* seconds.
        """
        with target.cluster_of(self.applications[0]) as cluster:
            for hash, store in {(app.hash, app.store) for app in self.applications}:
                assert hash is not None
                yield from cluster.prefetch(hash, store, timeout)

    def write(self, history: History, reporter: Reporter = SILENT) -> Plan:
        """Write the manifest and record the change; return the plan as it came true.

        If somebody has changed the file meanwhile, that change stays.
        """
        now = self.before.fresh()
        if now is not self.before:
            reporter.warn(
                f"{now.path} was changed by somebody meanwhile; the hash goes into it "
                "as it is now"
            )
            hash, names, store, why = self._arguments
            plan = Plan(now, hash, names, store=store, why=why)
            return plan.write(history, reporter)
        if self.after.text != now.text:
            self.after.write()
            if now.cluster is None:
                self._run(history).note("written")
            else:
                self._run(history).note("applied", cluster=now.path)
        return self

    def look(self, target: Target) -> None:
        """Remember what the cluster serves before `apply`, for `follow`.

        That is before somebody else applies it, if nobody does here. A cluster that
        does not answer serves nothing that is known.
        """
        try:
            with target.cluster_of(self.applications[0]) as cluster:
                self._earlier = cluster.serving()
        except DeployError:
            self._earlier = {}

    @traced("deploy")
    def apply(
        self, target: Target, history: History, reporter: Reporter = SILENT
    ) -> str:
        """Apply the manifest, which is written, and record it; return what was done.

        Raises DeployError.
        """
        first = self.applications[0]
        note(hash=first.hash, application=first.name, manifest=self.after.name)
        old = any(app.status == "DEPLOY_FAILED" for app in self._earlier.values())
        given = target.given(first) if old else None
        try:
            done = target.apply(self.after, self.applications, reporter)
        except DeployError as error:
            again = f"{self.undo} --to {first.hash} --apply" if self.why else ""
            raise error.with_text(
                f"{error}\n{self.after.path} names {first.hash} already: to try "
                f"again, {again or 'run this again'}; to take it back: {self.undo}"
            ) from error.__cause__
        self._run(history).note("applied", cluster=target.name_for(first))
        is_same = given is not None and given == target.given(first)
        if is_same or done.endswith(" unchanged"):  # so KubeRay lets it be as it is
            self._earlier = {}
        return done

    def follow(
        self,
        target: Target,
        history: History,
        timeout: float,
        timeline: Timeline | None = None,
    ) -> Iterator[list[Served]]:
        """Follow the rollout as `lazyimport.deploy.follow` does, and record its end.

        *timeline* records the rest.
        """
        first, began = self.applications[0], time.time()
        start = time.monotonic()  # clocks jump
        with target.cluster_of(first) as cluster:
            wanted, before = self.wanted, self._earlier
            rollout = follow(cluster, wanted, timeout, self.back, before)
            if timeline is not None:
                rollout = timeline.record(rollout, cluster)
            try:
                yield from self._run(history).follow(rollout)
            finally:
                facts = {"hash": first.hash, "application": first.name}
                record("rollout", began, time.monotonic() - start, **facts)

    def _run(self, history: History) -> Run:
        if self._begun is None:
            name, back = self.after.name, bool(self.why)
            begun = [
                history.begin(app.name, was, str(app.hash), manifest=name, back=back)
                for app, was in self.steps
            ]
            self._begun = Run(history, begun)
        return self._begun

    def _mistyped(self) -> Iterator[str]:
        for app in self.applications:
            found = pairs(find(app.place.environment, "env_vars"))
            names = [str(name.value) for name, _ in found]
            for name, meant in mistyped(names, ENVIRONMENT.values()):
                yield f"{app.name} sets {name}, which does nothing; did you mean {meant}?"

    def _other_stores(self, ours: str | None) -> Iterator[str]:
        for app in self.applications:
            theirs = app.store
            if theirs and ours and theirs.rstrip("/") != ours.rstrip("/"):
                yield (
                    f"the workers of {app.name} look in {redact(theirs)}, as the "
                    f"manifest says, and here the store is {redact(ours)}: the archive must be in theirs"
                )
