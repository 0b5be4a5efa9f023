"""History: what was deployed, by whom, and what came of it.

The store records it beside the archives, and the node cache of the machine that
deploys under the same keys::

    deployments/<application>/<id>/<outcome>.json

Each object is a whole `Deployment`. It is written once and never changed, so two people
who deploy at once lose nothing. Where keys are trusted, only what one of them signed
counts.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from functools import partial
from typing import NamedTuple

from lazyimport.cache.layout import DEPLOYMENTS, Layout
from lazyimport.errors import KeyMissing, LazyImportError, StoreMissing
from lazyimport.registry.layout import deployment_key, deployments_of
from lazyimport.registry.signer import Signer
from lazyimport.registry.signing import Trusted, signatures_in, signed_text
from lazyimport.reporting import SILENT, Reporter
from lazyimport.stores import ReadStore, Store, writable
from lazyimport.stores.file import FileStore
from lazyimport.stores.side_by_side import side_by_side
from lazyimport.values import check_hash, shown

#: What may come of a deployment, each later than or instead of the one before it.
OUTCOMES = ("written", "applied", "superseded", "timed out", "failed", "running")
#: Objects of one application that are read: until so many count, and at most.
_READ = 200
_READ_AT_MOST = 2000
#: Bytes of the largest.
_LARGEST = 1 << 16


class Deployment(NamedTuple):
    """One deployment: *app* was given *hash*; what it had is ``before``, or None.

    ``id``
        begins with the time at which it began (UTC, ISO 8601),
    ``manifest``
        the file's repository and path in it, else its path on the machine; "" for a
        change of the cluster alone,
    ``cluster``
        what it was applied to, "" as long as it was not,
    ``back``
        whether it was a rollback, away from ``before``,
    ``by``, ``outcome``, ``reason``
        who did it, one of `OUTCOMES`, and why if it failed,
    ``trusted``
        whether `lazyimport rollback` may go by it.
    """

    id: str
    app: str
    hash: str
    before: str | None
    manifest: str
    cluster: str
    back: bool
    by: str
    outcome: str = "written"
    reason: str = ""
    trusted: bool = True

    @property
    def began(self) -> str:
        """When it began: ISO 8601 in UTC, in seconds."""
        return f"{self.id[:13]}:{self.id[13:15]}:{self.id[15:17]}Z"

    @property
    def told(self) -> str:
        """When it began, and by whom."""
        return self.began + (f" by {shown(self.by)}" if self.by else "")

    def facts(self) -> dict[str, object]:
        """Return what is stored of it, and signed."""
        facts = self._asdict()
        del facts["trusted"]
        return {"format": 1, **facts}


class _Place(NamedTuple):
    """Where deployments are recorded; *trusted* keys count there, None for all."""

    name: str
    open: Callable[[], Store]
    trusted: Trusted | None


class History:
    """What was deployed, as the node cache *cache_dir* and the *store* record it.

    *by* is who deploys from now on; *signer* signs what is recorded in the store,
    and only what one of the *trusted* keys signed counts there. *reporter* is warned
    if either cannot be asked or written; it is not asked again then.

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
        self._reporter = reporter
        self._places = [_Place("this machine", self._open_cache, None)]
        if store is not None:
            shared = _Place(store.url, lambda: writable(store), trusted)
            self._places.append(shared)

    def begin(
        self,
        app: str,
        before: str | None,
        hash: str,
        *,
        manifest: str = "",
        back: bool = False,
    ) -> Deployment:
        """Return a deployment that begins now; `add` writes it down."""
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H%M%S.%fZ")
        name = f"{now}-{os.urandom(4).hex()}"
        return Deployment(name, app, hash, before, manifest, "", back, self._by)

    def add(self, deployment: Deployment) -> None:
        """Write *deployment* down as it is now."""
        facts = deployment.facts()
        if self._signer is not None:
            text = signed_text("deployment", deployment.facts())
            facts["signatures"] = [self._signer.sign(text)]
        data = json.dumps(facts, indent=1).encode()
        key = deployment_key(deployment.app, deployment.id, deployment.outcome)

        def write(place: _Place) -> None:
            if place.open == self._open_cache:
                self._layout.make_folder(DEPLOYMENTS)
            place.open().put(key, io.BytesIO(data))

        self._for_each_place(write, "it does not know of this deployment")

    def deployments(
        self, app: str, newest: int = _READ, manifest: str | None = None
    ) -> list[Deployment]:
        """Return the deployments of *app* with what came of them, the newest first.

        Reads each record backwards until *newest* objects count; a deployment has up to
        three. Only trusted ones count, and only those by *manifest* if it is given, so
        that others hide none of them.
        """
        found: list[Deployment] = []

        def read(place: _Place) -> None:
            store = place.open()
            keys = [item.key for item in store.list(deployments_of(app))]
            keys, counted = keys[-_READ_AT_MOST:], 0
            while keys and counted < newest:
                records = read_records(store, keys[-newest:], place.trusted)
                page = [each for _, each in records if each.app == app]
                found.extend(page)
                counted += sum(
                    each.trusted and manifest in (None, each.manifest) for each in page
                )
                del keys[-newest:]

        self._for_each_place(read, "what it knows does not count")
        return newest_first(found)

    def _for_each_place(self, do: Callable[[_Place], None], so: str) -> None:
        for place in list(self._places):
            try:
                do(place)
            except StoreMissing:
                continue  # nothing was ever written there
            except (LazyImportError, OSError) as error:
                self._places.remove(place)  # it would take as long again
                if place.name != "this machine" and getattr(error, "retryable", False):
                    self.store = None
                self._reporter.warn(
                    f"the record of deployments, {place.name}: {error}; {so}"
                )

    def _open_cache(self) -> Store:
        self._layout.exists()  # raises CacheError if others may write there
        return FileStore(self._layout.path)


