"""``lazyimport rollback``."""

from __future__ import annotations

import click

from lazyimport.cli import declare, deploying, options
from lazyimport.cli.deploying import Wishes
from lazyimport.cli.following import follow_and_tell
from lazyimport.cli.progress import Progress
from lazyimport.deploy import ClusterRollback, History, Manifest, plan_rollback
from lazyimport.settings import Settings

_EXAMPLES = """
lazyimport rollback serve.yaml --apply --wait
lazyimport rollback --app shop --wait               the cluster alone
"""


@declare.command("rollback", examples=_EXAMPLES)
@deploying.manifest("[FILE]")
@deploying.wishes
@options.quiet
@options.settings(store=False)
def command(file: str | None, wishes: Wishes, quiet: bool, settings: Settings) -> None:
    """Set the hash that an application ran before.

    Sets the hash before as this machine deployed it, else as git has it. Without
    FILE, changes a running cluster alone.
    """
    history = History(settings.cache_dir)
    with Progress(quiet=quiet) as reporter:
        if file is None:
            _in_cluster(wishes, history, reporter)
            return
        manifest = Manifest.read(file)
        wishes.check(manifest.choose(wishes.names))
        plan = plan_rollback(manifest, wishes.names, history)
        deploying.carry_out(plan, wishes, history, reporter)


def _in_cluster(wishes: Wishes, history: History, reporter: Progress) -> None:
    """Change the hash in the cluster alone, where no file is at hand."""
    if len(wishes.names) != 1 or wishes.diff or wishes.prefetch:
        raise click.UsageError(
            "give the manifest; or one --app NAME, without --diff and --prefetch, to "
            "change the cluster alone"
        )
    cluster = wishes.target.cluster()
    change = ClusterRollback(cluster, wishes.names[0], history)
    reporter.say(f"{cluster.address}: {change.name}: {change.before} -> {change.hash}")
    if wishes.dry_run:
        reporter.say("nothing was changed: --dry-run")
        return
    change.apply()
    reporter.warn(
        "the cluster differs from the manifest now; change that too, or the next time "
        f"it is applied it brings back {change.before}"
    )
    if wishes.wait:
        follow_and_tell(change.follow(wishes.timeout), reporter)
