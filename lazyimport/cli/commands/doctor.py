"""``lazyimport doctor``."""

from __future__ import annotations

import os

from lazyimport.cli import console, declare, deploying, options
from lazyimport.cli.exit_codes import DONE, FAILED
from lazyimport.cli.progress import Progress
from lazyimport.delivery.doctor import examine
from lazyimport.delivery.lookup import resolve
from lazyimport.deploy import Target
from lazyimport.settings import ENVIRONMENT, Settings
from lazyimport.values import redact

#: Seconds that the nodes of a cluster may take for all of it.
_SECONDS = 300.0


_EXAMPLES = """
lazyimport doctor --write                  before the first push
lazyimport doctor 4be81c02                 where it is to run
lazyimport doctor --address http://head:8265
"""


@declare.command("doctor", examples=_EXAMPLES)
@options.archive("[HASH]")
@declare.option(
    "--write", "Try what a push needs too: the right to write to the store."
)
@declare.option(
    "--address URL",
    "Try it on every node of a cluster instead, by a job of Ray: ask Ray's dashboard at "
    "this address.",
    "target",
    callback=deploying.typed_target,
)
@options.json
@options.settings()
def command(
    archive: str | None,
    write: bool,
    target: Target | None,
    as_json: bool,
    settings: Settings,
) -> int:
    """Try what this machine needs to run an archive.

    Tries activation, the node cache and its disk, the store, and whether the archive,
    by default that of LAZYIMPORT_HASH, is for this Python and platform. Run it on a
    laptop, in an image or in a pod; --address tries it in a cluster. The exit code is 1
    if anything failed.
    """
    named = archive or os.environ.get(ENVIRONMENT["hash"])
    with Progress() as reporter:
        if target is None:
            reporter.step("looking around")
            found = list(examine(settings, named, environ=os.environ, write=write))
        else:
            cluster = target.cluster()
            hash = resolve(archive, settings, reporter=reporter) if archive else None
            store = settings.store
            shown = store if store and redact(store) == store else None
            reporter.step(f"nodes at {cluster.address} look around")
            found = cluster.examine(hash, shown, _SECONDS, write=write)
    if as_json:
        console.print_json(found)
    else:
        rows = [
            ("ok" if well else "FAILED", *filter(None, [where]), tried, text)
            for tried, text, well, where in found
        ]
        console.print_table(rows)
        if not settings.store:
            console.say("no store is named, so none was tried")
    return DONE if all(each.well for each in found) else FAILED
