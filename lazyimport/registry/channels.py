"""Channels of a store: read, pointed to another archive, rolled back, removed.

A change replaces the version that its writer has read, and no other: nobody overwrites
what they have not seen.

Anybody who can write to the store may have written a change. So only changes count
that a trusted key has signed, or else, for those who sign, their own key. And where
keys are trusted no other change is written: no node would take it.
"""

from __future__ import annotations

import io
import time
from contextlib import suppress
from functools import partial
from typing import Any

from lazyimport.errors import ChannelError, KeyMissing, StoreError, StoreMissing
from lazyimport.registry.channel import (
    HISTORY,
    LARGEST,
    LARGEST_CHANGE,
    LAST,
    Change,
    Channel,
)
from lazyimport.registry.gc_lock import claim
from lazyimport.registry.layout import CHANNELS, change_key, channel_key, channel_of
from lazyimport.registry.signer import Signer
from lazyimport.registry.signing import Trusted
from lazyimport.stores import MutableStore, ReadStore, Store
from lazyimport.stores.side_by_side import side_by_side
from lazyimport.units import utc


def read_channel(store: ReadStore, name: str) -> Channel:
    """Return the channel *name*, also if it was removed.

    Raises ChannelError if there is none or it cannot be read, and StoreError.
    """
    key = channel_key(name)
    try:
        data = store.read(key, 0, LARGEST + 1)
    except KeyMissing:
        raise ChannelError(
            f"there is no channel {name!r} in {store.url}; see 'lazyimport channel ls "
            f"--store {store.url}', or make it: lazyimport channel set {name} HASH",
            channel=name,
            store=store.url,
        ) from None
    return Channel.decode(data, name, store.url)


def read_channels(store: Store) -> list[Channel]:
    """Return all channels of *store* by name, removed ones among them.

    Raises ChannelError if any of them cannot be read, and StoreError.
    """
    names = [channel_of(item.key) for item in store.list(CHANNELS)]
    calls = (partial(read_channel, store, name) for name in names if name)
    return side_by_side(*calls)


