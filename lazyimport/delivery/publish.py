"""Publishing: an archive goes into a store, as a delta where that is smaller.

Requests of which none depends on another are made side by side, so a push of a
changed line waits for the store four times: what it has; the delta; whether a garbage
collection runs; whether all that is needed is there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO, NamedTuple

from lazyimport.cache.node import NodeCache
from lazyimport.delivery.bases import Base, find_bases
from lazyimport.delivery.blobs_out import has_needs, record_needs, send
from lazyimport.delivery.blobs_there import find_damaged, find_missing, look_for
from lazyimport.delivery.heads import Head
from lazyimport.delivery.outgoing import Outgoing
from lazyimport.delivery.proofs import (
    Stored,
    find_stored,
    look_up,
    prove_stored,
    record,
)
from lazyimport.errors import (
    ArchiveError,
    ArchiveMissing,
    KeyMissing,
    StoreError,
    UnsupportedArchive,
)
from lazyimport.format.archive import Archive
from lazyimport.format.delta import LARGEST_DELTA, Revision, write_delta
from lazyimport.format.sections import HEADER_SIZE, Header
from lazyimport.registry.gc_lock import renew, wait_until_decided
from lazyimport.registry.layout import archive_key
from lazyimport.reporting import SILENT, Reporter
from lazyimport.stores import Store, mutable
from lazyimport.stores.side_by_side import side_by_side

#: So often a push looks again when others have changed what it found.
_ROUNDS = 5


class Published(NamedTuple):
    """What `publish` did.

    ``kind`` is ``"full"``, ``"delta"`` or ``"present"`` (the store had the
    archive); ``size`` the bytes sent; ``base`` the hash that the delta in the store
    builds on, and ``base_size`` about what would have been sent without it; ``large``
    the bytes that were sent of large files.
    """

    hash: str
    kind: str
    size: int
    base: str | None = None
    base_size: int = 0
    large: int = 0


def publish(
    archive: Archive | Revision,
    store: Store,
    cache: NodeCache,
    reporter: Reporter = SILENT,
    beside: Callable[[], object] = lambda: None,
    *,
    whole: bool = False,
) -> Published:
    """Put *archive* into *store* under its hash, unless the store has it.

    It is sent as a delta if a full archive of the store can be the base and the
    delta is at most a fifth of that. What is there already, and what serves as a
    base, is proved (see `lazyimport.delivery.proofs`); if it is damaged or its base is
    gone, the whole archive replaces it in one step. If two publish the same archive
    at once, both succeed, and one sends. On return no garbage collection can miss
    that the archive is there and needed. With *whole*, it is sent whole, and also if
    the store has its members in another order. *reporter* is told how much is sent, and
    of damage. *beside* writes what belongs to the archive, once that is there.

    Raises StoreError, also if the store does not keep what it took; CacheError, or
    ArchiveError if *archive* is damaged.
    """
    revision = archive if isinstance(archive, Revision) else Revision(archive)
    large = 0
    for _ in range(_ROUNDS):
        push = _Push(revision, store, cache, reporter, whole=whole)
        try:
            large += push.send_blobs()
            published = push.published()
        except OSError as error:
            what = f"what is to be sent of archive {revision.hash}"
            raise cache.refused(what, error) from error
        if published is not None and push.stays(published, beside):
            return published._replace(large=large)  # else others changed what was there
    raise StoreError(
        f"{store.url} does not keep what it takes: after {_ROUNDS} pushes it does not "
        f"have archive {revision.hash}; look at its quota and its rules for deleting "
        "objects, or use another store",
        url=store.url,
        key=archive_key(revision.hash),
    )


def send_whole(
    revision: Revision, store: Store, cache: NodeCache, reporter: Reporter = SILENT
) -> Header | None:
    """Put the whole archive in the place of whatever *store* has under its hash.

    None if others changed that meanwhile. Raises as `publish` does, and OSError.
    """
    key = archive_key(revision.hash)
    with tempfile.TemporaryFile(dir=cache.scratch_folder()) as file:
        header = revision.write(file, raw=False)
        try:
            changing = mutable(store)
            _, version = changing.read_versioned(key, 0)
        except KeyMissing:
            sent: Any = Outgoing(file, f"sending to {store.url}", reporter)
            return header if store.put(key, sent) else None
        file.seek(0)
        return header if changing.replace(key, file.read(), version) else None


class _Push:
    def __init__(
        self,
        revision: Revision,
        store: Store,
        cache: NodeCache,
        reporter: Reporter,
        *,
        whole: bool = False,
    ) -> None:
        self._whole = whole
        self._revision = revision
        self._store = store
        self._cache = cache
        self._reporter = reporter
        #: what there is in the store, as far as it was asked
        self._archives: dict[str, Stored] = {}

    def send_blobs(self) -> int:
        """Send what the store lacks of large files; return how many bytes."""
        blobs = self._revision.blobs.values()
        if not blobs:
            return 0
        # The note comes before the archive, so that none is ever there without it.
        note = partial(record_needs, self._store, self._revision.hash, blobs)
        look = partial(look_for, self._store, blobs)
        _, (missing, unproved), _ = side_by_side(self._look_up, look, note)
        store, cache, reporter = self._store, self._cache, self._reporter
        damaged = find_damaged(store, unproved, cache, reporter)
        sent = send(store, missing, cache, reporter)
        sent += send(store, damaged, cache, reporter, replace=True)
        if sent:
            note()  # which a collection may have taken if that took long
        return sent

    def _look_up(self) -> None:
        """Find out what there is in the store."""
        revision = self._revision
        # of a delta that was packed here the base is known, else there may be any
        known = [revision.hash, revision.base.hash] if revision.delta else [""]
        for found in side_by_side(*(partial(look_up, self._store, h) for h in known)):
            self._archives |= found

    def published(self) -> Published | None:
        """Put it there, or find it there; None if others changed that meanwhile."""
        revision = self._revision
        if not revision.blobs:
            self._look_up()
        stored = self._archives.get(revision.hash)
        if stored is None:
            return self._send()
        sound = self._sound(stored)
        if sound is not None and not (self._whole and self._is_reordered()):
            return Published(revision.hash, "present", 0, sound.base)
        header = send_whole(revision, self._store, self._cache, self._reporter)
        if header is None:
            return None
        return Published(revision.hash, "full", header.size)

    def _is_reordered(self) -> bool:
        """Whether what the store has begins with other members than it should."""
        head = Head(self._store, self._revision.hash)
        there = dict.fromkeys(digest for *_, digest, _ in head.members)
        order = self._revision.order
        first = [] if order is None else [each for each in order() if each in there]
        return head.header.base is not None or [*there][: len(first)] != first

    def _sound(self, stored: Stored | None, *, as_base: bool = False) -> Stored | None:
        """Return *stored* once it is proved, with its base; None if one is damaged.

        What serves *as_base* must be a full archive.
        """
        if stored is None:
            return None
        try:
            sound = prove_stored(self._store, stored, self._cache, self._reporter)
        except (ArchiveError, ArchiveMissing) as error:
            own = stored.hash == self._revision.hash
            if own and isinstance(error, UnsupportedArchive):
                raise
            self._reporter.warn(
                f"{error}; so this push does not build on it. Find what depends on it, and repair it: "
                f"lazyimport verify --store {self._store.url} --repair"
            )
            return None
        if sound.base is None or as_base:
            return sound if sound.base is None else None
        if sound.base not in self._archives:
            self._archives |= look_up(self._store, sound.base)
        base = self._sound(self._archives.get(sound.base), as_base=True)
        return sound if base is not None else None

    def _send(self) -> Published | None:
        """Send a delta if there is a good base, else the whole; None if another did."""
        store, revision = self._store, self._revision
        with tempfile.TemporaryFile(dir=self._cache.scratch_folder()) as file:
            published = self._encode_delta(file)
            if published is None:
                _empty(file)
                size = revision.write(file, raw=False).size
                published = Published(revision.hash, "full", size)
            data: Any = Outgoing(file, f"sending to {store.url}", self._reporter)
            return published if store.put(archive_key(revision.hash), data) else None

    def _encode_delta(self, file: BinaryIO) -> Published | None:
        """Write a delta to a base that the store has; None if there is no good one."""
        for base in () if self._whole else self._bases():
            try:
                header = _write_delta(self._revision, base, file)
            except ArchiveError:
                continue  # it is damaged; if it is ours, sending the whole says so
            if header is not None and self._sound(base.stored) is not None:
                # If somebody removes it meanwhile, stays() sees it.
                whole = base.stored.item.size
                return Published(
                    self._revision.hash, "delta", header.size, base.stored.hash, whole
                )
        return None

    def _bases(self) -> Iterator[Base]:
        index, store, cache = self._revision.index, self._store, self._cache
        yield from find_bases(index, self._archives, store, cache)
        if self._revision.delta is not None:
            others = look_up(store)
            for hash in self._archives:
                others.pop(hash, None)
            yield from find_bases(index, others, store, cache)

    def stays(self, published: Published, beside: Callable[[], object]) -> bool:
        """Whether the store has it by now, with its base, and will not lose it.

        No garbage collection has taken one of them, nor is about to.
        """
        store, hash, base = self._store, published.hash, published.base
        blobs = self._revision.blobs.values()
        names = [h for h in (hash, base) if h] + [blob.name for blob in blobs]
        decided = partial(wait_until_decided, store, names)
        needed = [base] if base else []
        proof: list[Callable[[], object]] = []
        if published.kind == "present":
            side_by_side(partial(renew, store, hash), beside)
            waited = decided()
            needed.append(hash)
        else:
            waited, item, _ = side_by_side(
                decided, partial(find_stored, store, hash), beside
            )
            if item is None:
                return False
            if item.size != published.size:
                raise StoreError(
                    f"{store.url} has {item.size} bytes of the {published.size} that "
                    f"were sent as archive {hash}; see what cut it short, and push "
                    "again, which replaces it",
                    url=store.url,
                    key=item.key,
                )
            proof = [partial(record, store, hash, item, base)]
        if waited:
            return False
        missing, is_noted, *found = side_by_side(
            partial(find_missing, store, blobs),
            partial(has_needs, store, hash, blobs),
            *(partial(find_stored, store, h) for h in needed),
            *proof,
        )
        return is_noted and not missing and None not in found[: len(needed)]


def _write_delta(revision: Revision, base: Base, file: BinaryIO) -> Header | None:
    """Write a delta to *file*; None if it is too large to be worth it."""
    _empty(file)
    whole = base.stored.item.size
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
            first=revision.order() if revision.order is not None else (),
            notes=revision.notes,
            partial=base.partial,
            most=whole,
            blobs=revision.blobs,
        )
    return None if header is None or header.size > LARGEST_DELTA * whole else header


def _empty(file: BinaryIO) -> None:
    file.seek(0)
    file.truncate()
