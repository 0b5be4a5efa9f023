"""Verifying a store: all of it is read and proved, and mended with what a node has.

Archives go by their hashes. Channels, signatures and other records must be readable,
and a signature must hold for the key that it names.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO

from lazyimport.cache.node import NodeCache
from lazyimport.cache.previous import find_packed
from lazyimport.delivery.blobs_check import AWAY, BlobCheck
from lazyimport.delivery.proofs import (
    Stored,
    find_stored,
    forget,
    look_up,
    read_stored,
    record,
)
from lazyimport.delivery.publish import send_whole
from lazyimport.errors import (
    ArchiveError,
    ArchiveMissing,
    ChannelError,
    KeyMissing,
    LazyImportError,
    SettingsError,
    SignatureError,
    StoreError,
    UnsupportedArchive,
)
from lazyimport.format.archive import Archive
from lazyimport.format.delta import Revision
from lazyimport.registry.archives import read_header
from lazyimport.registry.channels import read_channel
from lazyimport.registry.layout import (
    BLOBS,
    CHANGES,
    CHANNELS,
    DEPLOYMENTS,
    PROVENANCE,
    RUNNING,
    SIGNATURES,
    archive_key,
    channel_of,
    recorded_hash,
)
from lazyimport.registry.signing import Trusted
from lazyimport.reporting import SILENT, Reporter
from lazyimport.stores import MutableStore, ReadStore, mutable, writable
from lazyimport.stores.side_by_side import side_by_side
from lazyimport.stores.tee import Tee

_LARGEST_RECORD = 1 << 20
#: Archives that lie on the disk at once, beside their deltas.
_AT_ONCE = 4


@dataclass
class Fault:
    """An object of a store that is not what it should be, and *why*.

    ``kind`` is ``damaged``, ``missing``, or ``unread``, if nobody knows whether it is
    damaged, as the store does not let it be read. ``needed_by`` says what depends on
    it: deltas, and channels. ``mended`` is true once it was replaced.
    """

    key: str
    why: str
    kind: str = "damaged"
    needed_by: list[str] = field(default_factory=list)
    mended: bool = False


@dataclass
class VerifiedStore:
    """What `verify_store` read: numbers of ``archives``, ``records``, and bytes.

    ``newer`` is the number of archives that only a newer lazyimport can read, and
    ``unchecked`` that of signatures, if the package cryptography is missing here.
    """

    archives: int = 0
    records: int = 0
    size: int = 0
    newer: int = 0
    unchecked: int = 0
    faults: list[Fault] = field(default_factory=list)

    @property
    def left(self) -> list[Fault]:
        """The faults that were not mended."""
        return [fault for fault in self.faults if not fault.mended]


def verify_store(
    store: ReadStore,
    cache: NodeCache,
    hashes: Iterable[str] = (),
    *,
    repair: bool = False,
    reporter: Reporter = SILENT,
) -> VerifiedStore:
    """Read and prove all that *store* has, or only the archives *hashes*.

    Each archive lies on the disk of *cache* while it is proved. With *repair*, an
    archive that is damaged or missing is replaced by that of *cache*, whole, and the
    store notes which objects are proved. *reporter* is told how many bytes were read.

    Raises SettingsError if there are no *hashes* and the store cannot list what it
    has, or if it cannot be written to for *repair*; StoreError, or CacheError.
    """
    check = _Check(store, cache, mutable(store) if repair else None, reporter)
    wanted = list(hashes)
    if wanted:
        check.archives(wanted)
    else:
        check.everything()
    return check.found


class _Check:
    def __init__(
        self,
        store: ReadStore,
        cache: NodeCache,
        changing: MutableStore | None,
        reporter: Reporter,
    ) -> None:
        self._store = store
        self._cache = cache
        self._changing = changing
        self._reporter = reporter
        self._lock = threading.Lock()
        self._stored: dict[str, Stored] = {}
        self._bases: dict[str, str] = {}
        self._channels: dict[str, str] = {}
        self._faults: dict[str, Fault] = {}
        self._total: int | None = None
        self._blobs = BlobCheck(store, cache, changing, self._blob_fault, self._add)
        self.found = VerifiedStore()

    def everything(self) -> None:
        """Look at what lies beside archives, then prove all of them."""
        store = writable(self._store)
        self._stored = look_up(store)
        self._total = sum(stored.item.size for stored in self._stored.values())
        self._total += sum(item.size for item in store.list(BLOBS))
        checks = [
            (CHANNELS, self._channel),
            (SIGNATURES, self._signature),
            (PROVENANCE, self._json),
            (DEPLOYMENTS, self._json),
            (CHANGES, self._json),
        ]
        keys = [
            (item.key, one) for prefix, one in checks for item in store.list(prefix)
        ]
        self.found.records = len(keys)
        side_by_side(*(partial(self._record, key, check) for key, check in keys))
        self._record(RUNNING, self._json)
        self.archives(sorted(self._stored.keys() | self._channels.values()))
        for name, hash in sorted(self._channels.items()):
            for needed in (hash, self._bases.get(hash, "")):
                if needed in self._faults:
                    self._faults[needed].needed_by.append(f"channel {name}")

    def archives(self, wanted: list[str]) -> None:
        """Prove archives: full ones, and after each its deltas."""
        if self._changing is not None and not self._stored:
            for hash in wanted:
                self._stored |= look_up(self._changing, hash)
        groups: dict[str, list[str]] = {}
        heads = side_by_side(*(partial(self._full_of, hash) for hash in wanted))
        for hash, full in zip(wanted, heads, strict=True):
            if full is None:
                self.found.newer += 1
                continue
            deltas = groups.setdefault(full, [])
            if full != hash:
                self._bases[hash] = full
                deltas.append(hash)
        proofs = [partial(self._group, *group) for group in groups.items()]
        side_by_side(*proofs, at_once=_AT_ONCE)
        self._blobs.prove()

    def _full_of(self, hash: str) -> str | None:
        """Return the base of an archive, or itself; None if it cannot be read here."""
        try:
            return read_header(self._store, hash).base or hash
        except UnsupportedArchive:
            return None
        except (ArchiveError, StoreError) as error:
            if isinstance(error, AWAY):
                raise
            return hash  # to be found again, and mended

    def _group(self, full: str, deltas: list[str]) -> None:
        base = self._prove(full, None, deltas)
        for delta in deltas:
            if base is not None:
                self._prove(delta, base.base, [])
            elif self._mend(delta):  # whole, it does not need its base any more
                self._faults[full].needed_by.remove(f"archive {delta}")
                del self._bases[delta]

    def _prove(
        self, hash: str, base: Archive | None, deltas: list[str]
    ) -> Revision | None:
        """Return an archive that is sound, perhaps after it was mended."""
        with self._lock:
            self.found.archives += 1
        try:
            revision = self._read(hash, base)
        except (ArchiveError, ArchiveMissing, StoreError) as error:
            if isinstance(error, AWAY):
                raise
            fault = self._fault(archive_key(hash), error)
            fault.needed_by += [f"archive {delta}" for delta in deltas]
            self._faults[hash] = fault
            if isinstance(error, StoreError):
                return None  # nobody knows whether it is damaged
            if self._changing is not None and hash in self._stored:
                forget(self._changing, hash)
            if not self._mend(hash):
                return None
            fault.mended = True
            revision = self._read(hash, None)
            self._blobs.note(hash, revision.blobs)
            return revision
        self._blobs.note(hash, revision.blobs)
        stored = self._stored.get(hash)
        if self._changing is not None and stored and not stored.proved:
            name = None if base is None else base.hash
            record(self._changing, hash, stored.item, name)
        return revision

    def _read(self, hash: str, base: Archive | None) -> Revision:
        of = None if base is None else lambda _: base

        def counted(file: BinaryIO) -> Any:
            return Tee(file, self._count)

        return read_stored(self._store, hash, self._cache, of, counted)

    def _fault(self, key: str, error: LazyImportError) -> Fault:
        kind = "damaged"
        if isinstance(error, (ArchiveMissing, KeyMissing)):
            kind = "missing"
        elif isinstance(error, StoreError):
            kind = "unread"
        why = str(error).removeprefix(f"{self._store.url}/{key}: ")
        fault = Fault(key, why, kind)
        self.found.faults.append(fault)
        return fault

    def _blob_fault(
        self, key: str, why: str, kind: str, needed_by: list[str], mended: bool
    ) -> None:
        self.found.faults.append(Fault(key, why, kind, needed_by, mended))

    def _count(self, data: bytes) -> None:
        self._add(len(data))

    def _add(self, size: int) -> None:
        with self._lock:
            self.found.size += size
        text = f"verifying {self._store.url}"
        self._reporter.step(text, self.found.size, self._total, "bytes")

    def _mend(self, hash: str) -> bool:
        """Send the whole archive in place of what is there, if this node has it."""
        if self._changing is None:
            return False
        try:
            cached = self._cache.open(hash)
            mine = Revision(cached) if cached else find_packed(self._cache, hash)
            if not mine or not send_whole(mine, self._changing, self._cache):
                return False
        except ArchiveError:
            return False  # damaged here, too
        item = find_stored(self._changing, hash)
        if item is not None:
            record(self._changing, hash, item, None)
        return item is not None

    def _record(self, key: str, check: Callable[[str], object]) -> None:
        try:
            check(key)
        except KeyMissing:
            pass  # deleted since the listing
        except (ChannelError, SettingsError, SignatureError, StoreError) as error:
            if isinstance(error, AWAY):
                raise
            self._fault(key, error)

    def _channel(self, key: str) -> None:
        name = channel_of(key)
        hash = read_channel(self._store, name).hash if name else None
        if hash is not None:
            self._channels[str(name)] = hash

    def _signature(self, key: str) -> None:
        hash = recorded_hash(key)
        if hash is None:
            return  # somebody else's
        facts = self._json(key)
        try:
            trusted = Trusted.parse(str(facts.get("key")))
        except SettingsError as error:
            if not isinstance(error.__cause__, ModuleNotFoundError):
                raise
            self.found.unchecked += 1
            return
        trusted.check_archive(self._store, hash)

    def _json(self, key: str) -> dict[str, Any]:
        try:
            facts = json.loads(self._store.read(key, 0, _LARGEST_RECORD))
        except (ValueError, RecursionError):
            facts = None
        if not isinstance(facts, dict):
            text = f"{self._store.url}/{key} is no record that lazyimport wrote"
            raise SignatureError(f"{text}; delete it there")
        return facts
