"""``lazyimport deploy``."""

from __future__ import annotations

from lazyimport.cli import legacy
from lazyimport.cli.legacy import Notes, UsageError, read_settings, required_store
from lazyimport.cli.rollout import carry_out, check_options, make_target
from lazyimport.cli.tables import tolerant
from lazyimport.delivery.lookup import cached_hashes, resolve
from lazyimport.deploy import History, Manifest, Plan
from lazyimport.errors import ArchiveMissing

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from lazyimport.deploy import Application
    from lazyimport.settings import Settings

__all__ = ["run"]

command = legacy.command("deploy", "Set the hash in a manifest.")


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
    target, history = make_target(arguments), History(settings.cache_dir)
    manifest = Manifest.read(arguments.file)
    applications = manifest.choose(arguments.app)
    check_options(arguments, target, applications)  # before anything takes time

    def check(hash: str) -> None:
        _check(hash, applications, settings, arguments, notes)

    wanted = None if arguments.check is None else check
    hash = _hash(arguments, settings, notes, wanted)
    plan = Plan(manifest, hash, arguments.app, store=settings.store)
    return carry_out(plan, target, history, arguments, notes)


def _hash(
    arguments: argparse.Namespace,
    settings: Settings,
    notes: Notes,
    check: Callable[[str], None] | None,
) -> str:
    """Return the hash to deploy, checked: named, or of what is pushed now."""
    if arguments.push:
        from lazyimport.cli.packing import push_and_tell

        return push_and_tell(
            arguments.push,
            settings,
            legacy.pack_options(arguments),
            notes,  # type: ignore[arg-type]
            check=check,
            signer=legacy.load_signer(arguments),
        ).hash
    if arguments.channel:
        from lazyimport.registry.channels import resolve_channel

        required_store(settings)
        hash = str(resolve_channel(settings, arguments.channel).hash)
        notes.say(f"channel {arguments.channel} names {hash}")
    else:
        hash = resolve(arguments.hash, settings)
    if settings.store:
        _require_stored(hash, settings)
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
    from lazyimport.cli.checking import check_and_tell

    paths = [a.import_path for a in applications if a.import_path]
    entries = [arguments.check] if arguments.check else paths
    if not entries:
        raise UsageError("nothing here has an import_path: name one, --check MODULE")
    by_value = [path for a in applications for path in a.by_value]
    python = arguments.check_python
    check_and_tell(hash, entries, settings, python, notes, by_value)  # type: ignore[arg-type]


def _require_stored(hash: str, settings: Settings) -> None:
    """Raise ArchiveMissing unless the store has the archive."""
    from lazyimport.registry.archives import require_archive
    from lazyimport.stores import open_store

    url = required_store(settings)
    try:
        require_archive(open_store(url, timeout=settings.timeout), hash)
    except ArchiveMissing as error:
        cached = hash in cached_hashes(settings, hash)
        where = "it is only in the node cache here" if cached else "check the hash"
        raise error.with_text(
            f"archive {hash} is not in {url}, so no worker could run it; {where}, or "
            "push and deploy in one go with --push DIR"
        ) from error
