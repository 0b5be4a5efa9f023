"""Channels of a store: read, pointed to another archive, rolled back, removed.

Two writers::

    A: reads the object, version 5      B: reads the object, version 5
    A: replaces version 5 (it is 6 now)
                                        B: replaces version 5: refused

So nothing is overwritten that its writer has not seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lazyimport.errors import ArchiveMissing, ChannelError, KeyMissing, StoreMissing
from lazyimport.registry.archives import read_header, require_archive
from lazyimport.registry.channel import HISTORY, Change, Channel
from lazyimport.registry.gc_lock import wait_until_decided
from lazyimport.registry.layout import CHANNELS, channel_key, channel_of
from lazyimport.registry.signing import Signer, Trusted, archive_signer
from lazyimport.stores import MutableStore, ReadStore, Store

#: Bytes of the largest object that is read; lazyimport writes no larger channel.
LARGEST = 1 << 20


def read_channel(store: ReadStore, name: str) -> Channel:
    """Return the channel *name*, also if it was removed.

    Raises ChannelError if there is none or it cannot be read, and StoreError.
    """
    key = channel_key(name)
    try:
        data = store.read(key, 0, LARGEST + 1)
    except KeyMissing as error:
        raise ChannelError(
            f"there is no channel {name!r} in {store.url}; see 'lazyimport channel ls "
            f"--store {store.url}', or make it: lazyimport channel set {name} HASH",
            channel=name,
            store=store.url,
        ) from error
    if len(data) > LARGEST:
        raise ChannelError(
            f"{store.url}/{key} is larger than any channel ({LARGEST} bytes); delete "
            "it there and set the channel again",
            channel=name,
            store=store.url,
        )
    return Channel.decode(data, name, store.url)


def read_channels(store: Store) -> list[Channel]:
    """Return all channels of *store* by name, removed ones among them.

    Raises ChannelError if any of them cannot be read, and StoreError.
    """
    names = [channel_of(item.key) for item in store.list(CHANNELS)]
    return [read_channel(store, name) for name in names if name]


def set_channel(
    store: MutableStore,
    name: str,
    hash: str,
    *,
    by: str,
    message: str = "",
    commit: str = "",
    signer: Signer | None = None,
    trusted: Trusted | None = None,
) -> Channel:
    """Point the channel *name* to the archive *hash*; return it as it is now.

    Nothing is changed if it points there already, unless *signer* is to sign that
    and has not. With *trusted* keys, one of them must have signed the archive.

    Raises ArchiveMissing if the store does not have the archive with its base,
    SignatureError, ChannelError if another writer was first, and StoreError.
    """
    _require(store, hash, trusted)

    def decide(channel: Channel | None) -> dict[str, Any] | None:
        if channel is not None and channel.hash == hash:
            keys = {found.get("key") for found in channel.newest.signatures}
            if signer is None or signer.public in keys:
                return None
        return {"hash": hash, "by": by, "commit": commit, "message": message}

    channel = _change(store, name, decide, signer)
    _outlast_collection(store, channel, by, signer)
    return channel


def roll_back(
    store: MutableStore,
    name: str,
    to: int | str | None = None,
    *,
    by: str,
    message: str = "",
    signer: Signer | None = None,
    trusted: Trusted | None = None,
) -> Channel:
    """Point the channel *name* to an archive that it pointed to before.

    *to* is the number of a change, or a hash of one; None is the last archive
    before the present one. A rollback is a change like any other, with its own
    number. Raises as `set_channel` does, and ChannelError if the history has no
    such change.
    """

    def decide(channel: Channel | None) -> dict[str, Any]:
        target = _rollback_target(channel or read_channel(store, name), to, store.url)
        _require(store, str(target.hash), trusted)
        return {
            "hash": target.hash,
            "by": by,
            "commit": target.commit,
            "message": message or f"rollback to #{target.number}",
        }

    channel = _change(store, name, decide, signer)
    _outlast_collection(store, channel, by, signer)
    return channel


def remove_channel(
    store: MutableStore,
    name: str,
    *,
    by: str,
    message: str = "",
    signer: Signer | None = None,
) -> Channel:
    """Point the channel *name* to nothing; its history stays.

    Raises ChannelError if there is none, or another writer was first.
    """

    def decide(channel: Channel | None) -> dict[str, Any] | None:
        if (channel or read_channel(store, name)).hash is None:
            return None
        return {"hash": None, "by": by, "commit": "", "message": message}

    return _change(store, name, decide, signer)


def _require(store: MutableStore, hash: str, trusted: Trusted | None) -> None:
    require_archive(store, hash)
    if trusted is not None:
        archive_signer(store, hash, trusted)


def _change(
    store: MutableStore,
    name: str,
    decide: Callable[[Channel | None], dict[str, Any] | None],
    signer: Signer | None,
) -> Channel:
    """Put the change that *decide* makes of the channel before the others.

    *decide* is given None if there is no channel, and returns None to change nothing.
    """
    key = channel_key(name)
    channel: Channel | None = None
    version = None
    try:
        data, version = store.read_versioned(key)
        channel = Channel.decode(data, name, store.url)
    except (KeyMissing, StoreMissing):
        pass  # replace() makes the folder, or says that the bucket is missing
    facts = decide(channel)
    if facts is None:
        assert channel is not None
        return channel
    older = channel.changes if channel is not None else []
    number = older[0].number + 1 if older else 1
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    change = Change({"number": number, **facts, "at": at})
    if signer is not None:
        change.facts["signatures"] = [signer.sign(change.signed_text(name))]
    changed = Channel(name, [change, *older][:HISTORY])
    if store.replace(key, changed.encode(), version):
        return changed
    return _lost_race(store, name, change)


def _lost_race(store: MutableStore, name: str, change: Change) -> Channel:
    """Return the channel if it has *change* after all; else raise ChannelError."""
    now = read_channel(store, name)
    # A store that repeats a request whose answer got lost is refused by itself.
    if any(found.facts == change.facts for found in now.changes):
        return now
    raise ChannelError(
        f"channel {name!r} of {store.url} was changed by somebody else in the same "
        f"moment, and not by you: it points to {now.hash or 'nothing'} now "
        f"({now.newest}); see 'lazyimport channel log {name}', and repeat the command "
        "if you still want it",
        channel=name,
        store=store.url,
    )


def _outlast_collection(
    store: MutableStore, changed: Channel, by: str, signer: Signer | None
) -> None:
    """Make sure that no garbage collection has missed the change just made.

    If one did, undo the change, and raise ArchiveMissing.
    """
    hash = str(changed.hash)
    try:
        needed = [hash]
        try:
            needed += filter(None, [read_header(store, hash).base])
        except KeyMissing:
            pass  # the collection was faster; require_archive() says so
        wait_until_decided(store, needed)
        require_archive(store, hash)
    except ArchiveMissing as error:
        before = changed.changes[1].hash if len(changed.changes) > 1 else None

        def put_back(channel: Channel | None) -> dict[str, Any] | None:
            if channel is None or channel.newest.facts != changed.newest.facts:
                return None  # somebody has changed it since
            message = f"put back: {hash[:12]} was deleted in that moment"
            return {"hash": before, "by": by, "commit": "", "message": message}

        _change(store, changed.name, put_back, signer)
        raise error.with_text(
            f"a garbage collection deleted what channel {changed.name!r} was just "
            f"pointed to, so it was put back to {before or 'nothing'}: {error}"
        ) from error


def _rollback_target(channel: Channel, to: int | str | None, url: str) -> Change:
    older = [change for change in channel.changes[1:] if change.hash]
    if to is None:
        found = [change for change in older if change.hash != channel.hash]
        wanted = "other archive"
    elif isinstance(to, int):
        found = [change for change in older if change.number == to]
        wanted = f"change #{to} that names an archive"
    else:
        found = [change for change in older if change.hash == to]
        wanted = f"archive {to}"
    if not found:
        count = len(channel.changes)
        raise ChannelError(
            f"cannot roll back channel {channel.name!r} of {url}: its history of "
            f"{count} change{'s' * (count != 1)} has no {wanted} before this one; see "
            f"'lazyimport channel log {channel.name}'",
            channel=channel.name,
            store=url,
        )
    return found[0]
