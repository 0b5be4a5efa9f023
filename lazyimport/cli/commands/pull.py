"""``lazyimport pull``."""

from __future__ import annotations

from lazyimport.cache.export import export
from lazyimport.cli import console, declare, options
from lazyimport.cli.figures import amount
from lazyimport.cli.progress import Progress
from lazyimport.delivery.contents import fetch_to_read
from lazyimport.delivery.lookup import resolve
from lazyimport.settings import Settings

_EXAMPLES = """
lazyimport pull 4be81c02 ./as-it-runs
lazyimport pull prod ./as-it-runs --store gs://bucket/code
"""


@declare.command("pull", examples=_EXAMPLES)
@options.archive()
@declare.argument(
    "DIR",
    "Where to put the files: a folder that is empty, or does not exist.",
    "folder",
    shell_complete=options.complete_folder,
)
@options.settings()
def command(archive: str, folder: str, settings: Settings) -> None:
    """Write all files of an archive into a folder.

    Makes a separate copy, to read, search and compare; nothing runs from it.
    Prints the folder, alone, on stdout.
    """
    target = options.folder(folder)
    with Progress() as reporter:
        hash = resolve(archive, settings, reporter=reporter)
        found = fetch_to_read(hash, settings, reporter)
        export(found, target)
    console.say(f"{amount(found.index.files, 'file')} of archive {hash}")
    print(target)
