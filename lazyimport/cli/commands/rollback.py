"""``lazyimport rollback``."""

from __future__ import annotations

import click

from lazyimport.cli import declare, deploying, options
from lazyimport.cli.deploying import Wishes
from lazyimport.cli.following import follow_and_tell
from lazyimport.cli.progress import Progress
from lazyimport.delivery.lookup import resolve
from lazyimport.deploy import ClusterRollback, History, Manifest, plan_rollback
from lazyimport.errors import StoreUnavailable
from lazyimport.registry.signer import Signer
from lazyimport.settings import Settings

_EXAMPLES = """
lazyimport rollback serve.yaml --apply --wait
lazyimport rollback serve.yaml --to 4be81c02 --apply --wait
lazyimport rollback --app shop --wait               the cluster alone
"""


@declare.command("rollback", examples=_EXAMPLES)
@deploying.manifest("[FILE]")
@declare.option(
    "--to HASH",
    "Go back to this archive: 64 hex digits, or the first six or more.",
    shell_complete=options.complete_archive,
)
@deploying.wishes
@options.sign
@options.quiet
@options.settings()
def command(
    file: str | None,
    to: str | None,
    wishes: Wishes,
    signer: Signer | None,
    quiet: bool,
    settings: Settings,
) -> None:
    """Go back to the last version of an application that worked.

    'deploy' and 'rollback' record in the store, and on this machine, what came of
    each deployment; 'history' shows it. Where nothing is recorded, goes back to what
    git has. Without FILE, changes a running cluster alone.
    """
    with Progress(quiet=quiet) as reporter:
        history = deploying.open_history(settings, reporter, signer)
        hash = to and resolve(to, settings, history.store)
        if file is None:
            _in_cluster(hash, wishes, history, settings, reporter)
            return
        manifest = Manifest.read(file)
        wishes.check(manifest.choose(wishes.names))
        plan = plan_rollback(manifest, wishes.names, history, hash)
        hash = str(plan.applications[0].hash)
        _claim(hash, plan.why, wishes, history, settings, reporter)
        deploying.carry_out(plan, wishes, history, reporter)


def _in_cluster(
    hash: str | None,
    wishes: Wishes,
    history: History,
    settings: Settings,
    reporter: Progress,
) -> None:
    """Change the hash in the cluster alone, where no file is at hand."""
    if len(wishes.names) != 1 or wishes.diff or wishes.prefetch:
        raise click.UsageError(
            "give the manifest; or one --app NAME, without --diff and --prefetch, to "
            "change the cluster alone"
        )
    if not wishes.wait:
        options.refuse_idle(["timeout"], "without --wait")
    cluster = wishes.target.cluster()
    change = ClusterRollback(cluster, wishes.names[0], history, hash)
    _claim(change.hash, change.why, wishes, history, settings, reporter)
    reporter.say(f"{cluster.address}: {change.name}: {change.before} -> {change.hash}")
    deploying.say_why(change.hash, change.why, history, reporter)
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


def _claim(
    hash: str,
    why: str,
    wishes: Wishes,
    history: History,
    settings: Settings,
    reporter: Progress,
) -> None:
    """Make sure that the store has the archive, if it answers: nodes may have it."""
    try:
        advice = f"name another one with --to ({why})"
        dry_run = wishes.dry_run
        deploying.claim_archive(hash, history, settings, advice, dry_run=dry_run)
    except StoreUnavailable as error:
        reporter.warn(f"nobody checked that the archive is in the store: {error}")
