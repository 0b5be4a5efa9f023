"""``lazyimport doctor``."""

from __future__ import annotations

import os

from lazyimport.cli import console, declare, options
from lazyimport.cli.exit_codes import DONE, FAILED
from lazyimport.cli.progress import Progress
from lazyimport.delivery.doctor import examine
from lazyimport.settings import ENVIRONMENT, Settings


@declare.command("doctor")
@options.archive("[HASH]")
@declare.option(
    "--write", "Try what a push needs too: the right to write to the store."
)
@options.json
@options.settings()
def command(archive: str | None, write: bool, as_json: bool, settings: Settings) -> int:
    """Try what this machine needs to run an archive.

    Tries activation, the node cache and its disk, the store, and whether the archive,
    by default that of LAZYIMPORT_HASH, is for this Python and platform. Run it on a
    laptop, in an image or in a pod. The exit code is 1 if anything failed.
    """
    named = archive or os.environ.get(ENVIRONMENT["hash"])
    with Progress() as reporter:
        reporter.step("looking around")
        found = list(examine(settings, named, environ=os.environ, write=write))
    if as_json:
        console.print_json(found)
    else:
        rows = [("ok" if well else "FAILED", *texts) for *texts, well in found]
        console.print_table(rows)
        if not settings.store:
            console.say("no store is named, so none was tried")
    return DONE if all(each.well for each in found) else FAILED
