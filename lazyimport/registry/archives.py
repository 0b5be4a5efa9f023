"""Archives in a store: which there are, their headers, and deleting one."""

from __future__ import annotations

from collections.abc import Iterator

from lazyimport.errors import ArchiveMissing, KeyMissing, MalformedArchive, StoreDenied
from lazyimport.format.sections import HEADER_SIZE, Header
from lazyimport.registry.layout import ARCHIVES, RECORDS, archive_key, recorded_hash
from lazyimport.stores import Item, ReadStore, Store
from lazyimport.values import is_sha256


def stored_archives(store: Store, prefix: str = "") -> Iterator[tuple[str, Item]]:
    """Yield hash and object of the archives whose hashes begin with *prefix*, by hash.

    Raises StoreError while iterating.
    """
    for item in store.list(ARCHIVES + prefix):
        name = item.key[len(ARCHIVES) :]
        if is_sha256(name) and name == name.lower():
            yield name, item


def read_header(store: ReadStore, hash: str) -> Header:
    """Return the header of the archive *hash*, which names its base.

    Raises KeyMissing, StoreError, or MalformedArchive if the object is not that
    archive.
    """
    key = archive_key(hash)
    what = f"{store.url}/{key}"
    data = store.read(key, 0, HEADER_SIZE)
    try:
        header = Header.decode(data, what)
    except MalformedArchive as error:
        raise MalformedArchive(
            f"{error}; push the tree again, which replaces it", hash=hash
        ) from error
    if header.hash != hash:
        raise MalformedArchive(
            f"{what}: this is archive {header.hash}, not {hash}; somebody put it "
            "there under a wrong name; push the tree again, which replaces it",
            hash=hash,
        )
    return header


def require_archive(store: ReadStore, hash: str) -> Header:
    """Return the header of the archive *hash* once sure that its base is there too.

    Raises ArchiveMissing, StoreError or MalformedArchive.
    """
    wanted = hash
    try:
        header = read_header(store, hash)
        if header.base is not None:
            wanted = header.base
            read_header(store, wanted)
    except KeyMissing:
        base = "" if wanted == hash else f", the base of {hash},"
        raise ArchiveMissing(
            f"archive {wanted}{base} is not in {store.url}; push it there first: "
            f"lazyimport push DIR --store {store.url}",
            hash=wanted,
            store=store.url,
        ) from None
    return header


def delete_archive(store: Store, hash: str) -> None:
    """Delete the archive *hash*, then the records beside it. Raises StoreError."""
    delete_object(store, archive_key(hash))
    for folder in RECORDS:
        for item in store.list(f"{folder}{hash}"):
            if recorded_hash(item.key) == hash:
                delete_record(store, item.key)


def delete_record(store: Store, key: str) -> bool:
    """Delete a record, unless the store keeps it, as for an audit; return if it went.

    Raises StoreError.
    """
    try:
        delete_object(store, key)
    except StoreDenied:
        return False
    return True


def delete_object(store: Store, key: str) -> None:
    """Delete an object, if it is there. Raises StoreError."""
    try:
        store.delete(key)
    except KeyMissing:
        pass  # it never was, or a request was repeated
