"""The survey of a store: which archives stay and why, and what goes.

An archive stays while there is a reason: a channel points to it, or did so lately; an
application runs it, or may be rolled back to it; it was pushed lately, is among the
newest, or named; or it is the base of one that stays.

Ages count by the clock of the store, which writes the times.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from lazyimport.errors import ChannelError, KeyMissing, StoreError
from lazyimport.format.sections import Header
from lazyimport.registry.archives import read_header, stored_archives
from lazyimport.registry.blobs import Needs, StoredBlob
from lazyimport.registry.channels import read_channels
from lazyimport.registry.gc_lock import SHORTEST_AGE
from lazyimport.registry.history import Deployment, read_records
from lazyimport.registry.layout import (
    BLOBS,
    CLOCK,
    DEPLOYMENTS,
    FOLDERS,
    PUSHED,
    RECORDS,
    blob_of,
    is_deployment,
    recorded_hash,
)
from lazyimport.registry.past import Kept, Reason
from lazyimport.registry.signing import Trusted
from lazyimport.stores import Store
from lazyimport.stores.side_by_side import side_by_side

_IS_CLOCK = re.compile(rf"{CLOCK}[0-9a-f]{{16}}").fullmatch


class Rules(NamedTuple):
    """What stays, beside what channels point to, applications and bases of what stays.

    ``older_than``
        seconds: nothing younger is deleted, and at least SHORTEST_AGE,
    ``keep_last``
        how many of the newest stay,
    ``hashes``
        of archives that stay,
    ``history``
        how many of the last archives of a channel stay, also of one that was removed,
        and how many versions of an application, for rollback,
    ``channels``
        names of the channels to which that applies; None for all,
    ``trusted``
        keys; what none of them signed takes the place of no other record.
    """

    older_than: float
    keep_last: int = 0
    hashes: Collection[str] = ()
    history: int = 5
    channels: Collection[str] | None = None
    trusted: Trusted | None = None

    @property
    def age(self) -> float:
        """The seconds for which everything stays."""
        return max(self.older_than, SHORTEST_AGE)


@dataclass
class StoredArchive:
    """An archive: ``hash``, ``size`` in the store, ``modified``, ``base`` or None.

    ``reasons`` let it stay; without any it goes. ``modified`` is when it
    was pushed last, in seconds from the epoch by the clock of the store.
    """

    hash: str
    size: int
    modified: float
    base: str | None
    reasons: list[Reason] = field(default_factory=list)


@dataclass
class Survey:
    """The archives of a store, the newest first, at the time ``now``.

    ``leftovers`` are the keys of objects that nothing needs, such as records
    of archives that are not there; ``records`` are those that lie beside each hash.
    ``unfinished`` says where there is what killed writers did not finish, as far as
    somebody looked. ``blobs`` are those that no archive which stays refers to,
    ``kept_blobs`` the others.
    """

    archives: list[StoredArchive]
    blobs: list[StoredBlob]
    kept_blobs: list[StoredBlob]
    leftovers: list[str]
    records: dict[str, list[str]]
    now: float
    unfinished: list[str] = field(default_factory=list)

    @property
    def goes(self) -> list[StoredArchive]:
        """Archives without a reason to stay: deltas first, before their bases."""
        found = {each.hash: each for each in self.archives if not each.reasons}
        depths: dict[str, int] = {}
        for hash in found:
            for each in reversed(_bases(hash, found, depths)):
                depths[each] = depths.get(found[each].base or "", 0) + 1
        return sorted(
            found.values(),
            key=lambda each: (-depths[each.hash], each.modified),
        )


def survey(store: Store, rules: Rules, now: float) -> Survey:
    """Return what stays in *store* and why, and what goes, at the time *now*.

    What is dated after *now* counts as made now: clocks differ, and files are copied.
    Raises StoreError, ChannelError or ArchiveError if anything cannot be read:
    what is not known cannot be judged.
    """
    found = Surveyor(store, rules).survey(now)
    found.unfinished = sweep(store, now, dry_run=True)
    return found


class Surveyor:
    """Surveys *store* by *rules*, more than once: what cannot change is read once."""

    def __init__(self, store: Store, rules: Rules) -> None:
        self._store = store
        self._rules = rules
        # By hash and time: what was deleted may have come back in another form.
        self._headers: dict[tuple[str, float], Header] = {}
        self._needs = Needs(store)
        self._records: dict[str, Deployment] = {}

    def survey(self, now: float) -> Survey:
        """Return what stays and what goes, as `survey` does, but nothing unfinished."""
        archives = self._archives()
        for each in archives:  # one object of the future does not make all others old
            each.modified = min(each.modified, now)
        records = [i for i in self._store.list(DEPLOYMENTS) if is_deployment(i.key)]
        kept = self._kept_by([item.key for item in records])
        self._judge(archives, kept, now)
        beside: dict[str, list[str]] = {}
        leftovers = list(self._leftovers(archives, beside, now))
        for item in records:
            known = self._records[item.key]
            old = now - item.modified > self._rules.age
            if old and (known.app, known.id) not in kept.ids:
                leftovers.append(item.key)
        return Survey(archives, *self._blobs(archives, now), leftovers, beside, now)

    def _blobs(
        self, archives: list[StoredArchive], now: float
    ) -> tuple[list[StoredBlob], list[StoredBlob]]:
        """Return the blobs that go, and those that stay."""
        stays = {each.hash for each in archives if each.reasons}
        referring = {hash for (hash, _), h in self._headers.items() if h.blobs}
        age = self._rules.age
        return self._needs.divide(stays, stays & referring, now, age)

    def _archives(self) -> list[StoredArchive]:
        found = [(hash, item) for hash, item in stored_archives(self._store)]
        self._read_headers({(hash, item.modified) for hash, item in found})
        pushed: dict[str, float] = {}
        for item in self._store.list(PUSHED):
            hash = recorded_hash(item.key) or ""
            pushed[hash] = max(item.modified, pushed.get(hash, 0.0))
        archives = [
            StoredArchive(
                hash,
                item.size,
                max(item.modified, pushed.get(hash, 0.0)),
                self._headers[hash, item.modified].base,
            )
            for hash, item in found
            if (hash, item.modified) in self._headers
        ]
        _break_rings({each.hash: each for each in archives})
        return sorted(archives, key=lambda each: (-each.modified, each.hash))

    def _read_headers(self, versions: set[tuple[str, float]]) -> None:
        def read(version: tuple[str, float]) -> None:
            try:
                self._headers[version] = read_header(self._store, version[0])
            except KeyMissing:
                pass  # deleted since the listing

        new = versions - self._headers.keys()
        side_by_side(*(partial(read, version) for version in new))

    def _kept_by(self, keys: list[str]) -> Kept:
        """Return what the records of deployments under *keys* keep."""
        rules, store = self._rules, self._store
        new = [key for key in keys if key not in self._records]
        self._records.update(read_records(store, new, rules.trusted))
        for key in keys:
            if key not in self._records:
                raise StoreError(
                    f"{store.url}/{key} is no record of a deployment that this "
                    "lazyimport can read; use the release that wrote it, or delete it",
                    url=store.url,
                    key=key,
                )
        return Kept((self._records[key] for key in keys), rules.history)

    def _judge(self, archives: list[StoredArchive], kept: Kept, now: float) -> None:
        """Give each archive all reasons for which it stays."""
        rules = self._rules
        known = {each.hash: each for each in archives}
        for hash, reason in dict.fromkeys((*self._channel_reasons(), *kept.reasons)):
            if hash in known:
                known[hash].reasons.append(reason)
        for place, each in enumerate(archives):
            if each.hash in rules.hashes:
                each.reasons.append(Reason("named"))
            if place < rules.keep_last:
                each.reasons.append(Reason("newest", number=rules.keep_last))
            if now - each.modified < rules.age:
                each.reasons.append(Reason("recent"))
        staying = [each for each in archives if each.reasons]
        for each in staying:
            if each.base in known:
                base = known[each.base]
                if not base.reasons:
                    staying.append(base)
                base.reasons.append(Reason("base", each.hash))

    def _channel_reasons(self) -> Iterator[tuple[str, Reason]]:
        """Yield what channels keep; as in `Kept`, what is signed is counted first."""
        rules = self._rules
        channels = read_channels(self._store)
        for name in sorted({*(rules.channels or ())} - {c.name for c in channels}):
            raise ChannelError(
                f"there is no channel {name!r} in {self._store.url} that could keep "
                f"anything; see 'lazyimport channel ls --store {self._store.url}'",
                channel=name,
                store=self._store.url,
            )
        for channel in channels:
            name, changes = channel.name, channel.changes
            trusted = rules.trusted
            signed = [c for c in changes if trusted and c.signer(name, trusted)]
            keeps = rules.channels is None or name in rules.channels
            for counted in (signed, changes):
                found: dict[str, Reason] = {}
                for change in filter(lambda each: each.hash, counted):
                    number = None if change is counted[0] else change.number
                    reason = Reason("channel", name, number)
                    found.setdefault(str(change.hash), reason)
                now = bool(counted and counted[0].hash)
                yield from [*found.items()][: max(keeps and rules.history, now)]

    def _leftovers(
        self, archives: list[StoredArchive], beside: dict[str, list[str]], now: float
    ) -> Iterator[str]:
        """Yield the keys of what is old and no longer needed.

        Records without an archive, pushes before the last one, and clocks. All records
        are put into *beside*, by hash.
        """
        here = {each.hash: each.modified for each in archives}
        for item in self._store.list(BLOBS):  # they have proofs, too
            if digest := blob_of(item.key):
                here[digest] = item.modified
        for folder in (*RECORDS, CLOCK):
            for item in self._store.list(folder):
                hash = recorded_hash(item.key)
                beside.setdefault(hash or "", []).append(item.key)
                last = here.get(hash or "")
                superseded = folder == PUSHED and item.modified < (last or 0.0)
                ours = hash is not None or _IS_CLOCK(item.key)
                idle = now - item.modified > SHORTEST_AGE
                if ours and idle and (last is None or superseded):
                    yield item.key


def _bases(
    hash: str, archives: Mapping[str, StoredArchive], known: Container[str]
) -> list[str]:
    """Return *hash*, its base and so on, up to one *known* or not in *archives*."""
    found: dict[str, None] = {}
    while hash in archives and hash not in known and hash not in found:
        found[hash] = None
        hash = archives[hash].base or ""
    return [*found]


def _break_rings(archives: Mapping[str, StoredArchive]) -> None:
    """Let deltas that are bases of their bases have none.

    Nobody can read them. Each would keep the next, and none could go before it.
    """
    known: set[str] = set()
    for hash in archives:
        way = _bases(hash, archives, known)
        known.update(way)
        last = archives[way[-1]].base if way else None
        if last in way:
            for each in way[way.index(last) :]:
                archives[each].base = None


def sweep(store: Store, now: float, *, dry_run: bool) -> list[str]:
    """Remove what killed writers did not finish in *store*; return where that lies."""
    if not hasattr(store, "sweep"):  # most buckets show nothing of it
        return []
    found: list[str] = store.sweep(FOLDERS, now - SHORTEST_AGE, dry_run=dry_run)
    return found
