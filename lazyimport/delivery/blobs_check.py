"""Blobs of a store that is verified: read, proved, and mended with what a node has."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from lazyimport.cache.node import NodeCache
from lazyimport.delivery.blobs_in import prove_blob
from lazyimport.delivery.blobs_out import record_needs, send
from lazyimport.delivery.blobs_there import find_stored_blob
from lazyimport.delivery.proofs import forget, proved_versions, record, version_of
from lazyimport.errors import (
    ArchiveError,
    DamagedArchive,
    KeyMissing,
    StoreError,
    StoreMissing,
    StoreUnavailable,
)
from lazyimport.format.blobs import Blob
from lazyimport.registry.archives import delete_object
from lazyimport.registry.blobs import read_needs
from lazyimport.registry.layout import NEEDS, blob_key
from lazyimport.reporting import SILENT
from lazyimport.stores import MutableStore, ReadStore
from lazyimport.stores.side_by_side import side_by_side

#: Blobs that lie on the disk at once.
_AT_ONCE = 2
_CONNECTIONS = 4

#: What a store says that will say so of all that it has.
AWAY = StoreMissing, StoreUnavailable

#: is called with a key, why it is not what it should be, of which kind that is (as
#: `lazyimport.delivery.verify.Fault` has it), who needs it, whether mended
Tell = Callable[[str, str, str, list[str], bool], object]


class BlobCheck:
    """The blobs that archives of *store* need; *cache* has what they are mended with.

    *changing* is the store if it may be written to. *tell* is called for each fault,
    *count* with how many bytes were read.
    """

    def __init__(
        self,
        store: ReadStore,
        cache: NodeCache,
        changing: MutableStore | None,
        tell: Tell,
        count: Callable[[int], object],
    ) -> None:
        self._store = store
        self._cache = cache
        self._changing = changing
        self._tell = tell
        self._count = count
        self._lock = threading.Lock()
        self._blobs: dict[str, Blob] = {}
        self._needed_by: dict[str, list[str]] = {}

    def note(self, hash: str, blobs: dict[bytes, Blob]) -> None:
        """Take what the archive *hash* needs, and look at what a push noted of that."""
        if not blobs:
            return
        with self._lock:
            for blob in blobs.values():
                key = blob_key(blob.name, compressed=blob.compressed)
                self._blobs[key] = blob
                self._needed_by.setdefault(key, []).append(f"archive {hash}")
        missing = {blob.name for blob in blobs.values()} - self._noted(hash)
        if missing:
            if self._changing is not None:
                record_needs(self._changing, hash, blobs.values())
            why = "it does not name all large files, so 'gc' would delete some"
            mended = self._changing is not None
            self._tell(f"{NEEDS}{hash}", why, "damaged", [], mended)

    def _noted(self, hash: str) -> set[str]:
        noted: set[str] = set()
        if not hasattr(self._store, "list"):
            return {blob.name for blob in self._blobs.values()}  # nobody collects there
        for item in self._store.list(f"{NEEDS}{hash}"):
            try:
                noted |= read_needs(self._store, item.key)
            except KeyMissing:
                pass
            except DamagedArchive as error:
                if self._changing is not None:
                    delete_object(self._changing, item.key)
                mended = self._changing is not None
                self._tell(item.key, str(error), "damaged", [], mended)
            except StoreError as error:
                if isinstance(error, AWAY):
                    raise
                self._tell(item.key, str(error), "unread", [], False)
        return noted

    def prove(self) -> None:
        """Read all of them."""
        checks = (partial(self._prove, key) for key in sorted(self._blobs))
        side_by_side(*checks, at_once=_AT_ONCE)

    def _prove(self, key: str) -> None:
        blob, done = self._blobs[key], 0

        def count(size: int) -> None:
            nonlocal done
            self._count(size - done)
            done = size

        changing = self._changing
        item = changing and find_stored_blob(changing, blob)
        kind = "damaged"
        try:
            prove_blob(self._store, blob, self._cache, _CONNECTIONS, count)
        except KeyMissing:
            why, kind = f"it is missing: {blob.path}", "missing"
        except ArchiveError as error:
            why = str(error).removeprefix(f"{self._store.url}/{key} ")
        except StoreError as error:
            if isinstance(error, AWAY):
                raise
            self._tell(key, str(error), "unread", self._needed_by[key], False)
            return
        else:
            if (
                changing
                and item
                and version_of(item) not in proved_versions(changing, blob.name)
            ):
                record(changing, blob.name, item, None)
            return
        self._tell(key, why, kind, self._needed_by[key], self._mend(blob))

    def _mend(self, blob: Blob) -> bool:
        if self._changing is None:
            return False
        forget(self._changing, blob.name)
        try:
            send(self._changing, [blob], self._cache, SILENT, replace=True)
        except ArchiveError:
            return False  # it is not here either, or damaged
        return True
