"""Publishing: an archive goes into a store, as a delta where that is smaller."""

from __future__ import annotations

import tempfile
from typing import Any, BinaryIO, NamedTuple

from lazyimport.cache.node import NodeCache
from lazyimport.delivery.bases import Base, find_bases
from lazyimport.delivery.transfer import Outgoing
from lazyimport.errors import (
    ArchiveError,
    ArchiveMissing,
    CacheError,
    KeyMissing,
    MalformedArchive,
)
from lazyimport.format.archive import Archive
from lazyimport.format.delta import LARGEST_DELTA, Revision, write_delta
from lazyimport.format.header import HEADER_SIZE, Header
from lazyimport.registry.archives import find_header, require_archive
from lazyimport.registry.gc_lock import renew, wait_until_decided
from lazyimport.registry.layout import archive_key
from lazyimport.reporting import SILENT, Reporter
from lazyimport.stores import Store, mutable


class Published(NamedTuple):
    """What `publish` did.

    ``kind`` is ``"full"``, ``"delta"`` or ``"present"`` (the store had the
    archive); ``size`` the bytes sent; ``base`` the hash that the delta in the store
    builds on, and ``base_size`` about what would have been sent without it.
    """

    hash: str
    kind: str
    size: int
    base: str | None = None
    base_size: int = 0


def publish(
    archive: Archive | Revision,
    store: Store,
    cache: NodeCache,
    reporter: Reporter = SILENT,
) -> Published:
    """Put *archive* into *store* under its hash, unless the store has it.

    It is sent as a delta if a full archive of the store can be the base and the
    delta is at most a fifth of that. If the store has a delta whose base is gone,
    the whole archive replaces it in one step. If two publish the same archive at
    once, both succeed, and one sends. On return no garbage collection can miss that
    the archive is there and needed. *reporter* is told how much is sent.

    Raises StoreError, CacheError, or ArchiveError if the store has something else
    under the archive's name.
    """
    revision = archive if isinstance(archive, Revision) else Revision(archive)
    while True:
        published = _publish(revision, store, cache, reporter)
        if published is None:
            continue  # others changed what was there
        if published.kind == "present":
            renew(store, revision.hash)
        if _is_there_to_stay(published, store):
            return published


def _is_there_to_stay(published: Published, store: Store) -> bool:
    """Whether no garbage collection has taken the archive or its base, or will now."""
    needed = [hash for hash in (published.hash, published.base) if hash]
    if wait_until_decided(store, needed):
        return False
    try:
        require_archive(store, published.hash)
    except ArchiveMissing:
        return False
    return True


def _publish(
    revision: Revision, store: Store, cache: NodeCache, reporter: Reporter
) -> Published | None:
    """Put it there, or find it there; None if others changed that, so look again."""
    stored = find_header(store, revision.hash)
    if stored is not None and not _lost_base(stored, store):
        _check_size(stored, store)
        return Published(revision.hash, "present", 0, stored.base)
    try:
        with tempfile.TemporaryFile(dir=cache.scratch_folder()) as file:
            if stored is not None:
                return _repair(revision, store, file)
            return _send(revision, store, cache, file, reporter)
    except OSError as error:
        raise CacheError(
            f"cannot write what is to be sent to {cache.path}: {error.strerror}; "
            "free space there, or set LAZYIMPORT_CACHE_DIR to another disk or folder",
            path=cache.path,
            errno=error.errno,
        ) from error


def _repair(revision: Revision, store: Store, file: BinaryIO) -> Published | None:
    """Send the whole archive in place of a delta whose base is gone.

    None if the delta is not there any more, or not what it was.
    """
    key = archive_key(revision.hash)
    changing = mutable(store)
    try:
        data, version = changing.read_versioned(key)
    except KeyMissing:
        return None
    # the base of this version, not of the one that was looked at before
    if not _lost_base(Header.decode(data[:HEADER_SIZE]), store):
        return None
    header = revision.write(file, raw=False)
    file.seek(0)
    if not changing.replace(key, file.read(), version):
        return None
    return Published(revision.hash, "full", header.size)


def _send(
    revision: Revision,
    store: Store,
    cache: NodeCache,
    file: BinaryIO,
    reporter: Reporter,
) -> Published | None:
    """Send a delta if there is a good base, else the whole; None if another did."""
    published = _encode_delta(revision, store, cache, file)
    if published is None:
        _empty(file)
        size = revision.write(file, raw=False).size
        published = Published(revision.hash, "full", size)
    data: Any = Outgoing(file, f"sending to {store.url}", reporter)
    return published if store.put(archive_key(revision.hash), data) else None


def _encode_delta(
    revision: Revision, store: Store, cache: NodeCache, file: BinaryIO
) -> Published | None:
    """Write a delta to a base that the store has; None if there is no good one."""
    hints = [revision.base.hash] if revision.delta is not None else []
    for base in find_bases(revision.index, store, cache, hints):
        try:
            header = _write_delta(revision, base, file)
        except ArchiveError:
            continue  # the base is damaged; if it is ours, sending the whole says so
        if header is not None:
            # If somebody removes the base meanwhile, publish() sees it and repairs.
            size, whole = header.size, base.header.size
            return Published(revision.hash, "delta", size, base.header.hash, whole)
    return None


def _write_delta(revision: Revision, base: Base, file: BinaryIO) -> Header | None:
    """Write a delta to *file*; None if it is too large to be worth it."""
    _empty(file)
    limit = LARGEST_DELTA * base.header.size
    header: Header | None
    if revision.delta is not None and base.index.hash == revision.base.hash:
        file.write(revision.delta)
        header = Header.decode(revision.delta[:HEADER_SIZE])
    else:
        header = write_delta(
            file,
            base.index,
            revision.index,
            revision.read,
            notes=revision.notes,
            partial=base.partial,
            most=base.header.size,
        )
    return None if header is None or header.size > limit else header


def _empty(file: BinaryIO) -> None:
    file.seek(0)
    file.truncate()


def _lost_base(stored: Header, store: Store) -> bool:
    """Whether the object is a delta to an archive that is no longer there."""
    return stored.base is not None and find_header(store, stored.base) is None


def _check_size(stored: Header, store: Store) -> None:
    """Refuse an archive of which the store has only a part."""
    key = archive_key(stored.hash)
    sizes = [item.size for item in store.list(key) if item.key == key]
    if sizes and sizes[0] != stored.size:
        raise MalformedArchive(
            f"{store.url}/{key} is cut short ({sizes[0]} of {stored.size} bytes); "
            "delete it there and push again",
            hash=stored.hash,
        )
