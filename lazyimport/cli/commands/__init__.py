"""The commands, one module each, and the group of them all."""

from __future__ import annotations

import sys

import click

from lazyimport.cli.declare import LazyGroup
from lazyimport.cli.exit_codes import USAGE

_SECTIONS = {
    "See it work": {
        "demo": "Ship, change and roll back an application on this machine.",
    },
    "Make archives and run them": {
        "init": "Write [tool.lazyimport] into the pyproject.toml here.",
        "pack": "Pack a tree into an archive.",
        "push": "Pack a tree and put it into a store.",
        "run": "Run a module of an archive.",
    },
    "Look into archives": {
        "ls": "List archives, or what is in one.",
        "show": "Show everything about one archive.",
        "diff": "Show what differs between archives, or from the tree here.",
        "report": "Draw what an archive holds, and what a process imported from it.",
        "cat": "Print one file of an archive.",
        "pull": "Write all files of an archive into a folder.",
        "materialize": "Put all files of an archive where __file__ points.",
        "check": "Import from an archive what a worker will import first.",
    },
    "Deploy": {
        "deploy": "Set the hash that an application runs.",
        "rollback": "Take an application back to the last version that worked.",
        "history": "Show how an application was deployed, and what came of it.",
        "status": "Show which hash runs where.",
        "dev": "Run each saved change in the living replicas of an application.",
        "runtime-env": "Print the runtime environment whose workers run an archive.",
    },
    "Look after stores and nodes": {
        "channel": "Name archives, and see what the names pointed to before.",
        "log": "Show what was pushed, pointed to and deployed, and by whom.",
        "gc": "Delete from the store what nobody needs.",
        "verify": "Read and prove everything in a store.",
        "keygen": "Make a key to sign with.",
        "sign": "Sign an archive that is in the store.",
        "cache": "Look into the node cache, check it, and make room in it.",
    },
    "More": {
        "doctor": "Try what this machine needs to run an archive.",
        "completion": "Print a completion script for a shell.",
        "help": "Show the help of a command, or of lazyimport.",
    },
}

_EXAMPLES = """
From a project folder into a bucket, and running it from there:

  export LAZYIMPORT_STORE=gs://bucket/code
  hash=$(lazyimport push .)
  lazyimport run "$hash" -m my_project.train --epochs 3

From there into a Ray cluster, and back:

  lazyimport deploy serve.yaml --push . --apply --wait
  lazyimport rollback serve.yaml --apply --wait
"""


def _show_version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from lazyimport.format.sections import VERSION
        from lazyimport.registry.provenance import own_version

        python = sys.version.split()[0]
        click.echo(
            f"lazyimport {own_version()}, Python {python}, archive format {VERSION}"
        )
        context.exit()


@click.group(
    "lazyimport",
    cls=LazyGroup,
    package=__name__,
    sections=_SECTIONS,
    examples=_EXAMPLES,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the versions of lazyimport, Python and the archive format.",
)
@click.pass_context
def command(context: click.Context) -> None:
    """Take Python code out of the image.

    Pack a tree into an archive named by the hash of what it holds, push it to a
    store, and run it by that hash: on a Ray cluster, or anywhere else.

    Settings come from options, else from the environment (LAZYIMPORT_STORE,
    LAZYIMPORT_CACHE_DIR, LAZYIMPORT_TIMEOUT, ...); packing is configured in
    [tool.lazyimport] of the nearest pyproject.toml.
    """
    if context.invoked_subcommand is None:
        # Not on stdout: a script that lost its arguments must notice.
        click.echo(context.get_help(), err=True)
        context.exit(USAGE)
