"""``lazyimport help``."""

from __future__ import annotations

import click

from lazyimport.cli import declare


@declare.command("help", examples="lazyimport help channel set")
@declare.argument(
    "[COMMAND ...]", "The command, and its action if it has actions.", "words"
)
@click.pass_context
def command(context: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of a command, or of lazyimport."""
    shown = context.find_root()
    for word in words:
        if not isinstance(shown.command, declare.Group):
            raise click.UsageError(f"{shown.command_path} has no action {word!r}")
        _, found, _ = shown.command.resolve_command(shown, [word])
        assert found is not None
        shown = click.Context(found, parent=shown, info_name=word)
    click.echo(shown.get_help())
