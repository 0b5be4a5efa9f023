"""Garbage collection: which archives of a store nobody needs, and deleting them.

An archive stays while anything speaks for it: a channel means it, or meant it
lately; it is young, among the newest, or named; or it is the base of one that
stays. `survey` says for each what speaks for it. `collect` deletes the others,
in batches, each announced before it is looked at again (see
`lazyimport.registry.gc_lock`), deltas before their bases.

Ages count by the clock of the store, which writes the times.
"""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor

from lazyimport.errors import KeyMissing, LazyImportError, StoreError
from lazyimport.registry.archives import archive_key, read_header, stored_archives
from lazyimport.registry.channels import read_channels
from lazyimport.registry.gc_lock import PUSHED, RUNNING, Announcement, renewals_key
from lazyimport.registry.provenance import provenance_key
from lazyimport.registry.signing import signatures_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lazyimport.stores import Store

__all__ = ["SHORTEST_AGE", "Collected", "Fate", "Rules", "Survey", "collect", "survey"]

#: Seconds for which a push may still be under way: nothing younger is deleted.
SHORTEST_AGE = 3600.0
#: Archives deleted under one announcement.
BATCH = 100
_AT_ONCE = 16


class Rules:
    """What stays, beside what channels mean and the bases of what stays.

    ``older_than``
        seconds: nothing younger is deleted, and at least SHORTEST_AGE,
    ``keep_last``
        so many of the newest,
    ``hashes``
        these,
    ``history``
        what a channel meant in so many of its last changes, for rollback,
    ``channels``
        names of the channels to which that applies; None for all.
    """

    def __init__(
        self,
        *,
        older_than: float,
        keep_last: int = 0,
        hashes: Iterable[str] = (),
        history: int = 5,
        channels: Iterable[str] | None = None,
    ) -> None:
        self.older_than = max(older_than, SHORTEST_AGE)
        self.keep_last = keep_last
        self.hashes = frozenset(hashes)
        self.history = history
        self.channels = None if channels is None else frozenset(channels)


class Fate:
    """An archive: ``hash``, ``size`` in the store, ``modified``, ``base`` or None.

    ``reasons`` are for it to stay; without any it goes. ``modified`` is when it
    was pushed last, in seconds from the epoch by the clock of the store.
    """

    __slots__ = ("base", "hash", "modified", "reasons", "size")

    def __init__(self, hash: str, size: int, modified: float, base: str | None) -> None:
        self.hash = hash
        self.size = size
        self.modified = modified
        self.base = base
        self.reasons: list[str] = []


class Survey:
    """The archives of a store, the newest first, and when it was: ``now``.

    ``leftovers`` are keys of what belongs to archives that are not there.
    """

    def __init__(self, fates: list[Fate], leftovers: list[str], now: float) -> None:
        self.fates = fates
        self.leftovers = leftovers
        self.now = now

    @property
    def goes(self) -> list[Fate]:
        """What nothing speaks for: deltas first, so that no base goes before them."""
        found = [fate for fate in self.fates if not fate.reasons]
        return sorted(found, key=lambda fate: (fate.base is None, fate.modified))


class Collected:
    """What `collect` did: ``deleted`` archives, ``spared`` hashes, ``leftovers``."""

    def __init__(self) -> None:
        self.deleted: list[Fate] = []
        self.spared: list[str] = []
        self.leftovers = 0


def survey(store: Store, rules: Rules, now: float) -> Survey:
    """Return what stays in *store* and why, and what goes, at the time *now*.

    A *now* that lies before the newest object is taken to be that object's.
    Raises StoreError, ChannelError or ArchiveError if anything cannot be read:
    what is not known cannot be judged.
    """
    return _Collector(store, rules).survey(now)