def _rank(deployment: Deployment) -> tuple[bool, int]:
    return deployment.trusted, OUTCOMES.index(deployment.outcome)


def read_records(
    store: ReadStore, keys: Sequence[str], trusted: Trusted | None
) -> Iterator[tuple[str, Deployment]]:
    """Yield what is written down under *keys*; what is no deployment is left out.

    Raises StoreError while iterating.
    """
    for key, data in read_listed(store, keys):
        try:
            each = _decode(data, trusted)
            own = deployment_key(each.app, each.id, each.outcome)
        except (ValueError, TypeError, LookupError, RecursionError):
            continue
        if key == own:  # what is signed counts for its own place alone
            yield key, each


def read_listed(store: ReadStore, keys: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield each of *keys*, which were listed, and its record; ``b""`` if it is gone.

    Raises StoreError while iterating.
    """

    def read(key: str) -> bytes:
        try:
            return store.read(key, 0, _LARGEST)
        except KeyMissing:
            return b""

    yield from zip(keys, side_by_side(*(partial(read, k) for k in keys)), strict=True)


def newest_first(records: Iterable[Deployment]) -> list[Deployment]:
    """Return each deployment once, with the last that is known of it."""
    found: dict[tuple[str, str], Deployment] = {}
    for each in records:
        best = found.setdefault((each.app, each.id), each)
        if _rank(each) > _rank(best):
            found[each.app, each.id] = each
    return sorted(found.values(), reverse=True)


def _decode(data: bytes, trusted: Trusted | None) -> Deployment:
    facts = json.loads(data)
    each = Deployment(**{name: facts[name] for name in Deployment._fields[:-1]})
    texts = (each.app, each.id, each.by, each.manifest, each.cluster, each.reason)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("expected text")
    check_hash(each.hash)
    check_hash(each.before or each.hash)
    OUTCOMES.index(each.outcome)
    signatures, text = facts.get("signatures"), signed_text("deployment", each.facts())
    if trusted is None or trusted.signer_of(text, signatures_in(signatures)):
        return each
    return each._replace(trusted=False)
