"""Looking an archive up: what a person types goes in, the archive's hash comes out.

A person may type a hash, its first digits, the name of a channel, or where an
artifact is. `lazyimport.settings` takes whole hashes only, for processes.
"""

from __future__ import annotations

import os

from lazyimport.cache.node import NodeCache
from lazyimport.cache.previous import packed_hashes
from lazyimport.delivery.artifact import deliver
from lazyimport.errors import (
    ArchiveMissing,
    CacheError,
    ChannelError,
    LazyImportError,
    SettingsError,
)
from lazyimport.registry.archives import stored_archives
from lazyimport.registry.opening import store_of
from lazyimport.registry.resolution import require_signature, resolve_channel
from lazyimport.reporting import WARNINGS, Reporter
from lazyimport.settings import Settings
from lazyimport.stores import ReadStore, writable
from lazyimport.stores.artifact import artifact_url, is_artifact
from lazyimport.values import (
    SHORTEST_PREFIX,
    check_channel,
    is_prefix,
    is_sha256,
    redact,
)

_SHOWN = 5


def resolve(
    text: str,
    settings: Settings,
    store: ReadStore | None = None,
    *,
    reporter: Reporter = WARNINGS,
) -> str:
    """Return the hash of the archive that *text* names.

    *text* is a hash, six or more of its first digits, the name of a channel, or
    the path or URL of an artifact, which is brought into the node cache. For a
    prefix the node cache is searched first, and the store where that finds none
    or several; where keys are trusted, one of them must have signed what is found.
    *store* is that of *settings* if it is open already. *reporter* is told how much
    of an artifact has come.

    Raises SettingsError, ArchiveMissing, ChannelError, SignatureError, StoreError,
    or what `lazyimport.delivery.artifact.deliver` raises.
    """
    if is_artifact(text):
        return _resolve_artifact(text, settings, reporter)
    prefix = text.strip().lower()
    if is_sha256(prefix):
        return prefix
    if len(prefix) < 64 and is_prefix(prefix):
        return _resolve_prefix(prefix, settings, store)
    if settings.store and _can_be_channel(text):
        return _resolve_channel(text, settings, store)
    here = ", which is a file or folder here" if os.path.exists(text) else ""
    raise SettingsError(
        f"not an archive's hash: {redact(text)!r}{here} (a hash is 64 hex digits, as 'lazyimport "
        f"push' prints it; the first {SHORTEST_PREFIX} are enough if only one archive "
        "begins with them; a channel's name counts where a store is named)",
        name="hash",
        value=redact(text),
    )


def cached_hashes(settings: Settings, prefix: str = "") -> set[str]:
    """Return the hashes of the archives in the node cache that begin with *prefix*.

    Those that were packed here count too, which may be there as deltas alone. Raises
    CacheError.
    """
    cache = NodeCache(settings.cache_dir)
    found = list(cache.archives()) if cache.exists() else []
    found += [name for name, _ in packed_hashes(cache)]
    return {name for name in found if name.startswith(prefix)}


def _resolve_artifact(text: str, settings: Settings, reporter: Reporter) -> str:
    wanted = settings.replaced(
        hash=None, channel=None, cache_mode="raw", artifact=artifact_url(text)
    )
    if "://" not in text:  # a file that the user names, and not what a store has
        wanted = wanted.replaced(trusted_keys=None)
    return deliver(wanted, reporter, ahead=True)[0].hash


def _resolve_prefix(prefix: str, settings: Settings, store: ReadStore | None) -> str:
    found, places = set(), []
    try:
        found = cached_hashes(settings, prefix)
        places.append(f"the node cache {settings.cache_dir}")
    except CacheError:
        if not settings.store:
            raise
    if len(found) != 1 and settings.store:
        store = store or store_of(settings)
        found |= {name for name, _ in stored_archives(writable(store), prefix)}
        places.append(redact(settings.store))
    where = " or ".join(places)
    if len(found) == 1:
        hash = found.pop()
        if settings.trusted_keys:
            _require_signature(prefix, hash, settings, store)
        return hash
    if found:
        shown = ", ".join(sorted(found)[:_SHOWN])
        raise SettingsError(
            f"{len(found)} archives in {where} begin with {prefix}: {shown}"
            f"{', ...' if len(found) > _SHOWN else ''}; write more digits",
            name="hash",
            value=prefix,
        )
    advice = (
        f"see 'lazyimport ls --store {redact(settings.store)}' for what is there"
        if settings.store
        else "name the store to look in with --store, or set LAZYIMPORT_STORE"
    )
    raise ArchiveMissing(
        f"no archive in {where} begins with {prefix}; {advice}",
        hash=prefix,
        store=settings.store and redact(settings.store),
    )


def _require_signature(
    prefix: str, hash: str, settings: Settings, store: ReadStore | None
) -> None:
    """Refuse an archive that no trusted key has signed."""
    try:
        require_signature(settings, hash, store)
    except LazyImportError as error:
        raise error.with_text(
            f"{prefix} is {hash}, as far as the store and the node cache know; where "
            f"keys are trusted, write all 64 digits if that is right: {error}"
        ) from error.__cause__


def _resolve_channel(name: str, settings: Settings, store: ReadStore | None) -> str:
    try:
        return str(resolve_channel(settings, name, store).hash)
    except ChannelError as error:
        what = "is no hash"
        if not name.strip("0123456789abcdef"):
            what = f"is too short for a hash (write at least {SHORTEST_PREFIX} digits)"
        raise error.with_text(f"{name!r} {what}, and {error}") from error.__cause__


def _can_be_channel(text: str) -> bool:
    try:
        check_channel(text)
    except SettingsError:
        return False
    return True
