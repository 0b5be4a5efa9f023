"""Obtaining what this process is to run and its node does not have.

Another process, the fetcher, brings it: nothing of what reaches a store is imported
here, so that all processes of a node are alike. See `lazyimport.delivery.fetcher`.
"""

from __future__ import annotations

import os
import sys

from lazyimport.cache.node import NO_DISK, NodeCache
from lazyimport.delivery.starting import Answers, fetch_alone
from lazyimport.delivery.waiting import Waiting, fetch_without
from lazyimport.lazy import errors, traced
from lazyimport.tracing import note
from lazyimport.values import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.delivery.blobs_beside import Beside
    from lazyimport.format.archive import Archive
    from lazyimport.reporting import Reporter
    from lazyimport.settings import Settings


def resolve(
    settings: Settings, reporter: Reporter
) -> tuple[Settings, tuple[Archive, int] | None]:
    """Return *settings* with the hash of what their channel or artifact names.

    An artifact comes with that: the archive, and the bytes downloaded for it. Raises
    SettingsError if they name none, or what `obtain` does for an artifact.
    """
    if settings.artifact is None:
        return _look_up(settings), None
    archive, fetched = obtain(settings, reporter)
    return settings.with_hash(archive.hash), (archive, fetched)


def _look_up(settings: Settings) -> Settings:
    """Return *settings* with the hash that their channel points to now.

    Raises SettingsError if they name none, ChannelError, SignatureError, StoreError.
    """
    if settings.channel is None:
        raise errors.SettingsError(
            "no archive to install: pass its hash or set LAZYIMPORT_HASH, or name a "
            "channel with LAZYIMPORT_CHANNEL, or an artifact with LAZYIMPORT_ARTIFACT",
            name="hash",
            value=None,
        )
    if is_here_alone(settings.store):
        from lazyimport.registry.resolution import resolve_channel

        change = resolve_channel(settings, settings.channel)
        hash, number = str(change.hash), str(change.number)
    else:
        from lazyimport.reporting import SILENT

        with Answers("look up", settings) as answers:
            hash, number = answers.result(SILENT)
    if "logging" in sys.modules:  # nobody listens otherwise
        sys.modules["logging"].getLogger("lazyimport").info(
            "channel %s of %s points to archive %s (#%s)",
            settings.channel,
            redact(str(settings.store)),
            hash,
            number,
        )
    return settings.with_hash(hash)


def require_signed(settings: Settings) -> None:
    """Raise SignatureError unless a trusted key has signed the archive of *settings*.

    The store is asked only where this node does not know. Raises SettingsError if no
    key is trusted, and StoreError.
    """
    from lazyimport.registry import resolution
    from lazyimport.reporting import SILENT

    assert settings.hash is not None
    if is_here_alone(settings.store):
        resolution.require_signature(settings, settings.hash)
    elif not resolution.is_known_as_signed(settings, settings.hash):
        with Answers("require signed", settings) as answers:
            answers.result(SILENT)


@traced("fetch")
def obtain(
    settings: Settings, reporter: Reporter, *, ahead: bool = False
) -> tuple[Archive, int]:
    """Return the archive or artifact of *settings*, and the bytes downloaded for it.

    It may still be coming (`lazyimport.delivery.waiting`), but not *ahead*: for
    processes that start later. 0 bytes if the node has it, or fetched it for another
    process. If the cache cannot be written, the archive comes into memory, and
    *reporter* is warned of that; *ahead*, that is a CacheError.

    Raises ArchiveMissing, StoreError, CacheError, ArchiveError, or for an artifact
    PackError.
    """
    note(hash=settings.hash, store=settings.store and redact(settings.store))
    if os.path.lexists(settings.cache_dir):
        # A process that runs from memory finds libraries and compiled code there, too.
        NodeCache(settings.cache_dir).make()
    if is_here_alone(settings.artifact or settings.store):
        return obtain_here(settings, reporter, ahead=ahead)
    if settings.artifact is not None:
        from lazyimport.delivery.artifact import find_made

        made = find_made(settings)
        if made is not None:
            return made, 0
        return fetch_alone(settings, reporter, ahead=ahead)
    assert settings.hash is not None
    if settings.cache_mode == "memory":
        return fetch_alone(settings, reporter, ahead=ahead)
    try:
        whole = ahead or settings.fetch == "whole"
        return Waiting(settings, settings.hash, reporter).result(whole=whole)
    except errors.CacheError as error:
        if ahead or error.errno not in NO_DISK:
            raise
        return fetch_without(error, settings, reporter)


def obtain_here(
    settings: Settings,
    reporter: Reporter,
    *,
    ahead: bool = False,
    held: bool = False,
    beside: Beside | None = None,
) -> tuple[Archive, int]:
    """Do what `obtain` does in this process, which imports what reaches the store.

    An archive that must be signed is asked for its signature first. Its lock is *held*,
    or it is taken here. *beside* is as for `lazyimport.delivery.fetch.fetch`. Raises
    SignatureError beside what `obtain` does.
    """
    if settings.artifact is not None:
        from lazyimport.delivery.artifact import deliver

        return deliver(settings, reporter, ahead=ahead)
    from lazyimport.delivery.fetch import fetch

    assert settings.hash is not None
    if settings.require_signature:
        from lazyimport.registry.resolution import require_signature

        require_signature(settings, settings.hash)
    return fetch(
        settings, settings.hash, reporter, ahead=ahead, held=held, beside=beside
    )


def is_here_alone(store: str | None) -> bool:
    """Whether no other process can help.

    There is no *store*, or it is in this process, or this is a program of its own with
    Python in it.
    """
    if store is None or store.startswith("memory:"):
        return True
    return not os.path.basename(sys.executable or "").startswith(("python", "pypy"))
