"""``lazyimport channel``: names for archives, and what they pointed to before."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from lazyimport.cli import console, declare, options
from lazyimport.cli.figures import amount, describe_channel, one_line
from lazyimport.delivery.lookup import resolve
from lazyimport.registry.channel import Change
from lazyimport.registry.channels import (
    read_channel,
    read_channels,
    remove_channel,
    roll_back,
    set_channel,
)
from lazyimport.registry.provenance import builder, commit_of
from lazyimport.registry.resolution import resolve_channel
from lazyimport.registry.signing import Signer, Trusted
from lazyimport.settings import Settings
from lazyimport.stores import MutableStore, ReadStore, mutable, open_store, writable

_EXAMPLES = """
lazyimport channel set prod 4be81c02 -m 'the fix for the cart'
lazyimport channel log prod
lazyimport channel rollback prod       what it pointed to before
lazyimport channel rollback prod 12    what it pointed to from change 12 on
export LAZYIMPORT_HASH=$(lazyimport channel get prod)
"""
_SHORT = 12


@declare.group("channel", examples=_EXAMPLES, subcommand_metavar="ACTION ...")
def command() -> None:
    """Name archives, and see what the names pointed to before.

    A channel is a name in the store that points to an archive: 'prod', 'main', a
    branch. It can be changed, and remembers who changed it, when, and to what.
    Wherever a command takes a hash it takes the name of a channel as well.
    """


_name = declare.argument("NAME", "The name of the channel.", callback=options.channel)


@command.command("set")
@_name
@options.archive()
@options.message
@options.sign
@options.settings(required=True)
def _set(
    name: str, archive: str, message: str, signer: Signer | None, settings: Settings
) -> None:
    """Point a channel to an archive."""
    hash = resolve(archive, settings)
    store = _open_to_change(settings)
    channel = set_channel(
        store,
        name,
        hash,
        by=builder(os.environ),
        message=message,
        commit=commit_of(store, hash),
        signer=signer,
        trusted=Trusted.of(settings),
    )
    console.say(describe_channel(channel, store.url))


@command.command("get")
@_name
@options.settings(required=True)
def _get(name: str, settings: Settings) -> None:
    """Print the hash that a channel points to."""
    print(resolve_channel(settings, name).hash)


@command.command("log")
@_name
@options.json
@options.settings(required=True)
def _log(name: str, as_json: bool, settings: Settings) -> None:
    """List what a channel pointed to, the newest change first."""
    channel = read_channel(_open(settings), name)
    if as_json:
        console.print_json([change.facts for change in channel.changes])
        return
    header = ("#", "ARCHIVE", "WHEN (UTC)", "BY", "COMMIT", "MESSAGE")
    console.print_table(map(_row, channel.changes), header=header, right=(0,))


@command.command("rollback")
@_name
@declare.argument(
    "[N|HASH]",
    "The number of a change as 'log' prints it, or a hash from there; by default the "
    "last archive before this one.",
    "to",
)
@options.message
@options.sign
@options.settings(required=True)
def _roll_back(
    name: str, to: str | None, message: str, signer: Signer | None, settings: Settings
) -> None:
    """Point a channel to what it pointed to before."""
    store = _open_to_change(settings)
    channel = roll_back(
        store,
        name,
        None if to is None else _target(to, store, name),
        by=builder(os.environ),
        message=message,
        signer=signer,
        trusted=Trusted.of(settings),
    )
    console.say(describe_channel(channel, store.url))


@command.command("ls")
@options.json
@options.settings(required=True)
def _ls(as_json: bool, settings: Settings) -> None:
    """List the channels in the store."""
    store = writable(_open(settings))
    channels = [found for found in read_channels(store) if found.hash]
    if as_json:
        console.print_json([{"channel": c.name, **c.newest.facts} for c in channels])
        return
    rows = []
    for channel in channels:
        number, archive, when, by, commit, message = _row(channel.newest)
        rows.append((channel.name, archive, number, when, by, commit, message))
    header = ("CHANNEL", "ARCHIVE", "#", "WHEN (UTC)", "BY", "COMMIT", "MESSAGE")
    console.print_table(rows, header=header, right=(2,))
    count = amount(len(channels), "channel") if channels else "no channels"
    console.say(f"{count} in {store.url}")


@command.command("rm")
@_name
@options.message
@options.sign
@options.settings(required=True)
def _rm(name: str, message: str, signer: Signer | None, settings: Settings) -> None:
    """Point a channel to nothing; its history stays."""
    store = _open_to_change(settings)
    by = builder(os.environ)
    channel = remove_channel(store, name, by=by, message=message, signer=signer)
    console.say(describe_channel(channel, store.url))


def _open(settings: Settings) -> ReadStore:
    return open_store(str(settings.store), timeout=settings.timeout)


def _open_to_change(settings: Settings) -> MutableStore:
    return mutable(_open(settings))


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


def _target(text: str, store: ReadStore, name: str) -> int | str:
    """Return the number of a change, or the hash in the history of channel *name*."""
    digits = text.removeprefix("#")
    if digits.isdecimal() and len(digits) < 6:
        return int(digits)
    known = [change.hash for change in read_channel(store, name).changes]
    return _one_of(text.lower(), [hash for hash in known if hash], name)


def _one_of(prefix: str, hashes: Sequence[str], name: str) -> str:
    found = sorted({hash for hash in hashes if hash.startswith(prefix)})
    if len(found) == 1:
        return found[0]
    listed = f": {', '.join(found)}" if found else ""
    raise click.UsageError(
        f"{len(found) or 'none'} of the archives in the history of channel {name} "
        f"begin with {prefix!r}{listed}; see 'lazyimport channel log {name}'"
    )