def set_channel(
    store: MutableStore,
    name: str,
    hash: str,
    *,
    by: str,
    message: str = "",
    commit: str = "",
    valid_for: int | None = None,
    signer: Signer | None = None,
    trusted: Trusted | None = None,
    only_sign: bool = False,
) -> Channel:
    """Point the channel *name* to the archive *hash*; return it as it is now.

    Nothing is changed if it points there already, unless *signer* is to sign that
    and has not, or it has expired, or *valid_for* is given: the seconds after which
    the channel no longer counts, 0 for never; None leaves that as it was. A change
    that stands is then refreshed. With *trusted* keys, one of them must have signed
    the archive, and *signer* be one of them. With *only_sign* the channel must point
    there already.

    Raises ArchiveMissing if the store does not have the archive with its base,
    SignatureError, ChannelError if another writer was first, and StoreError.
    """
    edit = _Edit(store, name, signer, trusted)
    edit.require(hash)
    channel = edit.existing if only_sign else edit.channel
    if channel is not None and channel.hash == hash:
        newest = channel.newest
        if edit.stands(newest):
            if valid_for is None and not newest.is_expired():
                return channel
            return edit.write(newest.facts, valid_for, over=True)
    elif only_sign:
        raise edit.error(
            f"channel {name!r} of {store.url} does not point to {hash}; to change that: "
            f"lazyimport channel set {name} {hash}"
        )
    facts = {"hash": hash, "by": by, "commit": commit, "message": message}
    return edit.write(facts, valid_for)


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

    *to* is the number of a change, or a hash of one, of which the first digits are
    enough; None is the last archive before the present one. A rollback is a change
    like any other, with its own number. Raises as `set_channel` does, and
    ChannelError if the history has no such change.
    """
    edit = _Edit(store, name, signer, trusted)
    target = edit.rollback_target(to)
    edit.require(str(target.hash))
    facts = {
        "hash": target.hash,
        "by": by,
        "commit": target.commit,
        "message": message or f"rollback to #{target.number}",
    }
    return edit.write(facts)


def refresh_channel(
    store: MutableStore,
    name: str,
    valid_for: int | None = None,
    *,
    signer: Signer | None = None,
    trusted: Trusted | None = None,
) -> Channel:
    """Let what the channel *name* points to count for another *valid_for* seconds.

    By default for as long as the last time. The newest change gets a new number and
    keeps all else. Raises as `set_channel` does, and ChannelError if the channel
    does not expire.
    """
    edit = _Edit(store, name, signer, trusted)
    newest = edit.existing.newest
    edit.check(newest)
    if newest.hash is None or not (valid_for or newest.valid_for):
        raise edit.error(
            f"channel {name!r} of {store.url} {'does not expire' if newest.hash else 'was removed'} "
            f"({newest}), so there is nothing to refresh; to let it expire, give "
            "--expires AGE"
        )
    edit.require(newest.hash)
    return edit.write(newest.facts, valid_for, over=True)


def remove_channel(
    store: MutableStore,
    name: str,
    *,
    by: str,
    message: str = "",
    signer: Signer | None = None,
    trusted: Trusted | None = None,
) -> Channel:
    """Point the channel *name* to nothing; its history stays.

    Raises ChannelError if there is none, or another writer was first, SignatureError
    if *signer* is not *trusted*, and StoreError.
    """
    edit = _Edit(store, name, signer, trusted)
    if edit.existing.hash is None and edit.stands(edit.existing.newest):
        return edit.existing
    facts = {"hash": None, "by": by, "commit": "", "message": message}
    return edit.write(facts, 0)


class _Edit:
    """The channel *name* as it was read, to be changed; ``channel`` if there is one."""

    def __init__(
        self,
        store: MutableStore,
        name: str,
        signer: Signer | None,
        trusted: Trusted | None,
    ) -> None:
        self._store = store
        self._name = name
        self._signer = signer
        self._trusted = trusted
        self._own = Trusted.parse(signer.public) if signer else None
        self._guard = trusted or self._own
        self.channel: Channel | None = None
        self._version: str | None = None
        try:
            key = channel_key(name)
            data, self._version = store.read_versioned(key, LARGEST + 1)
            self.channel = Channel.decode(data, name, store.url)
        except (KeyMissing, StoreMissing):
            pass  # replace() makes the folder, or says that the bucket is missing

    @property
    def existing(self) -> Channel:
        """The channel. Raises ChannelError if there is none."""
        return self.channel or read_channel(self._store, self._name)

    def require(self, hash: str) -> None:
        """Make sure that the archive *hash* is there, stays, and may be trusted."""
        claim(self._store, hash)
        if self._trusted is not None:
            self._trusted.check_archive(self._store, hash)

    def stands(self, change: Change) -> bool:
        """Whether *change* may be acted on, and the signer, if any, has signed it."""
        return self._signed(change, self._guard) and self._signed(change, self._own)

    def check(self, change: Change, prefix: str = "") -> None:
        """Raise SignatureError unless *change* may be acted on."""
        if self._guard is not None:
            what = f"{prefix}#{change.number} of channel {self._name!r} in {self._store.url}"
            self._guard.check(change.signed_text(self._name), change.signatures, what)

    def _signed(self, change: Change, keys: Trusted | None) -> bool:
        return keys is None or change.signer(self._name, keys) is not None

    def rollback_target(self, to: int | str | None) -> Change:
        """Return the change that `roll_back` goes to."""
        channel = self.existing
        older = [change for change in channel.changes[1:] if change.hash]
        if to is None:
            # what nobody vouches for is not where the channel was
            stands = self._signed(channel.newest, self._guard)
            found = [c for c in older if not stands or c.hash != channel.hash]
            wanted = "other archive"
        elif isinstance(to, int):
            found = [change for change in older if change.number == to]
            wanted = f"change #{to} that names an archive"
        else:
            found = [c for c in older if str(c.hash).startswith(to)]
            wanted = f"archive {to}"
            if len({change.hash for change in found}) > 1:
                found, wanted = [], f"single archive that begins with {to}"
        for change in found:
            if self._signed(change, self._guard):
                return change
        if found:
            self.check(found[0])
        count = len(channel.changes)
        raise self.error(
            f"cannot roll back channel {channel.name!r} of {self._store.url}: its history of "
            f"{count} change{'s' * (count != 1)} has no {wanted} before this one; see "
            f"'lazyimport channel log {channel.name}'"
        )

    def write(
        self, facts: dict[str, Any], valid_for: int | None = None, *, over: bool = False
    ) -> Channel:
        """Put a change with *facts* before the others, or *over* the newest one."""
        change = self._new_change(facts, valid_for)
        self.check(change, "nothing was changed: what would be ")
        size = len(change.encode())
        if size > LARGEST_CHANGE:
            raise self.error(
                f"nothing was changed: the change of channel {self._name!r} would have "
                f"{size} bytes, and {LARGEST_CHANGE} is the most; shorten its message"
            )
        older = [c for c in self._changes[over:] if c.number < change.number]
        changed = Channel(self._name, [change, *older][:HISTORY], changed=True)
        key = channel_key(self._name)
        if self._store.replace(key, changed.encode(), self._version):
            self._record(change)
            return changed
        now = read_channel(self._store, self._name)
        # A store that repeats a request whose answer got lost is refused by itself.
        if any(found.facts == change.facts for found in now.changes):
            now.changed = True
            self._record(change)
            return now
        raise self.error(
            f"channel {self._name!r} of {self._store.url} was changed by somebody else at "
            f"the same moment, and not by you: it points to {now.hash or 'nothing'} now "
            f"({now.newest}); see 'lazyimport channel log {self._name}', and repeat the "
            "command if you still want it"
        )

    @property
    def _changes(self) -> list[Change]:
        return self.channel.changes if self.channel else []

    def _new_change(self, facts: dict[str, Any], valid_for: int | None) -> Change:
        """Return a change with *facts*, which has the next number and is signed."""
        changes = self._changes
        counting = [c for c in changes if self._signed(c, self._guard)]
        if valid_for is None:
            valid_for = counting[0].valid_for if counting else 0
        # Nodes without keys may have seen what does not count.
        known = [c.number for c in changes if c in counting or c.number <= LAST // 2]
        number = max(known, default=0) + 1
        if number > LAST:
            raise self.error(
                f"nothing was changed: channel {self._name!r} of {self._store.url} has "
                f"no number after #{LAST}, which nobody reaches by changing it; delete "
                f"{channel_key(self._name)} there, and set the channel again"
            )
        facts = {"at": utc(time.time()), **facts, "number": number}
        for name in ("valid_for", "expires", "signatures"):
            facts.pop(name, None)
        if valid_for:
            facts |= {"valid_for": valid_for, "expires": utc(time.time() + valid_for)}
        change = Change(facts)
        if self._signer is not None:
            signature = self._signer.sign(change.signed_text(self._name))
            facts["signatures"] = [signature]
        return change

    def _record(self, change: Change) -> None:
        """Write down for good that this was changed; the channel forgets in time."""
        with suppress(StoreError):  # the change itself is made
            key = change_key(self._name, change.number, change.at)
            self._store.put(key, io.BytesIO(change.encode()))

    def error(self, text: str) -> ChannelError:
        """Return the error that says *text*."""
        return ChannelError(text, channel=self._name, store=self._store.url)
