"""``lazyimport rollback``."""

from __future__ import annotations

from lazyimport.cli.commands.deploy import change
from lazyimport.cli.options import read_settings
from lazyimport.cli.progress import Notes
from lazyimport.cli.tables import tolerant
from lazyimport.ray.errors import DeployError
from lazyimport.ray.history import Record, committed
from lazyimport.ray.manifest import Manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from lazyimport.ray.manifest import Application
    from lazyimport.settings import Settings

__all__ = ["run"]


def run(arguments: argparse.Namespace) -> int:
    """Set the hash that was there before."""
    tolerant()
    notes = Notes(quiet=arguments.quiet)
    settings = read_settings(arguments)
    manifest = Manifest.read(arguments.file)
    targets = {
        _previous(application, manifest, settings)
        for application in manifest.choose(arguments.app)
    }
    if len(targets) > 1:
        raise DeployError(
            "these applications had different hashes before; roll back one at a time"
        )
    return change(manifest, targets.pop(), arguments, settings, notes)


def _previous(application: Application, manifest: Manifest, settings: Settings) -> str:
    name, now = application.name, application.hash
    before = Record(settings.cache_dir, manifest.path).before(name, now)
    if before is None:
        before = next((h for h in committed(manifest.path, name) if h != now), None)
    if before is None:
        raise DeployError(
            f"nobody knows what {name} ran before {now or 'now'}: it was not deployed "
            f"from this machine, and git has no other hash of it in {manifest.path}; "
            f"name one: lazyimport deploy {manifest.path} --app {name} --hash HASH"
        )
    return before
