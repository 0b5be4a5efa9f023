"""``lazyimport channel``: names for archives, and what they pointed to before."""

from __future__ import annotations

import os
from collections.abc import Sequence

from lazyimport.cli import console, declare, options
from lazyimport.cli.figures import (
    amount,
    describe_channel,
    moment,
    one_line,
    short_commit,
)
from lazyimport.registry.channel import Change, Channel
from lazyimport.registry.channels import (
    read_channel,
    read_channels,
    refresh_channel,
    remove_channel,
    roll_back,
    set_channel,
)
from lazyimport.registry.keys import fingerprint
from lazyimport.registry.opening import store_of
from lazyimport.registry.provenance import (
    builder,
    commit_facts,
    commit_in,
    read_provenance,
)
from lazyimport.registry.resolution import resolve_channel
from lazyimport.registry.signer import Signer
from lazyimport.registry.signing import Trusted
from lazyimport.settings import Settings
from lazyimport.stores import mutable, writable

_EXAMPLES = """
lazyimport channel set prod 4be81c02 -m 'the fix for the cart'
lazyimport channel log prod
lazyimport channel refresh prod --expires 14d
lazyimport channel rollback prod       what it pointed to before
lazyimport channel rollback prod 12    what it pointed to from change 12 on
export LAZYIMPORT_HASH=$(lazyimport channel get prod)
"""
_HEADER = ["#", "ARCHIVE", "WHEN", "BY", "COMMIT", "SIGNED", "EXPIRES", "MESSAGE"]
_SHORT = 12
_NOT_CHECKED = "not checked"
#: Characters of a fingerprint that tell a few keys apart.
_FINGERPRINT = 19


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
@options.archive(artifacts=False)
@options.message
@options.expires
@options.sign
@options.settings(required=True)
def _set(
    name: str,
    archive: str,
    message: str,
    valid_for: int | None,
    signer: Signer | None,
    settings: Settings,
) -> None:
    """Point a channel to an archive."""
    store = mutable(store_of(settings))
    hash = options.resolve_stored(archive, settings, store, signer)
    # Anybody may have written what the store says of the archive: not to be signed.
    commit = "" if signer else commit_in(read_provenance(store, hash))
    channel = set_channel(
        store,
        name,
        hash,
        by=builder(os.environ),
        message=message,
        commit=commit,
        valid_for=valid_for,
        signer=signer,
        trusted=Trusted.of(settings),
    )
    console.say(describe_channel(channel, store.url, message))


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
    """List what a channel pointed to, the newest change first.

    SIGNED says which trusted key has signed a change, or why none counts. Anybody
    who can write to the store may have written a change that is not signed.
    """
    channel = read_channel(store_of(settings), name)
    trusted = Trusted.of(settings)
    if as_json:
        changes = channel.changes
        console.print_json([_facts(channel, change, trusted) for change in changes])
        return
    rows = [_row(channel, change, trusted) for change in channel.changes]
    _print(rows, _HEADER)


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
    """Point a channel to what it pointed to before.

    With trusted keys, or a key to sign with, only changes count that are signed.
    """
    store = mutable(store_of(settings))
    channel = roll_back(
        store,
        name,
        _place_in_history(to) if to else None,
        by=builder(os.environ),
        message=message,
        signer=signer,
        trusted=Trusted.of(settings),
    )
    console.say(describe_channel(channel, store.url, message))


@command.command("refresh")
@_name
@options.expires
@options.sign
@options.settings(required=True)
def _refresh(
    name: str, valid_for: int | None, signer: Signer | None, settings: Settings
) -> None:
    """Let a channel that expires count for longer."""
    store = mutable(store_of(settings))
    trusted = Trusted.of(settings)
    channel = refresh_channel(store, name, valid_for, signer=signer, trusted=trusted)
    console.say(describe_channel(channel, store.url))


@command.command("ls")
@options.json
@options.settings(required=True)
def _ls(as_json: bool, settings: Settings) -> None:
    """List the channels in the store."""
    store = writable(store_of(settings))
    channels = [found for found in read_channels(store) if found.hash]
    trusted = Trusted.of(settings)
    if as_json:
        listed = [(c.name, _facts(c, c.newest, trusted)) for c in channels]
        console.print_json([{"channel": name, **facts} for name, facts in listed])
        return
    rows = [(c.name, *_row(c, c.newest, trusted)) for c in channels]
    _print(rows, ("CHANNEL", *_HEADER))
    count = amount(len(channels), "channel") if channels else "no channels"
    console.say(f"{count} in {store.url}")


@command.command("rm")
@_name
@options.message
@options.sign
@options.settings(required=True)
def _rm(name: str, message: str, signer: Signer | None, settings: Settings) -> None:
    """Point a channel to nothing; its history stays."""
    store = mutable(store_of(settings))
    channel = remove_channel(
        store,
        name,
        by=builder(os.environ),
        message=message,
        signer=signer,
        trusted=Trusted.of(settings),
    )
    console.say(describe_channel(channel, store.url, message))


def _row(channel: Channel, change: Change, trusted: Trusted | None) -> tuple[str, ...]:
    return (
        str(change.number),
        change.hash[:_SHORT] if change.hash else "(removed)",
        moment(change.at),
        one_line(change.by),
        short_commit(change.commit),
        _signature(channel, change, trusted),
        moment(change.expires),
        one_line(change.message),
    )


def _facts(
    channel: Channel, change: Change, trusted: Trusted | None
) -> dict[str, object]:
    key = change.signer(channel.name, trusted) if trusted else None
    commit = commit_facts(change.commit)
    return {**change.facts, **commit, "verified_by": key and fingerprint(key)}


def _signature(channel: Channel, change: Change, trusted: Trusted | None) -> str:
    """Return which trusted key has signed *change*, or why it does not count."""
    if not change.signatures:
        return "no"
    if trusted is None:
        return _NOT_CHECKED
    key = change.signer(channel.name, trusted)
    return fingerprint(key)[:_FINGERPRINT] if key else "not by a trusted key"


def _print(rows: Sequence[Sequence[str]], header: Sequence[str]) -> None:
    console.print_table(rows, header=header, right=(header.index("#"),))
    if any(_NOT_CHECKED in row for row in rows):
        console.say("to check signatures, set LAZYIMPORT_TRUSTED_KEYS")


def _place_in_history(text: str) -> int | str:
    """Return the number of a change, or the hash (or its first digits) of one."""
    digits = text.removeprefix("#")
    is_number = digits.isdecimal() and len(digits) < 6
    return int(digits) if is_number else text.lower()
