"""Obtaining an archive that this process is to run and its node does not have."""

from __future__ import annotations

import logging
import os

from lazyimport.cache.node import NodeCache
from lazyimport.errors import SettingsError
from lazyimport.format.archive import Archive
from lazyimport.reporting import Reporter
from lazyimport.settings import Settings
from lazyimport.values import redact


def look_up(settings: Settings) -> Settings:
    """Return *settings* with the hash that their channel points to now.

    Raises SettingsError if they name none, ChannelError, SignatureError, StoreError.
    """
    if settings.channel is None:
        raise SettingsError(
            "no archive to install: pass its hash or set LAZYIMPORT_HASH, or name a "
            "channel with LAZYIMPORT_CHANNEL, or an artifact with LAZYIMPORT_ARTIFACT",
            name="hash",
            value=None,
        )
    from lazyimport.registry.resolution import resolve_channel

    change = resolve_channel(settings, settings.channel)
    logging.getLogger("lazyimport").info(
        "channel %s of %s points to archive %s (#%d)",
        settings.channel,
        redact(settings.store or ""),
        change.hash,
        change.number,
    )
    return settings.with_hash(str(change.hash))


def obtain(settings: Settings, reporter: Reporter) -> tuple[Archive, int]:
    """Return the archive or artifact of *settings*, and the bytes downloaded for it.

    Raises ArchiveMissing, StoreError, CacheError, ArchiveError, or for an artifact
    PackError.
    """
    if os.path.lexists(settings.cache_dir):
        # A process that runs from memory finds libraries and compiled code there, too.
        NodeCache(settings.cache_dir).make()
    # A process that looks a channel up may need neither, for its node has the archive.
    if settings.artifact is not None:
        from lazyimport.delivery.artifact import deliver

        return deliver(settings, reporter)
    from lazyimport.delivery.fetch import fetch

    assert settings.hash is not None
    return fetch(settings, settings.hash, reporter)
