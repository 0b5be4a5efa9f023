"""``lazyimport pack``."""

from __future__ import annotations

from lazyimport.cli import declare, options
from lazyimport.cli.figures import size
from lazyimport.cli.packing import pack_and_tell, pack_options
from lazyimport.cli.progress import Progress
from lazyimport.packing import PackOptions
from lazyimport.settings import Settings

_EXAMPLES = """
lazyimport pack                           the tree in the current folder
lazyimport pack src vendor/site-packages  several trees as one
lazyimport pack --python 3.11 --python 3.12
lazyimport pack -o code.lza               and a copy to carry elsewhere
lazyimport pack --exclude 'notebooks/' --exclude '*.csv'
lazyimport pack app-1.2.tar.gz            a tarball, zip or wheel, or its URL
"""


@declare.command("pack", examples=_EXAMPLES)
@declare.argument(
    "[ROOT ...]",
    "Folders and files to pack, by default those of [tool.lazyimport] roots, else the "
    "project's src, else the current folder; or one zip, wheel or tarball.",
    "roots",
)
@declare.option(
    "-o, --output FILE", "Write the archive, compressed, into this file too."
)
@options.quiet
@options.settings(store=False)
@pack_options
def command(
    roots: tuple[str, ...],
    output: str | None,
    quiet: bool,
    settings: Settings,
    packing: PackOptions,
) -> None:
    """Pack a tree into an archive.

    Packs folders and files into one archive in the node cache, and prints its hash,
    alone, on stdout.

    A folder with an __init__.py is packed as that package; the contents of any
    other folder go to the top of the archive, as if it were on sys.path. Unchanged
    sources are not compiled again.
    """
    with Progress(quiet=quiet) as reporter:
        packed = pack_and_tell(roots, settings, packing, reporter)
        if output:
            path = options.folder(output)
            reporter.step(f"compressing into {path}")
            reporter.say(f"wrote {path}, {size(packed.save(path))}")
    print(packed.hash)
