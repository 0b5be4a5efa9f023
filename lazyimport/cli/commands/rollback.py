"""``lazyimport rollback``."""

from __future__ import annotations

import click

from lazyimport.cli import declare, deploying, options, rolling_out
from lazyimport.cli.deploying import Wishes
from lazyimport.cli.progress import Progress
from lazyimport.delivery.lookup import resolve
from lazyimport.deploy import ClusterRollback, Plan, plan_rollback
from lazyimport.errors import StoreUnavailable
from lazyimport.registry.signer import Signer
from lazyimport.settings import Settings

_EXAMPLES = """
lazyimport rollback serve.yaml --apply --wait
lazyimport rollback serve.yaml --to 4be81c02 --apply --wait
lazyimport rollback --app shop --wait               only the cluster
"""


@declare.command("rollback", examples=_EXAMPLES)
@deploying.manifest
@declare.option(
    "--to HASH",
    "Go back to this archive: 64 hex digits, or the first six or more.",
    shell_complete=options.complete_archive,
)
@deploying.wishes
@options.sign
@options.quiet
@options.settings(project=True)
def command(
    file: str | None,
    to: str | None,
    wishes: Wishes,
    signer: Signer | None,
    quiet: bool,
    settings: Settings,
) -> None:
    """Take an application back to the last version that worked.

    'deploy' and 'rollback' record in the store, and on this machine, what came of each
    deployment; 'history' shows it. If nothing is recorded, goes back to what git has.
    If no manifest is named, changes only the running cluster.
    """
    with Progress(quiet=quiet) as reporter:
        file, wishes = deploying.choose(file, wishes)
        settings = options.trusting(settings, signer)
        history = deploying.open_history(settings, reporter, signer)
        hash = to and resolve(to, settings, history.store)
        if file is None:
            options.refuse_idle(["key"], "without FILE")
            if len(wishes.names) != 1:
                raise click.UsageError(
                    "give the manifest; or one --app NAME, to change the cluster alone"
                )
            wishes = wishes._replace(apply=True)
            wishes.check(())
            cluster = wishes.target.cluster()
            plan: Plan = ClusterRollback(cluster, wishes.names[0], history, hash)
            wishes = wishes._replace(apply=False)  # writing it is that
        else:
            manifest = deploying.read_manifest(file, wishes)
            wishes.check(manifest.choose(wishes.names))
            plan = plan_rollback(manifest, wishes.names, history, hash)
        advice = f"name another one with --to ({plan.why})"
        hash, dry_run = str(plan.applications[0].hash), wishes.dry_run
        try:
            deploying.claim_archive(hash, history, settings, advice, dry_run=dry_run)
        except StoreUnavailable as error:
            reporter.warn(
                f"it was not checked that the archive is in the store: {error}"
            )
        rolling_out.carry_out(plan, wishes, history, settings, reporter)
