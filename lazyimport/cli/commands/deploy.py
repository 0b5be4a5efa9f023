"""``lazyimport deploy``."""

from __future__ import annotations

import shlex
import sys

from lazyimport.cache.node import NodeCache
from lazyimport.cli.options import (
    UsageError,
    load_signer,
    read_settings,
    required_store,
    resolve,
)
from lazyimport.cli.progress import Notes
from lazyimport.cli.rollout import apply, check_options, cluster, prefetch, wait
from lazyimport.cli.tables import tolerant
from lazyimport.deploy.errors import DeployError
from lazyimport.deploy.history import Record
from lazyimport.deploy.manifest import SERVE, Manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from lazyimport.deploy.manifest import Application
    from lazyimport.settings import Settings

__all__ = ["change", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Set the hash in the manifest, and do what else the options ask for."""
    tolerant()
    notes = Notes(quiet=arguments.quiet)
    settings = read_settings(arguments)
    given = [o for o in ("hash", "channel", "push") if getattr(arguments, o)]
    if len(given) != 1:
        raise UsageError(
            "which archive? Give one of --hash HASH, --channel NAME and --push DIR"
        )
    manifest = Manifest.read(arguments.file)
    applications = manifest.choose(arguments.app)
    check_options(arguments, applications)  # before anything takes time

    def check(hash: str) -> None:
        _check(hash, applications, settings, arguments, notes)

    wanted = None if arguments.check is None else check
    hash = _hash(arguments, settings, notes, wanted)
    return change(manifest, hash, arguments, settings, notes)


def change(
    manifest: Manifest,
    hash: str,
    arguments: argparse.Namespace,
    settings: Settings,
    notes: Notes,
) -> int:
    """Make the chosen applications run *hash*; return the exit code."""
    after = manifest.with_hash(hash, arguments.app)
    _announce(manifest, after, arguments, settings, notes)
    if arguments.dry_run:
        notes.say(f"nothing was written to {manifest.path}: --dry-run")
        return 0
    if arguments.prefetch:
        prefetch(after.choose(arguments.app), arguments, notes)
    manifest = _as_it_is_now(manifest, notes)
    after = manifest.with_hash(hash, arguments.app)
    chosen = after.choose(arguments.app)
    before = {a.name: a.hash for a in manifest.choose(arguments.app)}
    if after.text != manifest.text:
        after.write()
        record = Record(settings.cache_dir, manifest.path)
        for name, was in before.items():
            record.add(name, was, hash)
    named = [word for name in arguments.app for word in ("--app", name)]
    undo = shlex.join(["lazyimport", "rollback", manifest.path, *named])
    if arguments.apply:
        _apply(after, chosen, arguments, notes, undo)
        _record_applied(manifest.path, chosen, before, arguments, settings)
    if arguments.wait:
        wait(chosen, arguments, notes, f"{undo} --apply --wait")
    return 0


def _announce(
    manifest: Manifest,
    after: Manifest,
    arguments: argparse.Namespace,
    settings: Settings,
    notes: Notes,
) -> None:
    """Say what will be changed, and what about it a person may not expect."""
    for warning in after.warnings:
        notes.warn(warning)
    if arguments.diff:
        _print_diff(manifest, after)
    before = {a.name: a.hash for a in manifest.choose(arguments.app)}
    for application in after.choose(arguments.app):
        _warn_of_another_store(application, settings, notes)
        was, hash = before[application.name], application.hash
        notes.say(
            f"{manifest.path}:{application.line}: {application.name}: "
            + (f"{was or 'no hash'} -> {hash}" if was != hash else f"has {hash}")
        )


def _as_it_is_now(manifest: Manifest, notes: Notes) -> Manifest:
    """Return the manifest as its file is now: pushing and checking take time."""
    fresh = Manifest.read(manifest.path)
    if fresh.text != manifest.text:
        notes.warn(
            f"{manifest.path} was changed by somebody meanwhile; the hash goes into it "
            "as it is now"
        )
    return fresh


def _warn_of_another_store(
    application: Application, settings: Settings, notes: Notes
) -> None:
    theirs, ours = application.store, settings.store
    if theirs and ours and theirs.rstrip("/") != ours.rstrip("/"):
        notes.warn(
            f"the workers of {application.name} look in {theirs}, as the manifest says, "
            f"and here the store is {ours}: the archive must be in theirs"
        )


def _apply(
    manifest: Manifest,
    applications: Sequence[Application],
    arguments: argparse.Namespace,
    notes: Notes,
    undo: str,
) -> None:
    try:
        apply(manifest, applications, arguments, notes)
    except DeployError as error:
        raise error.with_text(
            f"{error}\n{manifest.path} names {applications[0].hash} already: to try "
            f"again, run this again; to take it back: {undo}"
        ) from error


def _record_applied(
    path: str,
    applications: Sequence[Application],
    before: Mapping[str, str | None],
    arguments: argparse.Namespace,
    settings: Settings,
) -> None:
    """Note what a cluster was given, for a rollback without the file."""
    record = Record(settings.cache_dir, cluster(arguments).address)
    for application in applications:
        name, hash = application.name, application.hash
        if application.kind != SERVE or not hash:
            continue
        was = before[name]
        if was == hash:  # changed by a run that could not apply it
            was = Record(settings.cache_dir, path).before(name, hash)
        record.add(name, was, hash)


def _hash(
    arguments: argparse.Namespace,
    settings: Settings,
    notes: Notes,
    check: Callable[[str], None] | None,
) -> str:
    """Return the hash to deploy, checked: named, or of what is pushed now."""
    if arguments.push:
        from lazyimport.cli.commands.push import push

        signer = load_signer(arguments)
        return push(arguments.push, arguments, settings, notes, check, signer).hash
    if arguments.channel:
        from lazyimport.registry.channels import resolve_channel

        required_store(settings)
        hash = str(resolve_channel(settings, arguments.channel).hash)
        notes.say(f"channel {arguments.channel} names {hash}")
    else:
        hash = resolve(arguments.hash, settings)
    if settings.store:
        _check_stored(hash, required_store(settings), settings)
    else:
        notes.say("no store is named, so it was not checked that the archive is there")
    if check is not None:
        check(hash)
    return hash


def _check(
    hash: str,
    applications: Sequence[Application],
    settings: Settings,
    arguments: argparse.Namespace,
    notes: Notes,
) -> None:
    """Import from the archive what Serve will."""
    from lazyimport.cli.commands.check import try_entries

    paths = [a.import_path for a in applications if a.import_path]
    entries = [arguments.check] if arguments.check else paths
    if not entries:
        raise UsageError("nothing here has an import_path: name one, --check MODULE")
    by_value = [path for a in applications for path in a.by_value]
    try_entries(hash, entries, settings, arguments, notes, by_value)


def _check_stored(hash: str, url: str, settings: Settings) -> None:
    """Raise ArchiveMissing unless the store has the archive."""
    from lazyimport.errors import ArchiveMissing, KeyMissing
    from lazyimport.format.archive import HEADER_SIZE
    from lazyimport.registry.archives import archive_key
    from lazyimport.stores import open_store

    try:
        open_store(url, timeout=settings.timeout).read(
            archive_key(hash), 0, HEADER_SIZE
        )
    except KeyMissing as error:
        cached = NodeCache(settings.cache_dir).open(hash) is not None
        where = "it is only in the node cache here" if cached else "check the hash"
        raise ArchiveMissing(
            f"archive {hash} is not in {url}, so no worker could run it; {where}, or "
            "push and deploy in one go with --push DIR",
            hash=hash,
            store=url,
        ) from error


def _print_diff(before: Manifest, after: Manifest) -> None:
    from difflib import unified_diff

    lines = unified_diff(
        before.text.splitlines(keepends=True),
        after.text.splitlines(keepends=True),
        before.path,
        after.path,
    )
    for line in lines:
        sys.stdout.write(line if line.endswith("\n") else f"{line}\n\\ no newline\n")
