"""Artifacts on the command line: a file or a URL in the place of a hash or a tree."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from lazyimport.cache.node import NodeCache
    from lazyimport.cli.progress import Notes
    from lazyimport.packing.packer import Packed
    from lazyimport.settings import Settings

__all__ = ["pack_artifact"]


def pack_artifact(
    text: str,
    arguments: argparse.Namespace,
    settings: Settings,
    cache: NodeCache,
    notes: Notes,
) -> Packed:
    """Pack the artifact *text* as options and its own configuration say."""
    from tempfile import TemporaryDirectory

    from lazyimport.cli.options import with_options
    from lazyimport.delivery.artifact import Artifact, artifact_url, download
    from lazyimport.packing.container import pack_container

    artifact = Artifact(artifact_url(text))
    with TemporaryDirectory(prefix="lazyimport-") as folder:
        file = os.path.join(folder, artifact.name)
        notes.wait(f"reading {artifact.url}")
        try:
            _, digest = download(artifact, file, settings.timeout)
            packed = pack_container(
                file,
                artifact.suffix,
                folder,
                cache,
                what=artifact.url,
                subdirectory=artifact.subdirectory,
                adjust=lambda config: with_options(config, arguments),
                jobs=arguments.jobs or None,
                progress=notes.progress,
            )
        finally:
            notes.clear()
    known = "as it should be" if artifact.sha256 else "not checked: nobody says"
    notes.say(f"read {artifact.url}, SHA-256 {digest} ({known})")
    return packed
