"""Channels: names in a store, each saying which archive it means now.

A channel is the object ``channels/<name>.json``::

    {
        "format": 1,
        "channel": "prod",
        "changes": [
            {
                "number": 7,
                "hash": "4be8...",
                "at": "2026-11-22T20:07:31Z",
                "by": "ada@build-3",
                "commit": "9f31...",
                "message": "...",
                "signatures": [{"key": "ssh-ed25519 AAAA...", "signature": "..."}],
            },
            ...,
        ],
    }

The changes are in order, the newest first, and it says which archive is meant.
Older ones are kept for `rollback`, up to `HISTORY` in all. A removed channel
stays as an object whose newest change names no archive, so that its numbers go
on: a number is used once, and the state of a channel is never an older one.

Two writers::

    A: reads the object, version 5      B: reads the object, version 5
    A: replaces version 5 (it is 6 now)
                                        B: replaces version 5: refused

So nothing is overwritten that its writer has not seen.
"""

from __future__ import annotations

import json

from lazyimport.cache.layout import CHANNELS, Layout
from lazyimport.errors import (
    ArchiveMissing,
    CacheError,
    ChannelError,
    KeyMissing,
    SettingsError,
    SignatureError,
    StoreError,
    StoreMissing,
)
from lazyimport.files import AtomicFile
from lazyimport.registry.archives import read_header, require_archive
from lazyimport.registry.gc_lock import wait_until_decided
from lazyimport.registry.signing import Trusted, archive_signer
from lazyimport.stores import open_store
from lazyimport.values import check_channel, check_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lazyimport.registry.signing import Signer
    from lazyimport.settings import Settings
    from lazyimport.stores import MutableStore, ReadStore, Store

__all__ = [
    "HISTORY",
    "Change",
    "Channel",
    "channel_key",
    "read_channel",
    "read_channels",
    "remove_channel",
    "resolve_channel",
    "roll_back",
    "set_channel",
]

#: Changes that a channel remembers.
HISTORY = 50
#: No channel that lazyimport wrote is larger; nothing larger is read.
LARGEST = 1 << 20

_FOLDER = "channels/"
_SUFFIX = ".json"


class Change:
    """One change of a channel.

    ``number`` counts the changes of the channel from 1; ``hash`` is the archive
    from then on, None if the channel was removed; ``at`` the time in UTC by the
    writer's clock, ``by`` who, ``commit`` the git commit of the archive where
    it is known, ``message`` why. ``facts`` is all of it as it is stored.
    """

    __slots__ = ("at", "by", "commit", "facts", "hash", "message", "number")

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        self.number: int = facts["number"]
        self.hash: str | None = facts["hash"] and check_hash(facts["hash"])
        self.at = str(facts.get("at") or "")
        self.by = str(facts.get("by") or "")
        self.commit = str(facts.get("commit") or "")
        self.message = str(facts.get("message") or "")

    @property
    def signatures(self) -> list[dict[str, str]]:
        """The signatures, each with a public ``key`` and a ``signature``."""
        found = self.facts.get("signatures")
        return [
            {"key": str(one.get("key")), "signature": str(one.get("signature"))}
            for one in (found if isinstance(found, list) else [])
            if isinstance(one, dict)
        ]

    def signed_text(self, channel: str) -> bytes:
        """Return what a signature is over: the channel's name and all facts.

        So that a change counts for this channel and place in its history only.
        """
        facts = {k: v for k, v in self.facts.items() if k != "signatures"}
        text = json.dumps(
            {**facts, "channel": channel}, sort_keys=True, separators=(",", ":")
        )
        return f"lazyimport channel 1\n{text}".encode()


