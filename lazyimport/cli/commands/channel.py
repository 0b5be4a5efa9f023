"""``lazyimport channel``: names for archives, and what they meant before."""

from __future__ import annotations

import os

from lazyimport.cli.options import (
    UsageError,
    load_signer,
    read_settings,
    required_store,
    resolve,
)
from lazyimport.cli.progress import Notes
from lazyimport.cli.tables import amount, one_line, print_json, print_table, tolerant
from lazyimport.registry.channels import (
    read_channel,
    read_channels,
    remove_channel,
    resolve_channel,
    roll_back,
    set_channel,
)
from lazyimport.registry.provenance import builder, commit_of
from lazyimport.settings import check_channel
from lazyimport.stores import mutable, open_store, writable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from lazyimport.registry.channels import Change, Channel
    from lazyimport.registry.signing import Trusted
    from lazyimport.settings import Settings
    from lazyimport.stores import ReadStore

__all__ = ["describe", "run"]

_SHORT = 12


def run(arguments: argparse.Namespace) -> int:
    """Do what the word after ``channel`` says."""
    tolerant()
    settings = read_settings(arguments)
    store = open_store(required_store(settings), timeout=settings.timeout)
    _ACTIONS[arguments.action](arguments, settings, store)
    return 0


def _set(arguments: argparse.Namespace, settings: Settings, store: ReadStore) -> None:
    check_channel(arguments.channel)
    wanted = resolve(arguments.hash, settings)
    place = mutable(store)
    channel = set_channel(
        place,
        arguments.channel,
        wanted,
        by=builder(os.environ),
        message=arguments.message,
        commit=commit_of(place, wanted),
        signer=load_signer(arguments),
        trusted=_trusted(settings),
    )
    Notes().say(describe(channel, store.url))


def _get(arguments: argparse.Namespace, settings: Settings, _: ReadStore) -> None:
    print(resolve_channel(settings, check_channel(arguments.channel)).hash)


def _log(arguments: argparse.Namespace, _: Settings, store: ReadStore) -> None:
    channel = read_channel(store, check_channel(arguments.channel))
    if arguments.json:
        print_json([change.facts for change in channel.changes])
        return
    rows = [("#", "ARCHIVE", "WHEN (UTC)", "BY", "COMMIT", "MESSAGE")]
    rows += [_row(change) for change in channel.changes]
    print_table(rows, right=(0,))


def _roll_back(
    arguments: argparse.Namespace, settings: Settings, store: ReadStore
) -> None:
    name = check_channel(arguments.channel)
    to: int | str | None = arguments.to
    if isinstance(to, str):
        digits = to.removeprefix("#")
        to = int(digits) if digits.isdecimal() and len(digits) < 6 else to
    if isinstance(to, str):
        known = [change.hash for change in read_channel(store, name).changes]
        to = _one_of(to.lower(), [hash for hash in known if hash], name)
    channel = roll_back(
        mutable(store),
        name,
        to,
        by=builder(os.environ),
        message=arguments.message,
        signer=load_signer(arguments),
        trusted=_trusted(settings),
    )
    Notes().say(describe(channel, store.url))


def _ls(arguments: argparse.Namespace, _: Settings, store: ReadStore) -> None:
    channels = [found for found in read_channels(writable(store)) if found.hash]
    if arguments.json:
        print_json([{"channel": c.name, **c.newest.facts} for c in channels])
        return
    notes = Notes()
    if not channels:
        notes.say(f"no channels in {store.url}")
        return
    rows = [("CHANNEL", "ARCHIVE", "#", "WHEN (UTC)", "BY", "COMMIT", "MESSAGE")]
    for channel in channels:
        number, archive, when, by, commit, message = _row(channel.newest)
        rows.append((channel.name, archive, number, when, by, commit, message))
    print_table(rows, right=(2,))
    notes.say(f"{amount(len(channels), 'channel')} in {store.url}")


def _rm(arguments: argparse.Namespace, _: Settings, store: ReadStore) -> None:
    channel = remove_channel(
        mutable(store),
        check_channel(arguments.channel),
        by=builder(os.environ),
        message=arguments.message,
        signer=load_signer(arguments),
    )
    Notes().say(describe(channel, store.url))


_ACTIONS = {
    "get": _get,
    "log": _log,
    "ls": _ls,
    "rm": _rm,
    "rollback": _roll_back,
    "set": _set,
}


def _row(change: Change) -> tuple[str, str, str, str, str, str]:
    return (
        str(change.number),
        change.hash[:_SHORT] if change.hash else "(removed)",
        one_line(change.at).replace("T", " ").removesuffix("Z"),
        one_line(change.by) or "-",
        _short_commit(one_line(change.commit)),
        one_line(change.message),
    )


def _short_commit(commit: str) -> str:
    name, _, rest = commit.partition(" ")
    return f"{name[:_SHORT]}{'+' if rest else ''}" or "-"


def describe(channel: Channel, store: str) -> str:
    """Return what *channel* of the *store* (URL) points to, in words."""
    before = channel.changes[1].hash if len(channel.changes) > 1 else None
    text = f"channel {channel.name} of {store} means {channel.hash or 'nothing'}"
    was = f" (#{channel.newest.number}"
    was += f", was {before[:_SHORT]})" if before else ")"
    return text + was


def _one_of(prefix: str, hashes: list[str], name: str) -> str:
    """Return the hash in the history of channel *name* that begins with *prefix*."""
    found = sorted({hash for hash in hashes if hash.startswith(prefix)})
    if len(found) == 1:
        return found[0]
    listed = f": {', '.join(found)}" if found else ""
    raise UsageError(
        f"{len(found) or 'none'} of the archives in the history of channel {name} "
        f"begin with {prefix!r}{listed}; see 'lazyimport channel log {name}'"
    )


def _trusted(settings: Settings) -> Trusted | None:
    from lazyimport.registry.signing import Trusted

    return Trusted.parse(settings.trusted_keys) if settings.trusted_keys else None
