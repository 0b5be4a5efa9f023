"""Resolution: which archive a channel points to, and whether a process may run it.

A node refuses a state of a channel that is older than one it has seen and, where
signatures are required, an archive that no trusted key has signed.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any

from lazyimport.cache.layout import CHANNELS, LOCKS, SIGNATURES, Layout
from lazyimport.cache.locking import CacheLock
from lazyimport.errors import (
    CacheError,
    ChannelError,
    SettingsError,
    SignatureError,
    StoreError,
)
from lazyimport.files import AtomicFile
from lazyimport.registry.channel import Change
from lazyimport.registry.channels import read_channel
from lazyimport.registry.opening import store_of
from lazyimport.registry.signing import Trusted, archive_text
from lazyimport.regular import open_regular
from lazyimport.settings import Settings
from lazyimport.stores import ReadStore
from lazyimport.stores.keys import place_of
from lazyimport.values import check_hash

#: Seconds to wait for another process that records a change of the same channel.
_SECONDS = 30.0


def resolve_channel(
    settings: Settings, name: str, store: ReadStore | None = None
) -> Change:
    """Return the change of the channel *name* that counts, in the store of *settings*.

    *store* is that store if it is open already.

    The change must not have expired, nor have a number below ``channel_minimum``.
    With trusted keys, it must be signed with one of these, and be no older than what
    this node has seen; a node that does not know any more what it has seen, or cannot
    record it, refuses. There is no guess: if the store cannot be asked, that is an
    error, and it names the archive that the node saw last.

    Raises SettingsError, ChannelError, SignatureError or StoreError.
    """
    store = store or store_of(settings, f"in which channel {name!r} could be looked up")
    trusted = Trusted.of(settings)
    sighting = _Sighting(settings, name, store.url, signed=trusted is not None)
    try:
        change = read_channel(store, name).newest
    except StoreError as error:
        raise error.with_text(f"{error}; {sighting.hint}") from error.__cause__
    if trusted is not None:
        what = f"#{change.number} of channel {name!r} in {store.url}"
        trusted.check(change.signed_text(name), change.signatures, what)
        sighting.refuse_older(change)
    if change.number < settings.channel_minimum:
        raise SignatureError(
            f"channel {name!r} of {store.url} is at #{change.number}, and this process "
            f"takes nothing below #{settings.channel_minimum} "
            "(LAZYIMPORT_CHANNEL_MINIMUM): the store shows an old state of it"
        )
    sighting.write(change)
    if change.hash and not change.is_expired():
        return change
    why = "was removed"
    advice = f"use another, or set it again: lazyimport channel set {name} HASH"
    if change.hash:
        why = f"expired at {change.expires}"
        advice = (
            "the store shows an old state of it, or nobody has refreshed it: "
            f"lazyimport channel refresh {name}"
        )
    raise ChannelError(
        f"channel {name!r} of {store.url} {why} ({change}); {advice}",
        channel=name,
        store=store.url,
    )


def require_signature(
    settings: Settings, hash: str, store: ReadStore | None = None
) -> None:
    """Raise SignatureError unless a trusted key has signed the archive *hash*.

    *store* is that of *settings* if it is open already.

    The signature is checked each time, and kept in the node cache (not in the mode
    ``memory``), so that the store is asked once. Raises SettingsError if no key is
    trusted, and StoreError.
    """
    if is_known_as_signed(settings, hash):
        return
    cache, trusted = Layout(settings.cache_dir), _trusted(settings, hash)
    wish = f"in which the signature of archive {hash} could be found"
    found = trusted.check_archive(store or store_of(settings, wish), hash)
    if settings.cache_mode != "memory":
        # the archive will need the cache too, and say what is wrong with it
        with suppress(OSError, CacheError):
            path = cache.signature_path(hash)
            _write(cache, SIGNATURES, path, found, durable=False)


def is_known_as_signed(settings: Settings, hash: str) -> bool:
    """Return whether this node has a signature of the archive *hash* that counts.

    Raises SettingsError if no key is trusted.
    """
    cache, trusted = Layout(settings.cache_dir), _trusted(settings, hash)
    try:
        kept = _read(cache, cache.signature_path(hash))
    except (OSError, CacheError, ValueError):
        return False
    return bool(trusted.signer_of(archive_text(hash), [kept]))


def _trusted(settings: Settings, hash: str) -> Trusted:
    trusted = Trusted.of(settings)
    if trusted is None:
        raise SettingsError(
            f"archive {hash} must be signed (LAZYIMPORT_REQUIRE_SIGNATURE), and no "
            "key is trusted; set LAZYIMPORT_TRUSTED_KEYS",
            name="trusted_keys",
            value=None,
        )
    return trusted


def _read(cache: Layout, path: str) -> dict[str, Any]:
    """Return what the cache has in a file, nothing if there is none.

    Raises OSError or CacheError, and ValueError if it is damaged.
    """
    try:
        if not cache.exists():
            return {}
        with open(path, "rb", opener=open_regular) as file:
            facts = json.loads(file.read())
    except FileNotFoundError:
        return {}
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(facts, dict) or not facts:
        raise ValueError("it has no facts")
    return facts


def _write(
    cache: Layout, folder: str, path: str, facts: object, *, durable: bool
) -> None:
    cache.make_folder(folder)
    with AtomicFile(path, 0o600, durable=durable) as file:
        file.write(json.dumps(facts).encode())


class _Sighting:
    """The newest change of the channel *name* that this node has seen.

    It may be its removal. It lies in the node cache. With *signed*, it is one whose
    signature was checked, and is kept in every cache mode; if it cannot be read or
    written, that is a SignatureError, for somebody may then put an older state back.
    """

    def __init__(
        self, settings: Settings, name: str, url: str, *, signed: bool
    ) -> None:
        self._cache = Layout(settings.cache_dir)
        self._name = name
        self._url = url
        self._path = self._cache.channel_path(place_of(url), name, signed=signed)
        self._signed = signed
        self._written = signed or settings.cache_mode != "memory"
        self._minimum = settings.channel_minimum
        self._number, self._hash = self._load()

    def _load(self) -> tuple[int, str | None]:
        """Return number and hash of the change, 0 and None if none was seen."""
        try:
            facts = _read(self._cache, self._path)
            if not facts:
                return 0, None
            number, hash = facts["number"], facts["hash"]
            if type(number) is not int or number < 1:
                raise ValueError("it has no number")
            return number, None if hash is None else check_hash(hash)
        except CacheError as error:
            self._refuse(f"cannot be looked up ({error})")
        except OSError as error:
            self._refuse(f"cannot be read ({error.strerror})", reset=True)
        except (ValueError, LookupError) as error:
            self._refuse(f"is damaged ({error})", reset=True)
        return 0, None

    def _refuse(self, why: str, number: int = 0, *, reset: bool = False) -> None:
        """Raise SignatureError, because the record *why*, unless it may be missing.

        With *reset*, somebody has to look and remove it first.
        """
        if not self._signed or (self._minimum and not reset):
            return
        advice = "let this user write there, or set LAZYIMPORT_CHANNEL_MINIMUM="
        advice += f"{number or 'N'}, below which nothing is taken"
        if reset:
            advice = f"make sure that 'lazyimport channel log {self._name}' shows the "
            advice += "newest change, and delete the file"
        raise SignatureError(
            f"{self._path}, where this node records the newest change of channel "
            f"{self._name!r} of {self._url} that it has seen, {why}: without it, "
            f"somebody could put an older state back unnoticed; {advice}"
        )

    @property
    def hint(self) -> str:
        """What to do if the store cannot be asked."""
        hint = f"channel {self._name!r} can be looked up there only"
        if self._hash:
            hint += (
                "; to run what it pointed to when this node last asked "
                f"(#{self._number}), set LAZYIMPORT_HASH={self._hash}"
            )
        return hint

    def refuse_older(self, change: Change) -> None:
        """Raise SignatureError if *change* is older than what was seen before."""
        same = change.hash == self._hash
        if change.number > self._number or (change.number == self._number and same):
            return
        raise SignatureError(
            f"channel {self._name!r} of {self._url} is at #{change.number} "
            f"({change.hash}), and this node has seen #{self._number} "
            f"({self._hash or 'its removal'}) before: somebody put an older state "
            f"back. If that was you, delete {self._path}; to change a channel, use "
            "'lazyimport channel set' or 'rollback'"
        )

    def write(self, change: Change) -> None:
        """Record *change*, unless it or a newer one was seen before."""
        if not self._written or self._knows(change):
            return
        try:
            with self._lock():
                if not self._knows(change):  # another process may have asked meanwhile
                    facts = {"number": change.number, "hash": change.hash}
                    durable = self._signed
                    _write(self._cache, CHANNELS, self._path, facts, durable=durable)
        except (OSError, CacheError) as error:
            why = str(getattr(error, "strerror", None) or error)
            self._refuse(f"cannot be written ({why})", change.number)

    def _knows(self, change: Change) -> bool:
        number, hash = self._load()
        return number > change.number or (number, hash) == (change.number, change.hash)

    def _lock(self) -> CacheLock:
        self._cache.make_folder(LOCKS)
        return CacheLock(self._cache.lock_path(os.path.basename(self._path)), _SECONDS)
