"""What a garbage collection has announced to delete, and how others heed it.

Stores have no transactions, so both sides announce first and look afterwards::

    gc:                                 push (or channel set):
    1. puts gc/running.json, which      1. puts the archive, renews its age, or
       lists what it will delete           sets the channel
    2. reads archives, ages, channels   2. reads gc/running.json
    3. deletes what is listed and       3. if what it needs is listed: waits for
       needed by nobody                    the end, and does its part again

At least one of the two sees the other, whatever the order of their steps.
"""

from __future__ import annotations

import io
import json
import os

from lazyimport.errors import KeyMissing, StoreMissing, StoreUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lazyimport.stores import ReadStore, Store

__all__ = [
    "PUSHED",
    "RUNNING",
    "Announcement",
    "renew",
    "renewals_key",
    "wait_until_decided",
]

RUNNING = "gc/running.json"
PUSHED = "gc/pushed/"
_LARGEST = 1 << 20


class Announcement:
    """What somebody's collection is about to delete: ``token``, ``by``, ``hashes``."""

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
        """Return the one in *store*; None while nobody collects."""
        try:
            data = store.read(RUNNING, 0, _LARGEST)
        except (KeyMissing, StoreMissing):
            return None
        try:
            facts = json.loads(data)
            hashes = frozenset(map(str, facts["hashes"]))
            return cls(str(facts["token"]), str(facts["by"]), hashes)
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise StoreUnavailable(
                f"{store.url}/{RUNNING} makes no sense ({error}); if no 'lazyimport gc' "
                "is running, delete it",
                url=store.url,
                key=RUNNING,
            ) from error


def renewals_key(hash: str) -> str:
    """Return the beginning of the keys whose ages say when *hash* was pushed again."""
    return f"{PUSHED}{hash}/"


def renew(store: Store, hash: str) -> None:
    """Let the archive *hash*, which is in *store* already, count as pushed now.

    By a key of its own, for who pushes may have no right to replace or delete.
    """
    store.put(f"{renewals_key(hash)}{os.urandom(8).hex()}", io.BytesIO(b""))


def wait_until_decided(
    store: ReadStore, hashes: Iterable[str], timeout: float = 300.0
) -> bool:
    """Return whether any of *hashes* was about to be deleted; wait until it is not.

    To be called after what should keep them from it. After True, look again
    whether they are there. Raises StoreUnavailable after *timeout* seconds.
    """
    import time

    wanted = frozenset(hashes)
    deadline = time.monotonic() + timeout
    pause = 0.05
    waited = False
    while True:
        running = Announcement.read(store)
        if running is None or wanted.isdisjoint(running.hashes):
            return waited
        if time.monotonic() > deadline:
            raise StoreUnavailable(
                f"a garbage collection of {store.url} by {running.by} is about to "
                f"delete archive {min(wanted & running.hashes)}, and has been for "
                f"{timeout:g} s; if it was killed, delete {RUNNING} there or run "
                "'lazyimport gc --delete', and try again",
                url=store.url,
                key=RUNNING,
            )
        waited = True
        time.sleep(pause)
        pause = min(pause * 1.5, 2.0)
