"""``lazyimport materialize``."""

from __future__ import annotations

from lazyimport.cache.materialize import Materializer
from lazyimport.cache.node import NodeCache
from lazyimport.cli import console, declare, options
from lazyimport.cli.figures import amount
from lazyimport.cli.progress import Progress
from lazyimport.delivery.fetch import fetch
from lazyimport.delivery.lookup import resolve
from lazyimport.settings import Settings

_EXAMPLES = """
grep -rn TODO "$(lazyimport materialize 4be81c02)"
"""


@declare.command("materialize", examples=_EXAMPLES)
@options.archive()
@options.settings()
def command(archive: str, settings: Settings) -> None:
    """Put all files of an archive where __file__ points.

    Puts them at the paths that __file__ and tracebacks name, for debuggers, coverage,
    grep or an editor. Fetches large files, also those on demand.
    Prints the folder, alone, on stdout.
    """
    with Progress() as reporter:
        hash = resolve(archive, settings, reporter=reporter)
        found, _ = fetch(settings, hash, reporter)
        root = NodeCache(settings.cache_dir).tree_path(hash)
        files = Materializer(found, root)
        target = files.put_all(demanded=True)
        files.settle()  # for who keeps it, as in the layer of an image
    console.say(f"{amount(found.index.files, 'file')} of archive {hash}")
    print(target)
