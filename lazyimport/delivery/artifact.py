"""Artifacts: what another tool uploaded becomes an archive, once for the node.

With a SHA-256 an artifact cannot change, so a process that finds it recorded in the
cache asks no store. Without one, every process that starts downloads it, to see what it
is now; those that come meanwhile share what the first one gets.
"""

from __future__ import annotations

from lazyimport.cache.artifacts import ArtifactRecord
from lazyimport.cache.layout import ARTIFACTS
from lazyimport.cache.node import NO_DISK, NodeCache
from lazyimport.errors import ArchiveMissing, CacheError, SignatureError
from lazyimport.format.archive import Archive
from lazyimport.reporting import WARNINGS, Reporter
from lazyimport.settings import Settings
from lazyimport.stores.artifact import Artifact


def deliver(
    settings: Settings, reporter: Reporter = WARNINGS, *, ahead: bool = False
) -> tuple[Archive, int]:
    """Return the archive of ``settings.artifact`` and the bytes downloaded for it.

    The archive is made if the node does not have it. If the cache cannot be
    written, it is made in memory, and *reporter* is warned; with *ahead* it must
    end up in the cache, so that is a CacheError. *reporter* is also told how many
    bytes have come.

    Raises SettingsError; SignatureError where keys are trusted and nobody says which
    SHA-256 it should have; StoreError or ArchiveMissing; DamagedArchive for an
    artifact with another SHA-256 than it should have; PackError for one that
    cannot become an archive; CacheError.
    """
    assert settings.artifact is not None
    artifact = Artifact(settings.artifact)
    if settings.trusted_keys and artifact.sha256 is None:
        raise SignatureError(
            f"the artifact {artifact.url} has no SHA-256, which it needs where "
            "LAZYIMPORT_TRUSTED_KEYS is set; add #sha256=... to the URL, or set LAZYIMPORT_ARTIFACT_SHA256"
        )
    if settings.cache_mode == "memory":
        return _in_memory(artifact, settings, reporter)
    try:
        return _through_cache(artifact, settings, reporter)
    except CacheError as error:
        if ahead or error.errno not in NO_DISK:
            raise
        reporter.warn(
            f"the artifact {artifact.url} runs from memory, downloaded and unpacked by "
            f"each process for itself, and code finds no files beside it: {error}"
        )
        return _in_memory(artifact, settings, reporter)


def _through_cache(
    artifact: Artifact, settings: Settings, reporter: Reporter
) -> tuple[Archive, int]:
    cache = NodeCache(settings.cache_dir)
    record = ArtifactRecord(cache, *artifact.identity())
    before = record.read()
    archive = record.archive(before) if artifact.sha256 else None
    if archive is not None:
        return _as_asked(archive, artifact, settings), 0
    with cache.lock(ARTIFACTS, settings.timeout):
        now = record.read()
        if artifact.sha256 or now != before:
            archive = record.archive(now)
            if archive is not None:
                return _as_asked(archive, artifact, settings), 0
        # It loads the packing side, which no other process needs.
        from lazyimport.delivery.conversion import make_archive

        archive, size = make_archive(artifact, settings, cache, reporter)
    return _as_asked(archive, artifact, settings), size


def _in_memory(
    artifact: Artifact, settings: Settings, reporter: Reporter
) -> tuple[Archive, int]:
    from lazyimport.delivery.conversion import make_in_memory

    archive, size = make_in_memory(artifact, settings, reporter)
    return _as_asked(archive, artifact, settings), size


def _as_asked(archive: Archive, artifact: Artifact, settings: Settings) -> Archive:
    """Return *archive*; refuse another one than the parent process runs."""
    if settings.hash in {None, archive.hash}:
        return archive
    raise ArchiveMissing(
        f"archive {settings.hash}, which another process made from the artifact "
        f"{artifact.url}, is no longer in the node cache, and for this Python the "
        f"artifact now gives {archive.hash}; restart the parent process, or unset "
        "LAZYIMPORT_HASH",
        hash=str(settings.hash),
    )