class Channel:
    """A channel as it was read: ``name``, and ``changes``, the newest first."""

    __slots__ = ("changes", "name")

    def __init__(self, name: str, changes: list[Change]) -> None:
        self.name = name
        self.changes = changes

    @property
    def newest(self) -> Change:
        """The change that counts."""
        return self.changes[0]

    @property
    def hash(self) -> str | None:
        """The archive that the channel means now; None if it was removed."""
        return self.newest.hash

    def encode(self) -> bytes:
        """Return the object to store."""
        changes = [change.facts for change in self.changes[:HISTORY]]
        facts = {"format": 1, "channel": self.name, "changes": changes}
        return json.dumps(facts, indent=1, ensure_ascii=False).encode()

    @classmethod
    def decode(cls, data: bytes, name: str, url: str) -> Channel:
        """Return the channel that *data* holds. Raises ChannelError."""
        what = f"{url}/{channel_key(name)}"
        try:
            facts = json.loads(data)
            if facts["format"] != 1:
                raise ChannelError(
                    f"{what} is of format {facts['format']!r}, which this lazyimport "
                    "does not know; use the release that wrote it, or a newer one",
                    channel=name,
                    store=url,
                )
            if facts["channel"] != name:
                raise ValueError(f"it is the channel {facts['channel']!r}")
            changes = [Change(change) for change in facts["changes"]]
            numbers = [change.number for change in changes]
            if not numbers or not all(type(n) is int for n in numbers):
                raise ValueError("it has no numbered changes")
            if sorted(set(numbers), reverse=True) != numbers or numbers[-1] < 1:
                raise ValueError("its changes are not in order")
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise ChannelError(
                f"{what} is no channel that lazyimport wrote ({error}); delete it "
                "there and set the channel again",
                channel=name,
                store=url,
            ) from error
        return cls(name, changes)


def channel_key(name: str) -> str:
    """Return the key under which a store keeps the channel *name*."""
    return f"{_FOLDER}{check_channel(name)}{_SUFFIX}"


