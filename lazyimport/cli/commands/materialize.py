"""``lazyimport materialize``."""

from __future__ import annotations

from lazyimport.cache.materialize import Materializer, export
from lazyimport.cache.node import NodeCache
from lazyimport.cli import console, declare, options
from lazyimport.cli.figures import amount
from lazyimport.cli.progress import Progress
from lazyimport.delivery.fetch import fetch
from lazyimport.delivery.lookup import resolve
from lazyimport.settings import Settings

_EXAMPLES = """
grep -rn TODO "$(lazyimport materialize 4be81c02)"
lazyimport materialize 4be81c02 ./as-it-runs --store gs://bucket/code
"""


@declare.command("materialize", examples=_EXAMPLES)
@options.archive()
@declare.argument(
    "[DIR]",
    "Where to put the files; by default where __file__ of its modules points.",
    "folder",
    shell_complete=options.complete_folder,
)
@options.settings()
def command(archive: str, folder: str | None, settings: Settings) -> None:
    """Put all files of an archive on disk.

    For debuggers, coverage, grep, an editor. Prints the folder, alone, on stdout.

    Without DIR the files go to the very paths that __file__ and tracebacks name.
    """
    with Progress() as reporter:
        hash = resolve(archive, settings, reporter=reporter)
        found, _ = fetch(settings, hash, reporter)
    target = NodeCache(settings.cache_dir).tree_path(hash)
    if folder:
        target = options.folder(folder)
        export(found, target)
    else:
        Materializer(found, target).put_all()
    console.say(f"{amount(found.index.files, 'file')} of archive {hash}")
    print(target)
