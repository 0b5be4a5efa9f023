"""Artifacts on the command line: a file or a URL in the place of a hash or a tree."""

from __future__ import annotations

import os

from lazyimport.settings import artifact_suffix

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from lazyimport.cache.node import NodeCache
    from lazyimport.cli.progress import Notes
    from lazyimport.packing.packer import Packed
    from lazyimport.settings import Settings

__all__ = ["install_artifact", "is_artifact", "pack_artifact"]


def is_artifact(text: str) -> bool:
    """Whether *text* names a zip, wheel or tarball."""
    path = text.partition("#")[0].partition("?")[0]
    return bool(artifact_suffix(path)) and not os.path.isdir(text)


def install_artifact(text: str, settings: Settings) -> str:
    """Bring the artifact *text* into the node cache; return the archive's hash."""
    from lazyimport.delivery.artifact import deliver
    from lazyimport.settings import Settings

    wanted = Settings(
        None,
        settings.store,
        settings.cache_dir,
        timeout=settings.timeout,
        cache_limit=settings.cache_limit,
        artifact=_url(text),
    )
    return deliver(wanted)[0].hash


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
    from lazyimport.delivery.artifact import Artifact, download
    from lazyimport.packing.container import pack_container

    artifact = Artifact(_url(text))
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


def _url(text: str) -> str:
    """Return the URL of an artifact, which may be a file's path."""
    if "://" in text:
        return text
    path, mark, options = text.rpartition("#") if "#" in text else (text, "", "")
    path = os.path.abspath(os.path.expanduser(path))
    for character in "%#?":
        path = path.replace(character, f"%{ord(character):02X}")
    return f"file://{path}{mark}{options}"
