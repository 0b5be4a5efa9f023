"""History: what was deployed, by whom, and what came of it.

It is written down in the store beside the archives, and under the same keys in the
node cache of the machine that deploys, which does without a store::

    deployments/<application>/<id>/<outcome>.json

Each object is a whole `Deployment`. It is written once and never changed, so two
people who deploy at once lose nothing. An object in a store is the claim of anybody
who can write there: where keys are trusted, only what one of them signed counts.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import NamedTuple

from lazyimport.cache.layout import DEPLOYMENTS, Layout
from lazyimport.deploy.errors import DeployError
from lazyimport.deploy.status import Served, headline
from lazyimport.errors import LazyImportError, StoreMissing
from lazyimport.registry.layout import deployment_key, deployments_of
from lazyimport.registry.signer import Signer
from lazyimport.registry.signing import Trusted
from lazyimport.reporting import SILENT, Reporter
from lazyimport.stores import ReadStore, Store, writable
from lazyimport.stores.file import FileStore
from lazyimport.values import check_hash

#: What may come of a deployment, each later than or instead of the one before it.
OUTCOMES = ("written", "applied", "superseded", "timed out", "failed", "running")
#: Objects of one application that are read, and bytes of the largest.
_READ = 200
_LARGEST = 1 << 16
_AT_ONCE = 16


class Deployment(NamedTuple):
    """One deployment: *app* was given *hash*, and ``before`` it ran that (or None).

    ``id``
        begins with the time at which it began,
    ``manifest``
        the file's path in its git checkout, else on the machine; "" for a change of
        the cluster alone,
    ``cluster``
        what it was applied to, "" as long as it was not,
    ``back``
        whether it was a rollback, away from ``before``,
    ``by``, ``at``
        who did it, and the time of the outcome (UTC, ISO 8601),
    ``outcome``, ``reason``
        one of `OUTCOMES`, and why if it failed,
    ``trusted``
        whether anything may be decided by it.
    """

    id: str
    app: str
    hash: str
    before: str | None
    manifest: str
    cluster: str
    back: bool
    by: str
    at: str
    outcome: str = "written"
    reason: str = ""
    trusted: bool = True

    @property
    def began(self) -> str:
        """When and by whom, for people."""
        day, hour, minute = self.id[:10], self.id[11:13], self.id[13:15]
        return f"{day} {hour}:{minute} UTC{self.by and f' by {self.by}'}"

    def facts(self) -> dict[str, object]:
        """Return what is stored of it, and signed."""
        facts = self._asdict()
        del facts["trusted"]
        return {"format": 1, **facts}


class History:
    """What was deployed, as the node cache *cache_dir* and the *store* record it.

    *by* is who deploys from now on; *signer* signs what is recorded in the store,
    and only what one of the *trusted* keys signed counts there. *reporter* is warned
    if the store cannot be asked or written: then this machine's record is all.

    ``store`` is None also once it did not answer in time.
    """

    def __init__(
        self,
        cache_dir: str,
        store: ReadStore | None = None,
        *,
        by: str = "",
        signer: Signer | None = None,
        trusted: Trusted | None = None,
        reporter: Reporter = SILENT,
    ) -> None:
        self.store = store
        self._layout = Layout(cache_dir)
        self._by = by
        self._signer = signer
        self._trusted = trusted
        self._reporter = reporter
        self._asks_store = store is not None

    def begin(
        self,
        app: str,
        before: str | None,
        hash: str,
        *,
        manifest: str = "",
        cluster: str = "",
        back: bool = False,
    ) -> Deployment:
        """Return a deployment that begins now; `add` writes it down."""
        at = _now()
        name = f"{at.replace(':', '')}-{os.urandom(4).hex()}"
        return Deployment(
            name, app, hash, before, manifest, cluster, back, self._by, at
        )

    def add(self, deployment: Deployment) -> None:
        """Write *deployment* down as it is now. What fails is a warning."""
        facts = deployment.facts()
        if self._signer is not None:
            facts["signatures"] = [self._signer.sign(_signed_text(deployment))]
        data = json.dumps(facts, indent=1).encode()
        key = deployment_key(deployment.app, deployment.id, deployment.outcome)
        try:
            self._layout.make_folder(DEPLOYMENTS)
            FileStore(self._layout.path).put(key, io.BytesIO(data))
        except (LazyImportError, OSError) as error:
            self._reporter.warn(f"this machine does not remember it: {error}")
        if self.store is not None and self._asks_store:
            try:
                writable(self.store).put(key, io.BytesIO(data))
            except LazyImportError as error:
                self._give_up(error, "other machines do not know of this deployment")

    def deployments(self, app: str, newest: int = _READ) -> list[Deployment]:
        """Return the deployments of *app* with what came of them, the newest first.

        Of each record no more than the *newest* objects are read, of which a
        deployment has up to three.
        """
        found: dict[str, Deployment] = {}
        for each in [*self._in_store(app, newest), *self._in_cache(app, newest)]:
            best = found.setdefault(each.id, each)
            found[each.id] = max(
                best, each, key=lambda d: (d.trusted, OUTCOMES.index(d.outcome))
            )
        return sorted(found.values(), reverse=True)

    def _in_store(self, app: str, newest: int) -> list[Deployment]:
        if self.store is None or not self._asks_store:
            return []
        try:
            return list(_read(writable(self.store), app, newest, self._trusted))
        except StoreMissing:
            return []  # nobody has pushed yet
        except LazyImportError as error:
            self._give_up(error, "what counts is what this machine remembers")
            return []

    def _in_cache(self, app: str, newest: int) -> list[Deployment]:
        try:
            if self._layout.exists():
                return list(_read(FileStore(self._layout.path), app, newest, None))
        except LazyImportError as error:
            self._reporter.warn(f"this machine remembers no deployments: {error}")
        return []

    def _give_up(self, error: LazyImportError, so: str) -> None:
        self._asks_store = False  # it would take as long again
        if error.retryable:
            self.store = None
        self._reporter.warn(f"the record of deployments: {error}; {so}")


class Run:
    """What somebody does now to some applications: *deployments*, into *history*."""

    def __init__(self, history: History, deployments: Iterable[Deployment]) -> None:
        self._history = history
        self._deployments = {each.app: each for each in deployments}

    def note(
        self, outcome: str, reason: str = "", *apps: str, cluster: str = ""
    ) -> None:
        """Write down what came of it: for *apps*, by default for all."""
        for name in apps or self._deployments:
            known = self._deployments[name]
            self._deployments[name] = known._replace(
                outcome=outcome,
                reason=reason,
                at=_now(),
                cluster=cluster or known.cluster,
            )
            self._history.add(self._deployments[name])

    def follow(self, rollout: Iterator[list[Served]]) -> Iterator[list[Served]]:
        """Yield what *rollout* yields, and write down how it ends."""
        now: list[Served] = []
        try:
            for now in rollout:
                yield now
        except DeployError as error:
            for app in now:
                if app.name == getattr(error, "app", None) and error.outcome:
                    self.note(error.outcome, headline(error.reason), app.name)
                elif app.runs(self._deployments[app.name].hash):
                    self.note("running", "", app.name)
            raise
        self.note("running")


def _read(
    store: Store, app: str, newest: int, trusted: Trusted | None
) -> Iterator[Deployment]:
    """Yield what *store* has of *app*; what is no deployment is left out."""
    keys = [item.key for item in store.list(deployments_of(app))][-newest:]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(lambda key: store.read(key, 0, _LARGEST), keys)
        for key, data in zip(keys, found, strict=True):
            try:
                facts = json.loads(data)
                values = {name: facts[name] for name in Deployment._fields[:-1]}
                each = Deployment(**values)
                check_hash(each.hash)
                check_hash(each.before or each.hash)
                OUTCOMES.index(each.outcome)
                signatures = [
                    {"key": str(one["key"]), "signature": str(one["signature"])}
                    for one in facts.get("signatures", ())
                ]
            except (ValueError, TypeError, LookupError, RecursionError):
                continue
            # What is signed counts for its own place alone.
            if (app, key) == (each.app, deployment_key(app, each.id, each.outcome)):
                yield each._replace(trusted=_holds(each, signatures, trusted))


def _holds(
    deployment: Deployment, signatures: list[dict[str, str]], trusted: Trusted | None
) -> bool:
    """Whether anything may be decided by what *signatures* are over."""
    text = _signed_text(deployment)
    return trusted is None or trusted.signer_of(text, signatures) is not None


def _signed_text(deployment: Deployment) -> bytes:
    text = json.dumps(deployment.facts(), sort_keys=True, separators=(",", ":"))
    return f"lazyimport deployment 1\n{text}".encode()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")[:-6] + "Z"
