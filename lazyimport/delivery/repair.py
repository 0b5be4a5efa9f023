"""Repair: a running process meets damage, and goes on with sound bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from lazyimport.cache.node import NodeCache
from lazyimport.cache.verify import prove
from lazyimport.delivery.obtaining import obtain
from lazyimport.errors import ArchiveError, DamagedArchive, LazyImportError
from lazyimport.format.archive import Archive
from lazyimport.locks import LockTimeout
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
    then, which may import or start threads that do, and nothing is waited for. Raises
    DamagedArchive with what has become of the file.
    """
    _source(settings, damage)
    try:
        sound = _replaced(settings, hash, prove=_prove_index, patience=0)
        done = "it was removed from the node cache; the next process fetches it again"
        if sound is not None:
            done = "it was replaced in the node cache"
    except (LazyImportError, OSError) as error:
        if not isinstance(error.__cause__, LockTimeout):
            raise _with(damage, f"it could not be removed: {error}") from error
        done = "another process replaces it in the node cache just now"
    raise _with(damage, f"{done}, so restart this one")


def _source(settings: Settings, damage: DamagedArchive) -> str:
    """Return the URL to fetch from; raises *damage* with advice if none is named."""
    source = settings.artifact or settings.store
    if source is None:
        advice = "no store is named to fetch it again from: set LAZYIMPORT_STORE"
        raise _with(damage, advice)
    return source


def _prove_index(archive: Archive) -> None:
    """Read all of the index. Raises ArchiveError if a digest does not hold."""
    for _ in archive.index.entries():
        pass


def _replaced(
    settings: Settings,
    hash: str,
    *,
    prove: Callable[[Archive], None] = prove,
    patience: float | None = None,
) -> Archive | None:
    """Return what is in the cache by now if *prove* finds it sound, else remove it.

    Waits for another process that fetches it, at most *patience* seconds, by default
    those of *settings*. The same is done with the base of an overlay first, since
    either may be damaged.
    """
    if settings.cache_mode == "memory":
        return None
    cache = NodeCache(settings.cache_dir)
    base = cache.base_of(hash)
    if base is not None:
        _replaced(settings, base, prove=prove, patience=patience)
    with cache.lock(hash, settings.timeout if patience is None else patience):
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
