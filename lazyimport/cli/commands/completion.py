"""``lazyimport completion``."""

from __future__ import annotations

import click

from lazyimport.cli import declare

_EXAMPLES = """
lazyimport completion bash > /etc/bash_completion.d/lazyimport
lazyimport completion zsh > ~/.zfunc/_lazyimport    if that is in fpath
lazyimport completion fish > ~/.config/fish/completions/lazyimport.fish
"""


@declare.command("completion", examples=_EXAMPLES)
@declare.argument(
    "SHELL",
    "The shell: bash, zsh or fish.",
    type=click.Choice(["bash", "zsh", "fish"]),
)
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print a completion script for a shell."""
    from click.shell_completion import ShellComplete, get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    root = context.find_root().command
    # Not found(...).source(): that of bash runs the bash it finds, to warn of old ones.
    print(ShellComplete.source(found(root, {}, "lazyimport", declare.COMPLETE)))
