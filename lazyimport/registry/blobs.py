"""Blobs in a store: which archives need which, and which nobody needs any more.

A push notes beside an archive which blobs it needs, before it puts the archive there.
So a garbage collection learns that without reading archives.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from lazyimport.errors import DamagedArchive, KeyMissing, StoreError
from lazyimport.format import sha256
from lazyimport.registry.layout import BLOBS, NEEDS, blob_of, recorded_hash
from lazyimport.stores import Item, ReadStore, Store
from lazyimport.stores.side_by_side import side_by_side
from lazyimport.values import is_sha256

#: Bytes of the largest note.
_LARGEST = 1 << 24


@dataclass(frozen=True)
class StoredBlob:
    """A blob in a store: its ``key`` and ``size`` in bytes."""

    key: str
    size: int

    @property
    def name(self) -> str:
        """Its digest in hex digits."""
        return str(blob_of(self.key))


class Needs:
    """What the notes in *store* say; each is read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, frozenset[str]] = {}

    def divide(
        self, stays: Collection[str], needy: Collection[str], now: float, age: float
    ) -> tuple[list[StoredBlob], list[StoredBlob]]:
        """Return the blobs that go, and those that stay.

        Those go that are older than *age* seconds and that nobody needs. The archives
        *stays* need what their notes say, and so do those whose notes are younger than
        *age*. Each of *needy* must have a note. Raises StoreError or DamagedArchive if
        anything cannot be read.
        """
        items = [item for item in self._store.list(BLOBS) if blob_of(item.key)]
        notes: dict[str, list[Item]] = {}
        for item in self._store.list(NEEDS):
            notes.setdefault(recorded_hash(item.key) or "", []).append(item)
        for hash in needy:
            if hash not in notes:
                raise StoreError(
                    f"{self._store.url} does not say which large files archive {hash} "
                    f"needs: {NEEDS}{hash}-... is missing; push that tree there again",
                    url=self._store.url,
                    key=NEEDS,
                )
        read = [
            item.key
            for hash, found in notes.items()
            for item in found
            if hash in stays or now - item.modified < age
        ]
        found = side_by_side(*(partial(self._read, key) for key in read))
        needed = frozenset[str]().union(*found)
        goes: list[StoredBlob] = []
        remains: list[StoredBlob] = []
        for item in items:
            is_old = now - item.modified >= age
            place = goes if is_old and blob_of(item.key) not in needed else remains
            place.append(StoredBlob(item.key, item.size))
        return goes, remains

    def _read(self, key: str) -> frozenset[str]:
        if key not in self._known:
            try:
                self._known[key] = read_needs(self._store, key)
            except KeyMissing:
                return frozenset()  # deleted since the listing, with its archive
        return self._known[key]


def stored_blobs(store: Store) -> list[StoredBlob]:
    """Return all blobs in *store*. Raises StoreError."""
    items = store.list(BLOBS)
    return [StoredBlob(i.key, i.size) for i in items if blob_of(i.key)]


def read_needs(store: ReadStore, key: str) -> frozenset[str]:
    """Return the digests that the note under *key* has.

    Raises KeyMissing, DamagedArchive if it is not what somebody put there, or
    StoreError.
    """
    data = store.read(key, 0, _LARGEST)
    names = data.decode("ascii", "replace").split()
    expected, actual = key.rpartition("-")[2], sha256(data).hex()
    if actual != expected or not all(map(is_sha256, names)):
        hash = recorded_hash(key)
        raise DamagedArchive(
            f"{store.url}/{key} is damaged; delete it and push the tree of archive "
            f"{hash} there again",
            hash=hash,
            member=key,
            expected=expected,
            actual=actual,
        )
    return frozenset(names)
