"""``lazyimport history``."""

from __future__ import annotations

import click

from lazyimport.cli import console, declare, deploying, options
from lazyimport.cli.figures import amount
from lazyimport.cli.progress import Progress
from lazyimport.settings import Settings
from lazyimport.values import redact

_HEADER = ("DEPLOYED", "HASH", "OUTCOME", "BY", "MANIFEST", "REASON")


@declare.command("history")
@declare.argument(
    "[APP]",
    "The application, as the manifest and Serve call it; by default the one of "
    "[tool.lazyimport], or the only one of its manifest.",
    "app",
)
@declare.option("-l, --long", "Print whole hashes.")
@options.json
@options.settings(project=True)
def command(app: str | None, long: bool, as_json: bool, settings: Settings) -> None:
    """Show how an application was deployed, and what came of it.

    Shows what 'deploy' and 'rollback' recorded in the store and on this machine, the
    newest first. If any key is trusted, marks what no trusted key signed; 'rollback'
    passes it over.
    """
    app = app or deploying.app_here()
    if app is None:
        raise click.UsageError(
            "give the application, or name it or the manifest in pyproject.toml: "
            "[tool.lazyimport]"
        )
    if as_json:
        options.refuse_idle(["long"], "with --json: hashes are whole")
    with Progress() as reporter:
        history = deploying.open_history(settings, reporter)
        deployments = history.deployments(app)
    if as_json:
        console.print_json(
            [{"began": each.began, **console.facts(each)} for each in deployments]
        )
        return
    rows = [
        (
            each.began,
            each.hash[: 64 if long else 12],
            f"{'rollback, ' * each.back}{each.outcome}"
            + ("" if each.trusted else " (not signed by a trusted key)"),
            each.by,
            each.manifest or each.cluster,
            each.reason,
        )
        for each in deployments
    ]
    console.print_table(rows, header=_HEADER)
    where = f"the node cache {settings.cache_dir}"
    if settings.store:
        where = f"{redact(settings.store)} and {where}"
    found = f"{app}: {amount(len(rows), 'deployment')}, from {where}"
    other = "" if rows else "; see 'lazyimport log' for what was deployed"
    console.say(found + other * bool(settings.store))