def read_channel(store: ReadStore, name: str) -> Channel:
    """Return the channel *name*, also if it was removed.

    Raises ChannelError if there is none or it makes no sense, and StoreError.
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
    found = []
    for item in store.list(_FOLDER):
        if item.key.endswith(_SUFFIX):
            name = item.key[len(_FOLDER) : -len(_SUFFIX)]
            found.append(read_channel(store, name))
    return found


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
    """Let the channel *name* mean the archive *hash*; return it as it is now.

    Nothing is changed if it means that archive already, unless *signer* is to
    sign it and has not. With *trusted* keys, one of them must have signed the
    archive.

    Raises ArchiveMissing if the store does not hold the archive with its base,
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
    """Let the channel *name* mean again what it meant before.

    *to* is the number of a change, or a hash of one; None is the last archive
    before the present one. A rollback is a change like any other, with its own
    number. Raises as `set_channel` does, and ChannelError if the history holds
    nothing of the kind.
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
    """Let the channel *name* mean nothing; its history stays.

    Raises ChannelError if there is none, or another writer was first.
    """

    def decide(channel: Channel | None) -> dict[str, Any] | None:
        if (channel or read_channel(store, name)).hash is None:
            return None
        return {"hash": None, "by": by, "commit": "", "message": message}

    return _change(store, name, decide, signer)


def resolve_channel(settings: Settings, name: str) -> Change:
    """Return what the channel *name* says now, in the store of *settings*.

    With trusted keys, it must be signed with one of these, and be no older
    than what this node has seen of it. There is no guess: if the store cannot
    be asked, that is an error, and it names the archive that the node got last.

    Raises SettingsError, ChannelError, SignatureError or StoreError.
    """
    if settings.store is None:
        raise SettingsError(
            f"no store is named in which channel {name!r} could be looked up; set "
            "LAZYIMPORT_STORE or pass store=",
            name="store",
            value=None,
        )
    trusted = Trusted.parse(settings.trusted_keys) if settings.trusted_keys else None
    store = open_store(settings.store, timeout=settings.timeout)
    seen = _Seen(settings, name, store.url)
    try:
        channel = read_channel(store, name)
    except StoreError as error:
        hint = f"channel {name!r} can be looked up there only"
        if seen.hash:
            hint += (
                f"; to run what it meant when this node last asked (#{seen.number}), "
                f"set LAZYIMPORT_HASH={seen.hash}"
            )
        raise error.with_text(f"{error}; {hint}") from error
    change = channel.newest
    if trusted is not None:
        what = f"#{change.number} of channel {name!r} in {store.url}"
        trusted.check(change.signed_text(name), change.signatures, what)
        seen.refuse_older(change, name, store.url)
    if change.hash is None:
        raise ChannelError(
            f"channel {name!r} of {store.url} was removed"
            f"{_details(change)}; use another, or set it again: lazyimport channel "
            f"set {name} HASH",
            channel=name,
            store=store.url,
        )
    seen.write(change)
    return change


class _Seen:
    """The newest change of one channel that this node knows of, in its cache.

    A help and not a promise: where the cache cannot be written there is none.
    """

    def __init__(self, settings: Settings, name: str, url: str) -> None:
        self._cache = Layout(settings.cache_dir)
        self.path = self._cache.channel_path(url, name)
        self._off = settings.cache_mode == "memory"
        self.number = 0
        self.hash: str | None = None
        try:
            if not self._cache.exists():
                return
            with open(self.path, "rb") as file:
                facts = json.loads(file.read())
            self.hash = check_hash(facts["hash"])
            self.number = int(facts["number"])
        except (OSError, CacheError, ValueError, TypeError, LookupError):
            self.hash = None

    def refuse_older(self, change: Change, name: str, url: str) -> None:
        """Raise SignatureError if the store shows an older state than before."""
        same = change.hash in (self.hash, None)
        if change.number > self.number or (change.number == self.number and same):
            return
        raise SignatureError(
            f"channel {name!r} of {url} is at #{change.number} ({change.hash}), and "
            f"this node has seen #{self.number} ({self.hash}) before: somebody put an "
            f"older state back. If that was you, delete {self.path}; to change a "
            "channel, use 'lazyimport channel set' or 'rollback'"
        )

    def write(self, change: Change) -> None:
        """Remember *change*, unless a newer one is known."""
        known = self.number == change.number and self.hash == change.hash
        if self._off or known or self.number > change.number:
            return
        facts = {"number": change.number, "hash": change.hash}
        try:
            self._cache.make_folder(CHANNELS)
            with AtomicFile(self.path, 0o600, durable=False) as file:
                file.write(json.dumps(facts).encode())
        except (OSError, CacheError):
            pass  # the archive will need the cache too, and say what is wrong with it


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
    """Put what *decide* wants in front of the changes, if nobody else did."""
    import time

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
    change = Change(
        {
            "number": channel.newest.number + 1 if channel is not None else 1,
            **facts,
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
    )
    if signer is not None:
        change.facts["signatures"] = [signer.sign(change.signed_text(name))]
    changes = [change, *(channel.changes if channel is not None else [])]
    changed = Channel(name, changes[:HISTORY])
    if store.replace(key, changed.encode(), version):
        return changed
    now = read_channel(store, name)
    # A store that repeats a request whose answer got lost is refused by itself.
    if any(found.facts == change.facts for found in now.changes):
        return now
    raise ChannelError(
        f"channel {name!r} of {store.url} was changed by somebody else in the same "
        f"moment, and not by you: it means {now.hash or 'nothing'} now"
        f"{_details(now.newest)}; see 'lazyimport channel log {name}', and repeat the "
        "command if you still want it",
        channel=name,
        store=store.url,
    )


def _outlast_collection(
    store: MutableStore, changed: Channel, by: str, signer: Signer | None
) -> None:
    """Make sure that no garbage collection has missed the change just made.

    If one did, put back what was before, and raise ArchiveMissing.
    """
    hash = str(changed.hash)
    try:
        needed = [hash]
        try:
            needed += filter(None, [read_header(store, hash).base])
        except KeyMissing:
            pass  # it was faster; require_archive() says so
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
            f"set to, so it was put back to {before or 'nothing'}: {error}"
        ) from error


def _details(change: Change) -> str:
    who = f" by {change.by}" if change.by else ""
    why = f": {change.message}" if change.message else ""
    return f" (#{change.number}, {change.at}{who}{why})"


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
        raise ChannelError(
            f"cannot roll back channel {channel.name!r} of {url}: its history of "
            f"{len(channel.changes)} change{'s' * (len(channel.changes) != 1)} has no "
            f"{wanted} before this one; see 'lazyimport channel log {channel.name}'",
            channel=channel.name,
            store=url,
        )
    return found[0]
