"""Proofs: which objects of a store are known to be sound, byte for byte.

Beside an archive lies an empty object whose name says which version of it was
proved, and its base: ``proofs/<hash>-<version>[-<base>]``. Whoever sent the archive,
or has read and proved all of it, puts it there. Once somebody changes the object it
has another version, and counts as unproved. Blobs have proofs by their digests.

So a push that builds on an archive of the store reads none of its members.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple, cast

from lazyimport.cache.node import NodeCache
from lazyimport.cache.sealed import map_file
from lazyimport.cache.verify import prove
from lazyimport.errors import ArchiveMissing, KeyMissing, MalformedArchive, StoreMissing
from lazyimport.format.archive import Archive
from lazyimport.format.delta import Revision
from lazyimport.format.sections import open_header
from lazyimport.registry.archives import delete_object, read_header, stored_archives
from lazyimport.registry.layout import PROOFS, archive_key, recorded_hash
from lazyimport.reporting import SILENT, Reporter
from lazyimport.stores import Item, ReadStore, Store
from lazyimport.stores.side_by_side import side_by_side
from lazyimport.stores.tee import Tee


class Stored(NamedTuple):
    """An archive in a store: ``proved`` if all of it is known to be sound.

    ``base`` is None for a full archive, and for one that is not proved. ``item`` is
    the object, whose version the proof is about.
    """

    hash: str
    item: Item
    proved: bool
    base: str | None


def look_up(store: Store, prefix: str = "") -> dict[str, Stored]:
    """Return the archives in *store* whose hashes begin with *prefix*, by hash.

    Reads none of them. There are none where the folder of the store is missing.
    Raises StoreError.
    """
    try:
        items, proofs = side_by_side(
            lambda: dict(stored_archives(store, prefix)),
            lambda: [item.key for item in store.list(PROOFS + prefix)],
        )
    except StoreMissing:
        return {}  # put() makes the folder, or says that the bucket is missing
    found = {hash: Stored(hash, item, False, None) for hash, item in items.items()}
    for key in proofs:
        hash, version, base = _parts(key)
        if hash in found and version == version_of(found[hash].item):
            found[hash] = Stored(hash, items[hash], True, base or None)
    return found


def proved_versions(store: Store, name: str) -> set[str]:
    """Return the versions of the archive or blob *name* that somebody has proved.

    Raises StoreError.
    """
    try:
        return {_parts(item.key)[1] for item in store.list(f"{PROOFS}{name}-")}
    except StoreMissing:
        return set()


def find_stored(store: Store, hash: str) -> Item | None:
    """Return the object of the archive *hash*; None if the store does not have it."""
    try:
        return dict(stored_archives(store, hash)).get(hash)
    except StoreMissing:
        return None


def record(store: Store, name: str, item: Item, base: str | None) -> None:
    """Put a proof of *item*, the archive or blob *name*, into *store*. StoreError."""
    key = f"{PROOFS}{name}-{version_of(item)}" + (f"-{base}" if base else "")
    store.put(key, io.BytesIO())


def forget(store: Store, name: str) -> None:
    """Delete all proofs of an archive or blob, which is damaged. Raises StoreError."""
    for item in list(store.list(PROOFS + name)):
        delete_object(store, item.key)


def prove_stored(
    store: Store, stored: Stored, cache: NodeCache, reporter: Reporter = SILENT
) -> Stored:
    """Read and prove all of *stored*, unless it is proved, and record that.

    Of a delta the base counts as sound. *reporter* is told how many bytes were read.

    Raises ArchiveError if it is damaged, ArchiveMissing, StoreError or CacheError.
    """
    if stored.proved:
        return stored

    def base(hash: str) -> Archive:
        return cache.open(hash) or read_stored(store, hash, cache).base

    def told(file: BinaryIO) -> Any:
        text = f"proving {stored.item.key[:21]} of {store.url}"
        total = stored.item.size
        return Tee(file, lambda _: reporter.step(text, file.tell(), total, "bytes"))

    revision = read_stored(store, stored.hash, cache, base, told)
    name = None if revision.delta is None else revision.base.hash
    if find_stored(store, stored.hash) == stored.item:  # not replaced meanwhile
        record(store, stored.hash, stored.item, name)
    return stored._replace(proved=True, base=name)


def read_stored(
    store: ReadStore,
    hash: str,
    cache: NodeCache,
    base: Callable[[str], Archive] | None = None,
    wrap: Callable[[BinaryIO], BinaryIO] = lambda file: file,
) -> Revision:
    """Return the archive *hash* of *store*, all of whose bytes are proved.

    They lie in a nameless file on the disk of *cache*, which *wrap* may put another
    file in front of. *base* returns the base of a delta by its hash, whose members
    are not proved; without it, a delta is refused.

    Raises ArchiveError, ArchiveMissing, StoreError or CacheError.
    """
    key = archive_key(hash)
    what = f"{store.url}/{key}"
    try:
        size = read_header(store, hash).size
        with tempfile.TemporaryFile(dir=cache.scratch_folder()) as file:

            def check(_: object) -> None:
                if file.tell() > size:  # it may have no end
                    text = f"{what}: longer than it says (more than {size} bytes)"
                    raise MalformedArchive(text, hash=hash)

            store.download(key, cast("BinaryIO", Tee(wrap(file), check)))
            file.flush()
            buffer = map_file(file, what, hash)
    except KeyMissing:
        text = f"archive {hash} is not in {store.url}"
        raise ArchiveMissing(text, hash=hash, store=store.url) from None
    except OSError as error:
        raise cache.refused(f"archive {hash}", error) from error
    header = open_header(buffer, hash, what)
    if header.base is not None and base is not None:
        revision = Revision(base(header.base), buffer, hash, what)
        revision.prove()
        return revision
    archive = Archive(buffer, hash, what)
    prove(archive)
    return Revision(archive)


def _parts(key: str) -> tuple[str, str, str]:
    """Return the name, the version and the base in the key of a proof."""
    name = recorded_hash(key) or ""
    version, _, base = key[len(PROOFS) + len(name) + 1 :].partition("-")
    return name, version, base


def version_of(item: Item) -> str:
    """Return what names this version of an object in the key of its proof."""
    said = f"{item.size} {item.version}"
    return hashlib.sha256(said.encode()).hexdigest()[:32]