def collect(
    store: Store,
    rules: Rules,
    now: float,
    by: str,
    tell: Callable[[int, int], None] = lambda done, total: None,  # noqa: ARG005
) -> Collected:
    """Delete what `survey` finds that nothing speaks for; return what was done.

    *by* tells others who it was; *tell* is called with (done, total). Safe
    beside pushes, changes of channels and other collections. If it is killed,
    what is in the store stays whole, and the next one goes on.

    Raises what `survey` raises, before anything is deleted or between two
    batches, and StoreError if another collection runs. The message says how
    many had been deleted by then.
    """
    done = Collected()
    try:
        _collect(store, rules, now, by, tell, done)
    except LazyImportError as error:
        count = len(done.deleted) or "nothing"
        text = f"{error} ({count} had been deleted by then)"
        raise error.with_text(text) from error
    return done


def _collect(
    store: Store,
    rules: Rules,
    now: float,
    by: str,
    tell: Callable[[int, int], None],
    done: Collected,
) -> None:
    collector = _Collector(store, rules)
    planned = collector.survey(now)
    going = planned.goes
    for start in range(0, len(going), BATCH):
        batch = {fate.hash for fate in going[start : start + BATCH]}
        with _Announced(store, batch, by) as announced:
            fresh = collector.survey(announced.time)
            collector.delete(batch, fresh, announced, done)
        tell(start + len(batch), len(going))
    if planned.leftovers:
        with _Announced(store, set(), by) as announced:
            for key in collector.survey(announced.time).leftovers:
                _delete(store, key)
                done.leftovers += 1


class _Collector:
    """Surveys one store, over and over, and reads no header twice."""

    def __init__(self, store: Store, rules: Rules) -> None:
        self._store = store
        self._rules = rules
        # By hash and time: what was deleted may have come back in another form.
        self._bases: dict[tuple[str, float], str | None] = {}

    def survey(self, now: float) -> Survey:
        fates, now = self._archives(now)
        self._judge(fates, now)
        here = {fate.hash: fate.modified for fate in fates}
        leftovers = [
            key
            for key, hash, modified in self._records()
            if now - modified > SHORTEST_AGE
            and (
                hash not in here
                # a push before the last one
                or (key.startswith(PUSHED) and modified < here[hash])
            )
        ]
        return Survey(fates, leftovers, now)

    def delete(
        self, batch: set[str], fresh: Survey, announced: _Announced, done: Collected
    ) -> None:
        """Delete what of *batch* nothing speaks for in the *fresh* survey either."""
        left = {fate.hash: fate.base for fate in fresh.fates}
        going = [fate for fate in fresh.goes if fate.hash in batch]
        for fate in going:
            if fate.hash in left.values():
                continue  # of a delta that is not in this batch, and will be deleted
            announced.require()
            _delete(self._store, archive_key(fate.hash))
            del left[fate.hash]
            _delete(self._store, provenance_key(fate.hash))
            for beside in (renewals_key(fate.hash), signatures_key(fate.hash)):
                for item in self._store.list(beside):
                    _delete(self._store, item.key)
            done.deleted.append(fate)
        done.spared += sorted(batch & left.keys())

    def _archives(self, now: float) -> tuple[list[Fate], float]:
        found = list(stored_archives(self._store))
        self._read_bases(
            (hash, item.modified)
            for hash, item in found
            if (hash, item.modified) not in self._bases
        )
        pushed: dict[str, float] = {}
        for item in self._store.list(PUSHED):
            hash = item.key.split("/")[2]
            pushed[hash] = max(item.modified, pushed.get(hash, 0.0))
        fates = [
            Fate(
                hash,
                item.size,
                max(item.modified, pushed.get(hash, 0.0)),
                self._bases[hash, item.modified],
            )
            for hash, item in found
            if (hash, item.modified) in self._bases
        ]
        fates.sort(key=lambda fate: (-fate.modified, fate.hash))
        return fates, max([now, *(fate.modified for fate in fates)])

    def _read_bases(self, versions: Iterable[tuple[str, float]]) -> None:
        def read(version: tuple[str, float]) -> None:
            try:
                self._bases[version] = read_header(self._store, version[0]).base
            except KeyMissing:
                pass  # deleted since the listing

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(read, versions):
                pass

    def _judge(self, fates: list[Fate], now: float) -> None:
        """Write down everything that speaks for an archive."""
        rules = self._rules
        known = {fate.hash: fate for fate in fates}
        for hash, reason in self._channel_reasons():
            if hash in known and reason not in known[hash].reasons:
                known[hash].reasons.append(reason)
        for place, fate in enumerate(fates):
            if fate.hash in rules.hashes:
                fate.reasons.append("named")
            if place < rules.keep_last:
                fate.reasons.append(f"one of the {rules.keep_last} newest")
            if now - fate.modified < rules.older_than:
                fate.reasons.append("young")
        for fate in fates:
            if fate.reasons and fate.base in known:
                reason = f"base of {fate.hash[:12]}"
                known[fate.base].reasons.append(reason)

    def _channel_reasons(self) -> Iterator[tuple[str, str]]:
        rules = self._rules
        for channel in read_channels(self._store):
            if channel.hash is None:
                continue
            yield channel.hash, f"channel {channel.name}"
            if rules.channels is None or channel.name in rules.channels:
                for change in channel.changes[1 : rules.history]:
                    if change.hash and change.hash != channel.hash:
                        yield change.hash, f"channel {channel.name} #{change.number}"

    def _records(self) -> Iterator[tuple[str, str, float]]:
        """Yield key, archive and time of what is kept beside archives."""
        for item in self._store.list("provenance/"):
            name = item.key.partition("/")[2]
            yield item.key, name.removesuffix(".json"), item.modified
        for item in self._store.list("signatures/"):
            yield item.key, item.key.split("/")[1], item.modified
        for item in self._store.list(PUSHED):
            yield item.key, item.key.split("/")[2], item.modified


