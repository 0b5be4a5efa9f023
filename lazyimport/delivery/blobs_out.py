"""Blobs that go: the large files of an archive into its store, each once.

They are content under its digest, so it does not matter who puts one there, and nobody
sends one that is there.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable
from functools import partial
from typing import Any

from lazyimport.cache.node import NodeCache
from lazyimport.delivery.transfer import Outgoing
from lazyimport.errors import StoreError, StoreMissing
from lazyimport.format import sha256
from lazyimport.format.blobs import FRAME, Blob, table_of, table_size
from lazyimport.format.codec import compress_all
from lazyimport.registry.layout import NEEDS, blob_key
from lazyimport.reporting import Reporter
from lazyimport.stores import Store
from lazyimport.stores.side_by_side import side_by_side

#: Blobs that are sent at once.
_AT_ONCE = 4


def find_missing(store: Store, blobs: Iterable[Blob]) -> list[Blob]:
    """Return those of *blobs* that *store* does not have, the largest first.

    Raises StoreError, also for one that is there and has another size.
    """
    wanted = sorted(blobs, key=lambda blob: -blob.size)
    there = side_by_side(*(partial(_is_there, store, blob) for blob in wanted))
    return [blob for blob, is_there in zip(wanted, there, strict=True) if not is_there]


def send(
    store: Store, blobs: Iterable[Blob], cache: NodeCache, reporter: Reporter
) -> int:
    """Put *blobs*, which *cache* has, into *store*; return the bytes that were sent.

    Raises StoreError, MemberMissing, or OSError of the disk of the cache.
    """
    calls = (partial(_send, store, blob, cache, reporter) for blob in blobs)
    return sum(side_by_side(*calls, at_once=_AT_ONCE))


def record_needs(store: Store, hash: str, blobs: Iterable[Blob]) -> None:
    """Note in *store* that the archive *hash* needs *blobs*. Raises StoreError."""
    lines = "".join(f"{name}\n" for name in sorted(blob.name for blob in blobs))
    data = lines.encode()
    store.put(f"{NEEDS}{hash}-{sha256(data).hex()}", io.BytesIO(data))


def _is_there(store: Store, blob: Blob) -> bool:
    key = blob_key(blob.name, compressed=blob.compressed)
    try:
        sizes = [item.size for item in store.list(key) if item.key == key]
    except StoreMissing:
        return False  # put() makes the folder, or says that the bucket is missing
    if sizes and not blob.compressed and sizes[0] != blob.size:
        raise StoreError(
            f"{store.url}/{key} has {sizes[0]} bytes and not the {blob.size} of "
            f"{blob.path}, by whose SHA-256 it is called; mend it: "
            f"lazyimport verify --store {store.url} --repair",
            url=store.url,
            key=key,
        )
    return bool(sizes)


def _send(store: Store, blob: Blob, cache: NodeCache, reporter: Reporter) -> int:
    put = getattr(store, "put_in_parts", store.put)  # where that is faster
    key = blob_key(blob.name, compressed=blob.compressed)
    text = f"sending {blob.path} to {store.url}"
    with tempfile.TemporaryFile(dir=cache.scratch_folder()) as file:
        if blob.compressed:
            with memoryview(cache.read_blob(blob)) as content:
                _compress(content, file)
            outgoing: Any = Outgoing(file, text, reporter)
            return file.seek(0, 2) if put(key, outgoing) else 0
    with cache.open_blob(blob) as file:
        outgoing = Outgoing(file, text, reporter)
        return blob.size if put(key, outgoing) else 0


def _compress(content: memoryview, out: Any) -> None:
    """Write the object of a compressed blob to *out*."""
    blocks = (content[at : at + FRAME] for at in range(0, len(content), FRAME))
    sizes = []
    out.seek(table_size(len(content)))
    for frame in compress_all(blocks, framed=True):
        out.write(frame)
        sizes.append(len(frame))
    out.seek(0)
    out.write(table_of(sizes))
