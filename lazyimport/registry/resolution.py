"""Resolution: which archive a channel points to, and what this node saw before."""

from __future__ import annotations

import json

from lazyimport.cache.layout import CHANNELS, Layout
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
from lazyimport.registry.signing import Trusted
from lazyimport.settings import Settings
from lazyimport.stores import ReadStore, open_store
from lazyimport.values import check_hash


def resolve_channel(
    settings: Settings, name: str, store: ReadStore | None = None
) -> Change:
    """Return the change of the channel *name* that counts, in the store of *settings*.

    *store* is that store if it is open already.

    With trusted keys, it must be signed with one of these, and be no older
    than what this node has seen. There is no guess: if the store cannot be asked,
    that is an error, and it names the archive that the node saw last.

    Raises SettingsError, ChannelError, SignatureError or StoreError.
    """
    if settings.store is None:
        raise SettingsError(
            f"no store is named in which channel {name!r} could be looked up; set "
            "LAZYIMPORT_STORE or pass store=",
            name="store",
            value=None,
        )
    trusted = Trusted.of(settings)
    store = store or open_store(settings.store, timeout=settings.timeout)
    sighting = _Sighting(settings, name, store.url, signed=trusted is not None)
    try:
        change = read_channel(store, name).newest
    except StoreError as error:
        raise error.with_text(f"{error}; {sighting.hint}") from error
    if trusted is not None:
        what = f"#{change.number} of channel {name!r} in {store.url}"
        trusted.check(change.signed_text(name), change.signatures, what)
        sighting.refuse_older(change)
    sighting.write(change)
    if change.hash is None:
        raise ChannelError(
            f"channel {name!r} of {store.url} was removed ({change}); use another, or "
            f"set it again: lazyimport channel set {name} HASH",
            channel=name,
            store=store.url,
        )
    return change


class _Sighting:
    """The newest change of the channel *name* that this node has seen.

    It may be its removal. It lies in the node cache, and is a help, not a promise: if
    the cache cannot be written there is none. With *signed*, it is one whose signature
    was checked, and is kept in every cache mode.
    """

    def __init__(
        self, settings: Settings, name: str, url: str, *, signed: bool
    ) -> None:
        self._cache = Layout(settings.cache_dir)
        self._name = name
        self._url = url
        self._path = self._cache.channel_path(url, name, signed=signed)
        self._written = signed or settings.cache_mode != "memory"
        self._number = 0
        self._hash: str | None = None
        try:
            if self._cache.exists():
                with open(self._path, "rb") as file:
                    facts = json.loads(file.read())
                hash = facts["hash"]
                self._hash = None if hash is None else check_hash(hash)
                self._number = int(facts["number"])
        except (OSError, CacheError, ValueError, TypeError, LookupError):
            self._hash = None

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
            f"({self._hash or 'its removal'}) before: somebody put an older state back. If that was you, delete "
            f"{self._path}; to change a channel, use 'lazyimport channel set' or "
            "'rollback'"
        )

    def write(self, change: Change) -> None:
        """Record *change*, unless it or a newer one was seen before."""
        known = self._number == change.number and self._hash == change.hash
        if not self._written or known or self._number > change.number:
            return
        facts = {"number": change.number, "hash": change.hash}
        try:
            self._cache.make_folder(CHANNELS)
            with AtomicFile(self._path, 0o600, durable=False) as file:
                file.write(json.dumps(facts).encode())
        except (OSError, CacheError):
            pass  # the archive will need the cache too, and say what is wrong with it
