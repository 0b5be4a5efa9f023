"""``lazyimport deploy``."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from lazyimport.cli import declare, deploying, options, rolling_out
from lazyimport.cli.checking import check_and_tell, check_nodes_and_tell, check_python
from lazyimport.cli.deploying import Wishes
from lazyimport.cli.packing import NAMES, pack_options, prepare_and_tell, push_and_tell
from lazyimport.cli.progress import Progress
from lazyimport.cli.project import project
from lazyimport.delivery.lookup import resolve
from lazyimport.deploy import Application, History, Plan
from lazyimport.packing import PackOptions
from lazyimport.registry.resolution import resolve_channel
from lazyimport.registry.signer import Signer
from lazyimport.settings import Settings

_EXAMPLES = """
lazyimport deploy serve.yaml --hash 4be81c02 --diff --dry-run
lazyimport deploy rayservice.yaml --push src --store gs://bucket/code
lazyimport deploy serve.yaml --hash 4be81c02 --apply --wait
lazyimport deploy --apply --wait              pushes what pyproject.toml names
"""


@declare.command("deploy", examples=_EXAMPLES)
@deploying.manifest
@declare.option(
    "--hash HASH",
    "Deploy this archive: 64 hex digits, the first six or more, or a channel.",
    "archive",
    shell_complete=options.complete_archive,
)
@declare.option(
    "--channel NAME",
    "Deploy the archive that this channel points to now; the manifest gets its hash.",
    callback=options.channel,
)
@declare.option(
    "--push ROOT",
    "Pack this folder or file, push it, and deploy the archive. Where [tool.lazyimport] "
    "names FILE, this is the default, with what 'push' packs.",
    "roots",
    multiple=True,
)
@declare.option(
    "--check [MODULE:ATTR]",
    "Import this from the archive first, in a clean Python: by default the import_path "
    "in FILE, and what [tool.lazyimport] check names for it. With an address, ask the "
    "cluster whether the archive is for the Python and platform of its nodes.",
    "entry",
    is_flag=False,
    flag_value="",
)
@check_python
@deploying.wishes
@options.sign
@options.quiet
@options.settings(project=True)
@pack_options
def command(
    file: str | None,
    archive: str | None,
    channel: str | None,
    roots: tuple[str, ...],
    entry: str | None,
    check_python: str | None,
    wishes: Wishes,
    signer: Signer | None,
    quiet: bool,
    settings: Settings,
    packing: PackOptions,
) -> None:
    """Set the hash that an application runs.

    Sets it in the file that you keep: a Serve config, a RayService (in its
    serveConfigV2), a RayJob or RayCronJob (in its runtimeEnvYAML). Nothing else in
    the file changes.
    """
    named, (file, wishes) = file, deploying.choose(file, wishes)
    if file is None:
        raise click.UsageError(
            "give the manifest, or name it in pyproject.toml: [tool.lazyimport] manifest"
        )
    os.stat(file)  # or somebody who mistypes it is asked for an archive
    given = sum(map(bool, (archive, channel, roots)))
    if given > 1 or (named and not given):
        raise click.UsageError(
            "which archive? Give one of --hash HASH, --channel NAME and --push DIR"
        )
    is_pushed = not (archive or channel)
    if is_pushed:
        options.require_store(settings)
    else:
        options.refuse_idle(NAMES, "without --push")
    if entry is None:
        options.refuse_idle(["check_python"], "without --check")
    with Progress(quiet=quiet) as reporter:
        manifest = deploying.read_manifest(file, wishes)
        applications = manifest.choose(wishes.names)
        asks = entry is not None and deploying.can_ask(wishes, applications)
        wishes.check(applications, asks=asks)  # before anything takes time
        patience = settings.timeout
        settings = options.trusting(settings, signer)
        history = deploying.open_history(settings, reporter, signer, patience)
        entries = _entries(entry, applications, () if named else project().check)

        def check(hash: str) -> None:
            by_value = [path for app in applications for path in app.by_value]
            check_and_tell(hash, entries, settings, check_python, reporter, by_value)
            if asks:
                with wishes.target.cluster_of(applications[0]) as cluster:
                    timeout = wishes.timeout
                    check_nodes_and_tell(hash, cluster, settings, timeout, reporter)

        checked = None if entry is None else check
        if is_pushed and wishes.dry_run:
            hash = prepare_and_tell(roots, settings, packing, reporter, checked)
        elif is_pushed:
            hash = push_and_tell(
                roots,
                settings,
                packing,
                reporter,
                check=checked,
                entries=entries,
                signer=signer,
                store=history.store,
            ).hash
        else:
            hash = _named(archive, channel, settings, history, reporter)
            advice = "push and deploy in one go with --push DIR"
            dry_run = wishes.dry_run
            deploying.claim_archive(hash, history, settings, advice, dry_run=dry_run)
            if checked is not None:
                checked(hash)
        plan = Plan(manifest, hash, wishes.names, store=settings.store)
        rolling_out.carry_out(plan, wishes, history, settings, reporter)


def _entries(
    entry: str | None, applications: Sequence[Application], more: Sequence[str]
) -> list[str]:
    """Return what Serve imports at a start: *entry*, or what is named elsewhere.

    Raises click.UsageError if nothing is, and *entry* is "": the option without one.
    """
    paths = [app.import_path for app in applications if app.import_path]
    found = [entry] if entry else list(dict.fromkeys([*paths, *more]))
    if entry is not None and not found:
        raise click.UsageError(
            "nothing here has an import_path: name one, --check MODULE"
        )
    return found


def _named(
    archive: str | None,
    channel: str | None,
    settings: Settings,
    history: History,
    reporter: Progress,
) -> str:
    if channel:
        hash = str(resolve_channel(settings, channel, history.store).hash)
        reporter.say(f"channel {channel} points to {hash}")
    else:
        hash = resolve(str(archive), settings, history.store)
    if history.store is None:
        reporter.say(
            "no store is named, so it was not checked that the archive is there"
        )
    return hash
