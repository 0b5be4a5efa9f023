"""Conversion: an artifact is downloaded and made into an archive of the node cache."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from functools import partial
from tempfile import TemporaryDirectory

from lazyimport.cache.artifacts import ArtifactRecord
from lazyimport.cache.layout import ARTIFACTS
from lazyimport.cache.node import NodeCache
from lazyimport.cache.room import make_room
from lazyimport.errors import CacheError
from lazyimport.format.archive import Archive
from lazyimport.format.writer import recode
from lazyimport.packing.container import pack_container
from lazyimport.reporting import Reporter
from lazyimport.settings import Settings
from lazyimport.stores.artifact import Artifact, download


def make_archive(
    artifact: Artifact, settings: Settings, cache: NodeCache, reporter: Reporter
) -> tuple[Archive, int]:
    """Return the archive that *artifact* is now, and the bytes downloaded.

    *reporter* is told how many bytes have come.

    The lock ``artifacts`` must be held. Raises as `deliver` does.
    """
    staging = cache.staging_path()
    cache.make_folder(ARTIFACTS)
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
        raise CacheError(
            f"cannot unpack the artifact {artifact.url} in {staging}: "
            f"{error.strerror or error}; free space there, or set LAZYIMPORT_CACHE_DIR "
            "to another disk",
            path=staging,
            errno=error.errno,
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    make_room(cache, settings.cache_limit)
    return archive, size


def make_in_memory(
    artifact: Artifact, settings: Settings, reporter: Reporter
) -> tuple[Archive, int]:
    """Return what `make_archive` does, made in a temporary folder and kept in RAM."""
    try:
        with TemporaryDirectory(prefix="lazyimport-") as folder:
            cache = NodeCache(folder)
            made, size = make_archive(artifact, settings, cache, reporter)
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
    # Whatever Pythons it asks for, this node has this one.
    adjust = partial(replace, python=())
    packed = pack_container(artifact, file, staging, cache, adjust=adjust)
    if settings.cache_mode != "zstd":
        return packed.archive
    with cache.lock(packed.hash, settings.timeout):
        return cache.publish(
            packed.hash, lambda out: recode(packed.archive, out, raw=False)
        )
