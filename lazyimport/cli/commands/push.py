"""``lazyimport push``."""

from __future__ import annotations

import click

from lazyimport.cli import declare, options
from lazyimport.cli.checking import check_and_tell, check_python
from lazyimport.cli.figures import describe_channel
from lazyimport.cli.packing import pack_options, push_and_tell
from lazyimport.cli.progress import Progress
from lazyimport.cli.project import project
from lazyimport.packing import PackOptions
from lazyimport.registry.signer import Signer
from lazyimport.settings import Settings

_EXAMPLES = """
lazyimport push --store gs://bucket/code
lazyimport push src --store file:///mnt/shared/code
lazyimport push code.lza --store gs://bucket/code      what pack -o wrote
lazyimport push gs://bucket/app.zip --store gs://bucket/code
"""


@declare.command("push", examples=_EXAMPLES)
@declare.argument(
    "[ROOT|ARCHIVE ...]",
    "Folders and files to pack, by default those of [tool.lazyimport] roots, else the "
    "project's src, else the current folder; or one file that 'pack -o' wrote, or one "
    "zip, wheel or tarball.",
    "roots",
)
@declare.option(
    "--channel NAME",
    "Then point this channel to the archive.",
    callback=options.channel,
)
@options.message
@options.expires
@options.sign
@declare.option(
    "--check [MODULE:ATTR]",
    "Import this from the archive before it is sent, in a clean Python: by default what "
    "[tool.lazyimport] check names.",
    is_flag=False,
    flag_value="",
)
@check_python
@options.quiet
@options.settings(required=True)
@pack_options
def command(
    roots: tuple[str, ...],
    channel: str | None,
    message: str,
    valid_for: int | None,
    signer: Signer | None,
    check: str | None,
    check_python: str | None,
    quiet: bool,
    settings: Settings,
    packing: PackOptions,
) -> None:
    """Pack a tree and put it into a store.

    Packs as 'lazyimport pack' does, and puts the archive into a store. Prints the hash,
    alone, on stdout, once the store has it.

    If the store has a similar archive, sends only the difference.
    """
    if channel is None:
        options.refuse_idle(["message", "valid_for"], "without --channel")
    if check is None:
        options.refuse_idle(["check_python"], "without --check")
    entries = [check] if check else project().check
    if check == "" and not entries:
        raise click.UsageError("nothing to check: add MODULE:ATTR to --check")
    with Progress(quiet=quiet) as reporter:

        def try_import(hash: str) -> None:
            check_and_tell(hash, entries, settings, check_python, reporter)

        pushed = push_and_tell(
            roots,
            settings,
            packing,
            reporter,
            check=None if check is None else try_import,
            entries=entries,
            signer=signer,
            channel=channel,
            message=message,
            valid_for=valid_for,
        )
        if pushed.channel is not None:
            reporter.say(describe_channel(pushed.channel, pushed.store, message))
    print(pushed.hash)
