"""The log of a store: what was pushed, pointed to and deployed, and by whom.

It is made of records under names that are written once: provenance, changes of
channels, deployments. Pushes are those of the archives that are still there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from lazyimport.errors import ChannelError
from lazyimport.registry.channel import Change
from lazyimport.registry.history import newest_first, read_listed, read_records
from lazyimport.registry.layout import CHANGES, DEPLOYMENTS, change_of, is_deployment
from lazyimport.registry.listing import list_store
from lazyimport.registry.provenance import commit_in
from lazyimport.registry.signing import Trusted
from lazyimport.reporting import SILENT, Reporter
from lazyimport.stores import Store
from lazyimport.units import utc

#: Objects that a deployment has at most, one for each thing that came of it.
_OUTCOMES = 3
_RUNNING = "/running.json"


class Event(NamedTuple):
    """Something that was done *at* a time (ISO 8601, UTC) *by* somebody.

    ``kind`` is ``push``, ``channel``, ``deploy`` or ``rollback``, and ``subject`` the
    channel or the application; ``hash`` is the archive, None if a channel was
    removed. ``outcome`` is that of a deployment, ``message`` says why. ``trusted`` is
    whether a trusted key has signed it, None where no signature is asked for.

    Of a push, ``branch`` and ``size``, the bytes of the object, are those of the
    archive; ``applications`` run it, as the last deployments that came up say.
    """

    at: str
    kind: str
    subject: str
    hash: str | None
    by: str
    commit: str
    outcome: str
    message: str
    trusted: bool | None
    branch: str = ""
    size: int | None = None
    applications: tuple[str, ...] = ()


def read_log(
    store: Store,
    limit: int,
    trusted: Trusted | None = None,
    reporter: Reporter = SILENT,
) -> list[Event]:
    """Return at most *limit* events of *store*, the newest first.

    Anybody who can write to the store can write such records; with *trusted* keys
    events say whether one of them has signed them. Raises StoreError.
    """
    # Of one second, in the order in which people work: what is pushed gets a channel,
    # and is deployed.
    deployments = list(_deployments(store, limit, trusted))
    found = [
        *deployments,
        *_changes(store, limit, trusted),
        *_pushes(store, limit, _running(deployments), reporter),
    ]
    return sorted(found, key=lambda event: event.at, reverse=True)[:limit]


def _pushes(
    store: Store, limit: int, running: Mapping[str, str], reporter: Reporter
) -> Iterator[Event]:
    for archive in list_store(store, limit, reporter)[0]:
        facts = archive.provenance
        at = str(facts.get("time") or utc(archive.modified))
        by, commit = str(facts.get("builder") or ""), commit_in(facts)
        apps = tuple(sorted(a for a, hash in running.items() if hash == archive.hash))
        branch = str(facts.get("branch") or "")
        push = Event(at, "push", "", archive.hash, by, commit, "", "", None)
        yield push._replace(branch=branch, size=archive.size, applications=apps)


def _running(deployments: Iterable[Event]) -> dict[str, str]:
    """Return what each application runs, as its newest deployment that came up says."""
    found: dict[str, str] = {}
    for each in deployments:
        if each.outcome == "running" and each.trusted is not False:
            found.setdefault(each.subject, str(each.hash))
    return found


def _changes(store: Store, limit: int, trusted: Trusted | None) -> Iterator[Event]:
    """Yield the newest changes of channels, the newest first.

    One that was refreshed is there again under a higher number, and yielded once.
    """
    known = {item.key: change_of(item.key) or ("", 0) for item in store.list(CHANGES)}
    keys = [key for key, (channel, _) in known.items() if channel]
    # A name has the second and the number, and names are sorted as texts.
    keys.sort(key=lambda key: (key.partition("Z-")[0], known[key]), reverse=True)
    found = 0
    newer: Event | None = None
    while keys and found < limit:
        some, keys = keys[:limit], keys[limit:]
        for key, data in read_listed(store, some):
            event = _change(data, *known[key], trusted)
            if event and event != newer:
                newer, found = event, found + 1
                yield event


def _change(
    data: bytes, channel: str, number: int, trusted: Trusted | None
) -> Event | None:
    """Return the event of a record; None for nothing that lazyimport wrote."""
    try:
        change = Change(json.loads(data))
    except (ValueError, TypeError, LookupError, RecursionError, ChannelError):
        return None
    if change.number != number:
        return None
    signed = change.signer(channel, trusted) is not None if trusted else None
    return Event(
        change.at,
        "channel",
        channel,
        change.hash,
        change.by,
        change.commit,
        "",
        change.message,
        signed,
    )


def _deployments(store: Store, limit: int, trusted: Trusted | None) -> Iterator[Event]:
    keys = [item.key for item in store.list(DEPLOYMENTS)]
    keys = [key for key in keys if is_deployment(key)]
    keys.sort(key=lambda key: key.split("/")[2])  # by the time in it
    # and for each application the last one that came up, whenever that was
    ran = {key.split("/")[1]: key for key in keys if key.endswith(_RUNNING)}
    wanted = sorted({*keys[-limit * _OUTCOMES :], *ran.values()})
    records = read_records(store, wanted, trusted)
    for each in newest_first(each for _, each in records):
        yield Event(
            each.began,
            "rollback" if each.back else "deploy",
            each.app,
            each.hash,
            each.by,
            "",
            each.outcome,
            each.reason,
            each.trusted if trusted else None,
        )
