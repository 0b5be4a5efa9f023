"""Garbage collection: deleting the archives of a store that nobody needs.

`lazyimport.registry.survey` says which. They go in batches, each announced before it is
looked at again (see `lazyimport.registry.gc_lock`), deltas before their bases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from lazyimport.errors import LazyImportError
from lazyimport.registry.archives import delete_object, delete_record
from lazyimport.registry.blobs import StoredBlob
from lazyimport.registry.gc_lock import Announced
from lazyimport.registry.layout import CLOCK, archive_key, recorded_hash
from lazyimport.registry.survey import Rules, StoredArchive, Survey, Surveyor, sweep
from lazyimport.reporting import SILENT, Reporter
from lazyimport.stores import Store
from lazyimport.stores.side_by_side import side_by_side

#: Archives deleted under one announcement.
BATCH = 100


@dataclass
class Collected:
    """What `collect` did.

    ``deleted`` are archives, ``spared`` hashes of those that were needed again by
    then, ``blobs`` are large files that were deleted, ``leftovers`` the number of other
    things.
    """

    deleted: list[StoredArchive] = field(default_factory=list)
    blobs: list[StoredBlob] = field(default_factory=list)
    spared: list[str] = field(default_factory=list)
    leftovers: int = 0


def collect(
    store: Store, rules: Rules, by: str, reporter: Reporter = SILENT
) -> Collected:
    """Delete what a survey finds no reason to keep; return what was done.

    *by* tells others who it was. Safe beside pushes, changes of channels and other
    collections. If it is killed, what is in the store stays whole, and the next one
    goes on.

    Raises what a survey raises, before anything is deleted or between two
    batches, and StoreError if another collection runs. The message says how
    many had been deleted by then.
    """
    done, surveyor = Collected(), Surveyor(store, rules)
    try:
        next(iter(store.list(CLOCK)), None)  # a folder that is gone is not made again
        with Announced(store, set(), by) as announced:
            pass  # its time is of the store's clock, by which objects are dated
        planned = surveyor.survey(announced.time)
        going = [each.hash for each in planned.goes]
        for number, batch in enumerate(_batches(going)):
            with Announced(store, batch, by) as announced:
                fresh = surveyor.survey(announced.time)
                _delete(store, batch, fresh, announced, done)
            step = number * BATCH + len(batch)
            reporter.step("deleting archives", step, len(going))
        for batch in _batches(sorted({blob.name for blob in planned.blobs})):
            with Announced(store, batch, by) as announced:
                for blob in surveyor.survey(announced.time).blobs:
                    if blob.name in batch:
                        announced.require()
                        delete_object(store, blob.key)
                        done.blobs.append(blob)
        # A push may be about to put the archive beside which a leftover lies.
        hashes = sorted({recorded_hash(key) or "" for key in planned.leftovers})
        for batch in _batches(hashes):
            with Announced(store, batch - {""}, by) as announced:
                for key in surveyor.survey(announced.time).leftovers:
                    if (recorded_hash(key) or "") in batch:
                        announced.require()
                        done.leftovers += delete_record(store, key)
        done.leftovers += len(sweep(store, planned.now, dry_run=False))
    except LazyImportError as error:
        count = len(done.deleted) or "nothing"
        text = f"{error} ({count} had been deleted by then)"
        raise error.with_text(text) from error.__cause__
    return done


def _batches(names: Iterable[str]) -> Iterator[set[str]]:
    rest = iter(names)
    while batch := {*islice(rest, BATCH)}:
        yield batch


def _delete(
    store: Store, batch: set[str], fresh: Survey, announced: Announced, done: Collected
) -> None:
    """Delete what of *batch* has no reason to stay in the *fresh* survey either.

    The records beside it go after it, side by side: nothing reads them any more.
    """
    left = {each.hash for each in fresh.archives}
    uses = Counter(each.base for each in fresh.archives)
    records: list[str] = []
    for each in fresh.goes:
        if each.hash not in batch or uses[each.hash]:
            continue  # the base of a delta that is in a later batch
        announced.require()
        delete_object(store, archive_key(each.hash))
        left.remove(each.hash)
        uses[each.base] -= 1
        done.deleted.append(each)
        records += fresh.records.get(each.hash, ())
    side_by_side(*(partial(delete_record, store, key) for key in records))
    done.spared += sorted(batch & left)
