"""``lazyimport rollback``."""

from __future__ import annotations

from lazyimport.cli import legacy
from lazyimport.cli.legacy import Notes, UsageError, read_settings
from lazyimport.cli.rollout import carry_out, check_options, follow, make_target
from lazyimport.cli.tables import tolerant
from lazyimport.deploy import ClusterRollback, History, Manifest, plan_rollback

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from lazyimport.deploy import Cluster

__all__ = ["run"]

command = legacy.command("rollback", "Set the hash that was there before.")


def run(arguments: argparse.Namespace) -> int:
    """Set the hash that was there before."""
    tolerant()
    notes = Notes(quiet=arguments.quiet)
    history = History(read_settings(arguments).cache_dir)
    target = make_target(arguments)
    if arguments.file is None:
        return _in_cluster(arguments, target.cluster(), history, notes)
    manifest = Manifest.read(arguments.file)
    check_options(arguments, target, manifest.choose(arguments.app))
    plan = plan_rollback(manifest, arguments.app, history)
    return carry_out(plan, target, history, arguments, notes)


def _in_cluster(
    arguments: argparse.Namespace, cluster: Cluster, history: History, notes: Notes
) -> int:
    """Change the hash in the cluster alone, where no file is at hand."""
    if len(arguments.app) != 1 or arguments.diff or arguments.prefetch:
        raise UsageError(
            "give the manifest; or one --app NAME, without --diff and --prefetch, to "
            "change the cluster alone"
        )
    change = ClusterRollback(cluster, arguments.app[0], history)
    notes.say(f"{cluster.address}: {change.name}: {change.before} -> {change.hash}")
    if arguments.dry_run:
        notes.say("nothing was changed: --dry-run")
        return 0
    change.apply()
    notes.warn(
        "the cluster differs from the manifest now; change that too, or the next one "
        "who applies it brings the hash back"
    )
    if arguments.wait:
        follow(change.follow(arguments.timeout), notes)
    return 0
