"""Blobs that a store has: which, and whether they are known to be sound.

As with archives (`lazyimport.delivery.proofs`), whoever has sent one, or read all of
it, notes its version. So a push reads none that nobody has changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from lazyimport.cache.node import NodeCache
from lazyimport.delivery.blobs_in import prove_blob
from lazyimport.delivery.proofs import proved_versions, record, version_of
from lazyimport.errors import DamagedArchive, KeyMissing, StoreError, StoreMissing
from lazyimport.format.blobs import Blob
from lazyimport.registry.layout import blob_key
from lazyimport.reporting import Reporter
from lazyimport.stores import Item, Store
from lazyimport.stores.side_by_side import side_by_side

_CONNECTIONS = 4


class Look(NamedTuple):
    """Those of some blobs that a store lacks, and those that nobody has proved.

    The largest come first.
    """

    missing: list[Blob]
    unproved: list[Blob]


def look_for(store: Store, blobs: Iterable[Blob]) -> Look:
    """Return which of *blobs* are to be sent to *store*, or proved. StoreError."""
    wanted = sorted(blobs, key=lambda blob: -blob.size)
    items = [partial(find_stored_blob, store, blob) for blob in wanted]
    proofs = [partial(proved_versions, store, blob.name) for blob in wanted]
    found = side_by_side(*items, *proofs)
    look = Look([], [])
    for place, blob in enumerate(wanted):
        item = found[place]
        if item is None:
            look.missing.append(blob)
        elif version_of(item) not in found[place + len(wanted)]:
            look.unproved.append(blob)
    return look


def find_missing(store: Store, blobs: Iterable[Blob]) -> list[Blob]:
    """Return those of *blobs* that *store* does not have. Raises StoreError."""
    wanted = list(blobs)
    found = side_by_side(*(partial(find_stored_blob, store, blob) for blob in wanted))
    return [blob for blob, item in zip(wanted, found, strict=True) if item is None]


def find_stored_blob(store: Store, blob: Blob) -> Item | None:
    """Return the object of *blob*; None if *store* does not have it. StoreError."""
    key = blob_key(blob.name, compressed=blob.compressed)
    try:
        return next((item for item in store.list(key) if item.key == key), None)
    except StoreMissing:
        return None  # put() makes the folder, or says that the bucket is missing


def find_damaged(
    store: Store, blobs: Iterable[Blob], cache: NodeCache, reporter: Reporter
) -> list[Blob]:
    """Read *blobs* of *store*; return those that are not what they are called.

    Each lies on the disk of *cache* meanwhile. *reporter* is warned of those that are
    damaged. Raises StoreError, or OSError.
    """
    damaged = []
    for blob in blobs:
        text = f"proving {blob.path} of {store.url}"

        def tell(done: int, text: str = text, total: int = blob.size) -> None:
            reporter.step(text, done, total, "bytes")

        item = find_stored_blob(store, blob)
        try:
            if item is not None and (blob.compressed or item.size == blob.size):
                prove_blob(store, blob, cache, _CONNECTIONS, tell)
                if find_stored_blob(store, blob) == item:  # not replaced meanwhile
                    record(store, blob.name, item, None)
                continue
        except (DamagedArchive, KeyMissing):
            pass
        key = blob_key(blob.name, compressed=blob.compressed)
        reporter.warn(f"{store.url}/{key} is damaged; sending {blob.path} again")
        damaged.append(blob)
    return damaged


def note_sent(store: Store, blob: Blob, size: int) -> None:
    """Note that *store* has *blob*, of which *size* bytes were sent, as it should.

    Raises StoreError, also if the store has another size of it.
    """
    item = find_stored_blob(store, blob)
    if item is None:
        return  # whoever needs it looks again
    if item.size != size:
        raise StoreError(
            f"{store.url} has {item.size} bytes of the {size} that were sent as "
            f"{item.key}, {blob.path}; see what cut it short, and push again",
            url=store.url,
            key=item.key,
        )
    record(store, blob.name, item, None)
