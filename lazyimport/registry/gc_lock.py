"""What a garbage collection announces that it will delete, and how others wait.

Stores have no transactions, so both sides announce first and look afterwards::

    gc:                                 push (or `claim`):
    1. puts gc/running.json, which      1. puts the archive, or renews its age
       lists what it will delete
    2. reads archives, ages, channels   2. reads gc/running.json
    3. deletes what is listed and       3. if what it needs is listed: waits for
       needed by nobody                    the end, and does its part again

At least one of the two sees the other, whatever the order of their steps.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable

from lazyimport.errors import (
    KeyMissing,
    SettingsError,
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreUnavailable,
)
from lazyimport.files import tries
from lazyimport.registry.archives import delete_object, require_archive
from lazyimport.registry.layout import CLOCK, PUSHED, RUNNING
from lazyimport.stores import ReadStore, Store, mutable, writable
from lazyimport.values import shown

#: Seconds for which a push may still be under way: nothing younger is deleted.
SHORTEST_AGE = 3600.0
_LARGEST = 1 << 20


class Announcement:
    """What the collection *token*, run *by* somebody, is about to delete: *hashes*."""

    def __init__(self, token: str, by: str, hashes: frozenset[str]) -> None:
        self.token = token
        self.by = by
        self.hashes = hashes

    def encode(self) -> bytes:
        """Return the object to store."""
        facts = {"token": self.token, "by": self.by, "hashes": sorted(self.hashes)}
        return json.dumps(facts, indent=1).encode()

    @classmethod
    def read(cls, store: ReadStore) -> Announcement | None:
        """Return the announcement in *store*, None if no collection runs."""
        try:
            data = store.read(RUNNING, 0, _LARGEST)
        except (KeyMissing, StoreMissing):
            return None
        try:
            facts = json.loads(data)
            hashes = frozenset(map(str, facts["hashes"]))
            return cls(str(facts["token"]), shown(str(facts["by"])), hashes)
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise StoreUnavailable(
                f"{store.url}/{RUNNING} makes no sense ({error}); if no 'lazyimport gc' "
                "is running, delete it",
                url=store.url,
                key=RUNNING,
            ) from error


class Announced:
    """A block in which *by* has announced to delete *hashes* from *store*.

    ``time`` is when that was, in seconds from the epoch by the clock of the store.
    Entering raises StoreError while another collection runs.
    """

    def __init__(self, store: Store, hashes: set[str], by: str) -> None:
        self._store = store
        token = os.urandom(8).hex()
        self._announcement = Announcement(token, by, frozenset(hashes))
        self.time = 0.0

    def __enter__(self) -> Announced:
        data = self._announcement.encode()
        if not self._put(data) and not self._take_over(data):
            raise self._busy()
        self.time = self._time_of(RUNNING)
        return self

    def __exit__(self, *_: object) -> None:
        if self._stands():
            delete_object(self._store, RUNNING)

    def require(self) -> None:
        """Raise StoreError unless the announcement still stands."""
        if not self._stands():
            raise StoreError(
                f"somebody removed {RUNNING} from {self._store.url}, or took over the "
                "garbage collection because it took too long; this one has stopped "
                "between two archives. Run it again",
                url=self._store.url,
                key=RUNNING,
            )

    def _put(self, data: bytes) -> bool:
        """Announce it, unless another one stands; return whether it was announced."""
        return self._store.put(RUNNING, io.BytesIO(data)) or self._stands()

    def _stands(self) -> bool:
        running = Announcement.read(self._store)
        return running is not None and running.token == self._announcement.token

    def _take_over(self, data: bytes) -> bool:
        """Announce it in place of a collection that died long ago, before others do."""
        store = mutable(self._store)
        try:
            _, version = store.read_versioned(RUNNING, 0)
        except KeyMissing:
            return self._put(data)
        probe = f"{CLOCK}{self._announcement.token}"
        self._store.put(probe, io.BytesIO(b""))
        try:
            since = self._time_of(RUNNING)
            if since and self._time_of(probe) - since < SHORTEST_AGE:
                raise self._busy()
        finally:
            delete_object(self._store, probe)
        return store.replace(RUNNING, data, version) or self._stands()

    def _busy(self) -> StoreError:
        running = Announcement.read(self._store)
        whose = f" by {running.by}" if running else ""
        return StoreError(
            f"another garbage collection of {self._store.url}{whose} is running; wait "
            f"for it, or, if it was killed, delete {RUNNING} there",
            url=self._store.url,
            key=RUNNING,
        )

    def _time_of(self, key: str) -> float:
        times = [i.modified for i in self._store.list(key) if i.key == key]
        return times[0] if times else 0.0


def renew(store: Store, hash: str) -> None:
    """Let the archive *hash*, which is in *store* already, count as pushed now.

    By a key of its own: a user who may push may have no right to replace or delete.
    """
    store.put(f"{PUSHED}{hash}/{os.urandom(8).hex()}", io.BytesIO(b""))


def claim(store: ReadStore, hash: str) -> None:
    """Let the archive *hash* count as pushed now, because somebody needs it again.

    Call this before it is deployed, rolled back to or prefetched, or a channel is
    pointed to it: a collection that was planned before then spares it. Where the store
    can only be read, this makes sure that it is there, and no more.

    Raises ArchiveMissing, StoreError or MalformedArchive.
    """
    header = require_archive(store, hash)
    try:
        renew(writable(store), hash)
    except (SettingsError, StoreDenied):
        pass
    wait_until_decided(store, filter(None, [hash, header.base]))
    require_archive(store, hash)  # a collection may have ended before that


def wait_until_decided(
    store: ReadStore, hashes: Iterable[str], timeout: float = 300.0
) -> bool:
    """Wait while any of *hashes* is about to be deleted; return whether one was.

    Call this after what makes them needed. If it returns True, look again whether they
    are there. Raises StoreUnavailable after *timeout* seconds.
    """
    wanted = frozenset(hashes)
    waited = False
    running: Announcement | None = None
    for _ in tries(timeout, 0.05, 2.0):
        running = Announcement.read(store)
        if running is None or wanted.isdisjoint(running.hashes):
            return waited
        waited = True
    assert running is not None
    raise StoreUnavailable(
        f"a garbage collection of {store.url} by {running.by} is about to delete "
        f"{min(wanted & running.hashes)}, which is needed, and has been for {timeout:g} s; if "
        f"it was killed, delete {RUNNING} there or run 'lazyimport gc --delete', and "
        "try again",
        url=store.url,
        key=RUNNING,
    )
