"""Artifacts: what another tool uploaded becomes an archive, once for the node.

With a SHA-256 an artifact cannot change, so a process that finds it recorded in the
cache asks no store. Without one, every process that starts downloads it, to see what it
is now; those that come meanwhile share what the first one gets.
"""

from __future__ import annotations

import os

from lazyimport.cache.artifacts import ArtifactRecord
from lazyimport.cache.growth import Growing
from lazyimport.cache.layout import ARTIFACTS
from lazyimport.cache.node import NO_DISK, NodeCache
from lazyimport.cache.room import make_room
from lazyimport.errors import ArchiveMissing, CacheError, SignatureError
from lazyimport.format.archive import Archive
from lazyimport.reporting import WARNINGS, Reporter
from lazyimport.settings import Settings
from lazyimport.stores.artifact import Artifact, download


def find_made(settings: Settings) -> Archive | None:
    """Return the archive that this node has made of ``settings.artifact``.

    None if it has none, or if only its store knows what the artifact is now. Raises
    SettingsError, or ArchiveMissing as `deliver` does.
    """
    artifact = Artifact(str(settings.artifact))
    if artifact.sha256 is None or settings.cache_mode == "memory":
        return None
    try:
        made = ArtifactRecord(
            NodeCache(settings.cache_dir), *artifact.identity()
        ).archive()
    except CacheError:
        return None  # which `deliver` says, or does without
    return None if made is None else _as_asked(made, artifact, settings)


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
    try:
        if settings.cache_mode != "memory":
            return _through_cache(artifact, settings, reporter)
    except CacheError as error:
        if ahead or error.errno not in NO_DISK:
            raise
        reporter.warn(
            f"the artifact {artifact.url} runs from memory, downloaded and unpacked by "
            f"each process for itself, and code finds no files beside it: {error}"
        )
    archive, size = _make_in_memory(artifact, settings, reporter)
    return _as_asked(archive, artifact, settings), size


def _through_cache(
    artifact: Artifact, settings: Settings, reporter: Reporter
) -> tuple[Archive, int]:
    if (made := find_made(settings)) is not None:
        return made, 0
    cache = NodeCache(settings.cache_dir)
    record = ArtifactRecord(cache, *artifact.identity())
    before = record.read()
    with cache.lock(ARTIFACTS, settings.timeout):
        now = record.read()
        if artifact.sha256 or now != before:
            archive = record.archive(now)
            if archive is not None:
                return _as_asked(archive, artifact, settings), 0
        archive, size = _make(artifact, settings, cache, reporter)
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


def _make(
    artifact: Artifact, settings: Settings, cache: NodeCache, reporter: Reporter
) -> tuple[Archive, int]:
    """Return the archive that *artifact* is now, and the bytes downloaded.

    The lock ``artifacts`` must be held. Raises as `deliver` does.
    """
    import shutil

    staging = cache.staging_path()
    cache.make_folder(ARTIFACTS)
    with Growing(cache.path):  # by nothing, in the end
        try:
            os.mkdir(staging, 0o700)
            file = f"{staging}/{artifact.key}"
            size, digest = download(artifact, file, settings.timeout, reporter)
            record = ArtifactRecord(cache, *artifact.identity(digest))
            archive = record.archive()
            if archive is None:
                archive = _convert(artifact, file, staging, cache, settings)
                record.write(archive.hash)
            if not artifact.sha256:
                ArtifactRecord(cache, *artifact.identity()).write(archive.hash)
        except OSError as error:
            raise cache.refused(f"the artifact {artifact.url}", error) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    make_room(cache, settings.cache_limit)
    return archive, size


def _make_in_memory(
    artifact: Artifact, settings: Settings, reporter: Reporter
) -> tuple[Archive, int]:
    """Return what `_make` does, made in a temporary folder and kept in RAM."""
    from tempfile import TemporaryDirectory

    try:
        with TemporaryDirectory(prefix="lazyimport-") as folder:
            cache = NodeCache(folder)
            made, size = _make(artifact, settings, cache, reporter)
            with open(cache.archive_path(made.hash), "rb") as file:
                return Archive(file.read(), made.hash, artifact.url), size
    except OSError as error:
        raise CacheError(
            f"cannot make an archive of the artifact {artifact.url} in a folder for "
            f"temporary files: {error.strerror or error}; set TMPDIR to one that this "
            "user may write, or LAZYIMPORT_CACHE_DIR",
            path=settings.cache_dir,
            errno=error.errno,
        ) from error


def _convert(
    artifact: Artifact, file: str, staging: str, cache: NodeCache, settings: Settings
) -> Archive:
    # No process that runs an artifact needs what makes an archive of it.
    from dataclasses import replace

    from lazyimport.format.writer import recode
    from lazyimport.packing.container import pack_container

    packed = pack_container(
        artifact,
        file,
        staging,
        cache,
        # Whatever Pythons it asks for, this node has this one.
        adjust=lambda config: replace(config, python=()),
    )
    if settings.cache_mode != "zstd":
        return packed.archive
    with cache.lock(packed.hash, settings.timeout):
        return cache.publish(
            packed.hash, lambda out: recode(packed.archive, out, raw=False)
        )
