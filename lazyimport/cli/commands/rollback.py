"""``lazyimport rollback``."""

from __future__ import annotations

from shlex import quote

from lazyimport.cli.commands.deploy import change
from lazyimport.cli.options import UsageError, read_settings
from lazyimport.cli.progress import Notes
from lazyimport.cli.rollout import check_options, cluster, follow_to_end
from lazyimport.cli.tables import tolerant
from lazyimport.deploy.errors import DeployError
from lazyimport.deploy.history import Record, committed
from lazyimport.deploy.manifest import Manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from lazyimport.deploy.cluster import Served
    from lazyimport.deploy.manifest import Application
    from lazyimport.settings import Settings

__all__ = ["run"]


def run(arguments: argparse.Namespace) -> int:
    """Set the hash that was there before."""
    tolerant()
    notes = Notes(quiet=arguments.quiet)
    settings = read_settings(arguments)
    if arguments.file is None:
        return _in_cluster(arguments, settings, notes)
    manifest = Manifest.read(arguments.file)
    applications = manifest.choose(arguments.app)
    check_options(arguments, applications)
    targets = {_previous(app, manifest, settings) for app in applications}
    if len(targets) > 1:
        raise DeployError(
            "these applications had different hashes before; roll back one at a time"
        )
    return change(manifest, targets.pop(), arguments, settings, notes)


def _previous(application: Application, manifest: Manifest, settings: Settings) -> str:
    name, now = application.name, application.hash
    record = Record(settings.cache_dir, manifest.path)
    before = record.before(name, now)
    if before is None:
        before = next((h for h in committed(manifest.path, name) if h != now), None)
    if before is None and record.began(name, now):
        raise DeployError(
            f"{name} had no hash before {now}: to go back to that, take LAZYIMPORT_HASH "
            f"out of {manifest.path}:{application.line}; to go to another, "
            f"lazyimport deploy {quote(manifest.path)} --app {quote(name)} --hash HASH"
        )
    if before is None:
        raise DeployError(
            f"nobody knows what {name} ran before {now or 'now'}: it was not deployed "
            f"from this machine, and git has no other hash of it in {manifest.path}; "
            f"name one: lazyimport deploy {quote(manifest.path)} --app {quote(name)} "
            "--hash HASH"
        )
    return before


def _in_cluster(arguments: argparse.Namespace, settings: Settings, notes: Notes) -> int:
    """Change the hash in the cluster alone, where no file is at hand."""
    if len(arguments.app) != 1 or arguments.diff or arguments.prefetch:
        raise UsageError(
            "give the manifest; or one --app NAME, without --diff and --prefetch, to "
            "change the cluster alone"
        )
    (name,) = arguments.app
    target = cluster(arguments)
    served = target.served().get(name)
    if served is None or served.hash is None:
        raise DeployError(
            f"Serve at {target.address} has no application {name!r} that was deployed "
            "by a config with a hash; see 'lazyimport status'"
        )
    record = Record(settings.cache_dir, target.address)
    before = _still_running(served) or record.before(name, served.hash)
    if before is None:
        raise DeployError(
            f"nobody knows what {name} ran before {served.hash}: every replica runs "
            "that, and it was not deployed from this machine; deploy a hash by name"
        )
    notes.say(f"{target.address}: {name}: {served.hash} -> {before}")
    if arguments.dry_run:
        notes.say("nothing was changed: --dry-run")
        return 0
    config = target.config()
    for application in config["applications"]:
        if application["name"] == name:
            _set(application["runtime_env"], before)
    target.apply(config)
    record.add(name, served.hash, before)
    notes.warn(
        "the cluster differs from the manifest now; change that too, or the next one "
        "who applies it brings the hash back"
    )
    if arguments.wait:
        undo = f"lazyimport rollback --app {quote(name)} --address {target.address}"
        follow_to_end(target, {name: before}, arguments.timeout, notes, undo)
    return 0


def _still_running(served: Served) -> str | None:
    """Return the hash of the replicas that a failed deployment has left in place."""
    others = {r.hash for r in served.replicas if r.serves} - {served.hash}
    return others.pop() if len(others) == 1 else None


def _set(runtime_env: dict[str, dict[str, str]], hash: str) -> None:
    if "lazyimport" in runtime_env:
        runtime_env["lazyimport"]["hash"] = hash
    else:
        runtime_env["env_vars"]["LAZYIMPORT_HASH"] = hash
