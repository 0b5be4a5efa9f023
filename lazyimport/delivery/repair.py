"""Repair: a running process meets damage, and goes on with sound bytes."""

from __future__ import annotations

from typing import NoReturn

from lazyimport.cache.node import NodeCache
from lazyimport.cache.verify import prove
from lazyimport.delivery.obtaining import obtain
from lazyimport.errors import ArchiveError, DamagedArchive, LazyImportError
from lazyimport.format.archive import Archive
from lazyimport.reporting import Reporter
from lazyimport.settings import Settings
from lazyimport.values import redact


def repair(
    settings: Settings, hash: str, damage: DamagedArchive, reporter: Reporter
) -> Archive:
    """Return the archive *hash*, in which *damage* was found, from sound bytes.

    The damaged file leaves the node cache, unless another process has replaced it
    already, and the archive is fetched again. Processes that have the damaged file
    open keep it: all that they read is proved. *reporter* is warned of it.

    Raises DamagedArchive, which says what happened to the file, if the archive
    cannot be fetched.
    """
    source = _source(settings, damage)
    try:
        replaced = _replaced(settings, hash)
        if replaced is not None:
            return replaced
        wanted = settings if settings.artifact else settings.with_hash(hash)
        archive, size = obtain(wanted, reporter)
    except (LazyImportError, OSError) as error:
        raise _with(damage, f"it could not be replaced: {error}") from error
    reporter.warn(
        f"{damage}; archive {hash} was fetched again from {redact(source)} "
        f"({size} bytes)"
    )
    return archive


def give_up(settings: Settings, hash: str, damage: DamagedArchive) -> NoReturn:
    """Remove the archive *hash*, in whose index *damage* was found, from the cache.

    For a lookup: it runs under the lock of all imports, so nothing can be fetched
    then, which may import or start threads that do. Raises DamagedArchive with
    what has become of the file.
    """
    _source(settings, damage)
    try:
        _replaced(settings, hash)
    except (LazyImportError, OSError) as error:
        raise _with(damage, f"it could not be removed: {error}") from error
    advice = "the next process fetches it again, so restart this one"
    raise _with(damage, f"it was removed from the node cache; {advice}")


def _source(settings: Settings, damage: DamagedArchive) -> str:
    """Return the URL to fetch from; raises *damage* with advice if none is named."""
    source = settings.artifact or settings.store
    if source is None:
        advice = "no store is named to fetch it again from: set LAZYIMPORT_STORE"
        raise _with(damage, advice)
    return source


def _replaced(settings: Settings, hash: str) -> Archive | None:
    """Return what is in the cache by now if all of it is sound, else remove it.

    The same is done with the base of an overlay first, since either may be damaged.
    """
    if settings.cache_mode == "memory":
        return None
    cache = NodeCache(settings.cache_dir)
    base = cache.base_of(hash)
    if base is not None:
        _replaced(settings, base)
    with cache.lock(hash, settings.timeout):
        try:
            archive = cache.open(hash)
            if archive is not None:
                prove(archive)
        except ArchiveError:
            cache.remove(hash)
            return None
        return archive


def _with(damage: DamagedArchive, text: str) -> DamagedArchive:
    return damage.with_text(f"{damage}; {text}")
