"""Blobs that go: the large files of an archive into its store, each once.

They are content under its digest, so it does not matter who puts one there, and nobody
sends one that is there.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any, BinaryIO

from lazyimport.cache.node import NodeCache
from lazyimport.delivery.blobs_there import note_sent
from lazyimport.delivery.outgoing import Outgoing
from lazyimport.errors import DamagedArchive
from lazyimport.files import remove_file
from lazyimport.format import sha256
from lazyimport.format.blobs import FRAME, Blob, table_of, table_size
from lazyimport.format.codec import compress_all
from lazyimport.registry.archives import delete_object
from lazyimport.registry.layout import NEEDS, blob_key
from lazyimport.reporting import Reporter
from lazyimport.stores import Store
from lazyimport.stores.side_by_side import side_by_side

#: Blobs that are sent at once, and parts of them: so much is in memory.
_AT_ONCE = 4
_PARTS = 8
_CHUNK = 1 << 20


def send(
    store: Store,
    blobs: Iterable[Blob],
    cache: NodeCache,
    reporter: Reporter,
    *,
    replace: bool = False,
) -> int:
    """Put *blobs*, which *cache* has, into *store*; return the bytes that were sent.

    Each is proved first: one that is damaged is removed from *cache* and not sent. With
    *replace*, what the store has under its name is deleted once there is better.

    The first error, or Ctrl-C, ends all. Raises StoreError, DamagedArchive,
    MemberMissing, or OSError of the disk of the cache.
    """
    stopped, wanted = threading.Event(), list(blobs)
    parts = _PARTS // max(1, min(len(wanted), _AT_ONCE))

    def out(file: BinaryIO, doing: str) -> Outgoing:
        return Outgoing(file, doing, reporter, stopped.is_set)

    calls = [partial(_send, store, blob, cache, out, replace, parts) for blob in wanted]
    return sum(side_by_side(*calls, at_once=_AT_ONCE, stop=stopped.set))


def record_needs(store: Store, hash: str, blobs: Iterable[Blob]) -> None:
    """Note in *store* that the archive *hash* needs *blobs*. Raises StoreError."""
    key, data = _note(hash, blobs)
    store.put(key, io.BytesIO(data))


def has_needs(store: Store, hash: str, blobs: Collection[Blob]) -> bool:
    """Whether *store* has what `record_needs` puts there. Raises StoreError."""
    key, _ = _note(hash, blobs)
    return not blobs or any(item.key == key for item in store.list(key))


def _note(hash: str, blobs: Iterable[Blob]) -> tuple[str, bytes]:
    lines = "".join(f"{name}\n" for name in sorted(blob.name for blob in blobs))
    data = lines.encode()
    return f"{NEEDS}{hash}-{sha256(data).hex()}", data


def _send(
    store: Store,
    blob: Blob,
    cache: NodeCache,
    out: Callable[[BinaryIO, str], Any],
    replace: bool,
    parts: int,
) -> int:
    key = blob_key(blob.name, compressed=blob.compressed)
    with (
        cache.open_blob(blob) as file,
        tempfile.TemporaryFile(dir=cache.scratch_folder()) as packed,
    ):
        _prove(blob, file, out(file, f"proving {blob.path}"))
        if blob.compressed:
            source = out(file, f"compressing {blob.path}")
            try:
                _compress(source, blob.size, packed)
            except OSError as error:
                what = f"{blob.path}, compressed to be sent,"
                raise cache.refused(what, error, blob.size) from error
        if replace:
            delete_object(store, key)
        outgoing = out(
            packed if blob.compressed else file, f"sending {blob.path} to {store.url}"
        )
        size: int = outgoing.seek(0, 2)
        if hasattr(store, "put_in_parts"):  # where that is faster
            created = store.put_in_parts(key, outgoing, parts)
        else:
            created = store.put(key, outgoing)
        if not created:
            return 0  # another process was faster
    note_sent(store, blob, size)
    return size


def _prove(blob: Blob, file: BinaryIO, outgoing: Outgoing) -> None:
    """Read all of a blob; if it is damaged, remove it and raise DamagedArchive."""
    total = hashlib.sha256()
    outgoing.seek(0)
    while chunk := outgoing.read(_CHUNK):
        total.update(chunk)
    if total.digest() != blob.digest:
        remove_file(file.name)  # so that the next packing reads the tree's own file
        actual = total.hexdigest()
        raise DamagedArchive(
            f"the copy of {blob.path} in the node cache, {file.name}, was damaged (its "
            f"SHA-256 is {actual}) and is removed; it was not sent. Push again, "
            "which reads the original anew",
            member=blob.path,
            expected=blob.name,
            actual=actual,
        )


def _compress(source: Outgoing, size: int, out: Any) -> None:
    """Write the object of a compressed blob of *size* bytes to *out*."""
    source.seek(0)
    blocks = iter(partial(source.read, FRAME), b"")
    sizes = []
    out.seek(table_size(size))
    for frame in compress_all(blocks, framed=True):
        out.write(frame)
        sizes.append(len(frame))
    out.seek(0)
    out.write(table_of(sizes))
