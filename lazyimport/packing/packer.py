"""Packing in one call: `pack` takes what a person has and returns an archive."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence

from lazyimport.cache.node import NodeCache
from lazyimport.errors import SettingsError
from lazyimport.packing.config import read_config
from lazyimport.packing.container import pack_container
from lazyimport.packing.distributions import stage
from lazyimport.packing.interpreters import find_interpreters
from lazyimport.packing.layout import choose_roots
from lazyimport.packing.options import PackOptions
from lazyimport.packing.roots import Packed, pack_roots
from lazyimport.reporting import SILENT, Reporter
from lazyimport.settings import Settings
from lazyimport.stores import open_store
from lazyimport.stores.artifact import Artifact, artifact_url, download, is_artifact
from lazyimport.values import redact


def pack(
    roots: Sequence[str | os.PathLike[str]],
    settings: Settings,
    options: PackOptions | None = None,
    *,
    whole: bool = True,
    entries: Sequence[str] = (),
    reporter: Reporter = SILENT,
) -> Packed:
    """Pack *roots* into an archive in the node cache of *settings*.

    *roots* are directories and files, by default what `layout.choose_roots` returns. A
    directory with an ``__init__.py`` goes in as a package under its own name, the
    contents of another one go in at the top. ``[tool.lazyimport]`` of the nearest
    pyproject.toml applies, as *options* change it. In place of them, *roots* may be
    the path or URL of one artifact: a zip, wheel or tarball.

    Unless it is to be *whole*, only what differs from an archive packed before is
    written, which is enough for a push. *entries* (``module:attribute``) are what a
    process imports at its start, by default the check of the configuration: that comes
    first where no profile says more. *reporter* gets progress, and the ``warnings`` of
    the result.

    Raises SettingsError for *roots* that do not go together, PackError with every
    reason found, CacheError, and for an artifact StoreError, ArchiveMissing or
    DamagedArchive.
    """
    started = time.perf_counter()
    options = options or PackOptions()
    cache = NodeCache(settings.cache_dir)
    places = choose_roots(roots)
    artifact = next(filter(is_artifact, places), None)
    more = options.installed or options.requirements or options.wheels
    if artifact is not None and (len(places) > 1 or more):
        raise SettingsError(
            f"{redact(artifact)} is packed alone: without other roots, --with, --wheel or "
            "--requirements",
            name="roots",
            value=list(map(redact, places)),
        )
    with tempfile.TemporaryDirectory(prefix="lazyimport-") as folder:
        if artifact is None:
            first = (
                places[0] if os.path.isdir(places[0]) else os.path.dirname(places[0])
            )
            config = options.change(read_config(first or "."))
            interpreters = find_interpreters(config.python)
            stage(options, interpreters, folder, reporter)
            packed = pack_roots(
                places,
                config,
                interpreters,
                cache,
                staged=[folder] if os.listdir(folder) else [],
                store=_folder_of(settings.store),
                jobs=options.jobs,
                reporter=reporter,
                trust_stat=options.trust_stat,
                whole=whole,
                entries=entries,
            )
        else:
            packed = _pack_artifact(
                artifact, folder, settings, options, cache, reporter
            )
    packed.roots = tuple(places)
    packed.seconds = time.perf_counter() - started
    for warning in packed.warnings:
        reporter.warn(warning)
    return packed


def _folder_of(store: str | None) -> str:
    """Return the folder that a store is in; "" for one that is elsewhere."""
    opened = open_store(store) if store and store.startswith("file:") else None
    return getattr(opened, "folder", "")


def _pack_artifact(
    text: str,
    folder: str,
    settings: Settings,
    options: PackOptions,
    cache: NodeCache,
    reporter: Reporter,
) -> Packed:
    artifact = Artifact(artifact_url(text))
    file = os.path.join(folder, artifact.key)
    _, digest = download(artifact, file, settings.timeout, reporter)
    packed = pack_container(
        artifact,
        file,
        folder,
        cache,
        adjust=options.change,
        jobs=options.jobs,
        reporter=reporter,
    )
    packed.artifact, packed.artifact_sha256 = artifact, digest
    return packed
