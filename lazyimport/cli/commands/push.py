"""``lazyimport push``."""

from __future__ import annotations

import os

from lazyimport.cli.commands.pack import summary
from lazyimport.cli.options import (
    UsageError,
    load_signer,
    pack_options,
    read_settings,
    required_store,
)
from lazyimport.cli.progress import Notes
from lazyimport.cli.tables import size
from lazyimport.errors import SettingsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from lazyimport.delivery import Pushed
    from lazyimport.delivery.publish import Published
    from lazyimport.settings import Settings

__all__ = ["describe", "push", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Pack, publish, sign, point the channel, print the hash."""
    notes = Notes(quiet=arguments.quiet)
    settings = read_settings(arguments)

    def check(hash: str) -> None:
        from lazyimport.cli.commands.check import try_entries

        try_entries(hash, [arguments.check], settings, arguments, notes)

    wanted = check if arguments.check else None
    channel = arguments.channel or None
    pushed = push(arguments.roots, arguments, settings, notes, wanted, channel)
    print(pushed.hash)
    return 0


def push(
    roots: Sequence[str],
    arguments: argparse.Namespace,
    settings: Settings,
    notes: Notes,
    check: Callable[[str], object] | None = None,
    channel: str | None = None,
) -> Pushed:
    """Push *roots* as the options say, and tell about it."""
    from lazyimport.delivery import push as push_here

    required_store(settings)
    try:
        pushed = push_here(
            roots,
            settings,
            pack_options(arguments),
            check=check,
            signer=load_signer(arguments),
            channel=channel,
            message=arguments.message if channel else "",
            environ=os.environ,
            reporter=notes,
        )
    except SettingsError as error:
        if error.name == "roots":
            raise UsageError(str(error)) from error
        raise
    finally:
        notes.clear()
    if pushed.packed is None:
        notes.say(f"read archive {pushed.hash} from {roots[0]}")
    else:
        for line in summary(pushed.packed):
            notes.say(line)
    where = f"{pushed.store}, {pushed.seconds:.1f} s"
    notes.say(f"{describe(pushed.published)} ({where})")
    if pushed.channel is not None:
        from lazyimport.cli.commands.channel import describe as describe_channel

        notes.say(describe_channel(pushed.channel, pushed.store))
    return pushed


def describe(published: Published) -> str:
    """Return what a push moved, in words."""
    if published.kind == "present":
        return "already there: nothing sent"
    if published.kind == "full":
        return f"sent {size(published.size)}, the whole archive"
    return (
        f"sent {size(published.size)} instead of {size(published.base_size)}: the "
        f"difference to {str(published.base)[:12]}"
    )