class _Announced:
    """The time in which a collection has told everybody what it will delete.

    ``time`` is when that was, by the clock of the store.
    """

    def __init__(self, store: Store, hashes: set[str], by: str) -> None:
        self._store = store
        token = os.urandom(8).hex()
        self._announcement = Announcement(token, by, frozenset(hashes))
        self.time = 0.0

    def __enter__(self) -> _Announced:
        data = self._announcement.encode()
        if not self._put(data):
            self._take_over()
            if not self._put(data):
                raise self._busy()
        self.time = self._time_of(RUNNING)
        return self

    def __exit__(self, *_: object) -> None:
        if self._stands():
            _delete(self._store, RUNNING)

    def _put(self, data: bytes) -> bool:
        """Announce it; whether nobody else has. The answer to a put may be lost."""
        return self._store.put(RUNNING, io.BytesIO(data)) or self._stands()

    def _stands(self) -> bool:
        running = Announcement.read(self._store)
        return running is not None and running.token == self._announcement.token

    def require(self) -> None:
        """Raise StoreError unless the announcement still stands."""
        if not self._stands():
            raise StoreError(
                f"somebody removed {RUNNING} from {self._store.url}, or took over the "
                "garbage collection because it took too long; this one has stopped "
                "between two archives. Run it again",
                url=self._store.url,
                key=RUNNING,
            )

    def _take_over(self) -> None:
        """Remove the announcement of a collection that died long ago."""
        probe = f"gc/clock-{self._announcement.token}"
        self._store.put(probe, io.BytesIO(b""))
        try:
            since = self._time_of(RUNNING)
            if since and self._time_of(probe) - since < SHORTEST_AGE:
                raise self._busy()
        finally:
            _delete(self._store, probe)
        _delete(self._store, RUNNING)

    def _busy(self) -> StoreError:
        running = Announcement.read(self._store)
        whose = f" by {running.by}" if running else ""
        return StoreError(
            f"another garbage collection of {self._store.url}{whose} is running; wait "
            f"for it, or, if it was killed, delete {RUNNING} there",
            url=self._store.url,
            key=RUNNING,
        )

    def _time_of(self, key: str) -> float:
        times = [i.modified for i in self._store.list(key) if i.key == key]
        return times[0] if times else 0.0


def _delete(store: Store, key: str) -> None:
    try:
        store.delete(key)
    except KeyMissing:
        pass  # it never was, or a request was repeated
