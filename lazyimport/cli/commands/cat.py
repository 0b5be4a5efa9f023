"""``lazyimport cat``."""

from __future__ import annotations

import sys

from lazyimport.cli import console, declare, options
from lazyimport.cli.progress import Progress
from lazyimport.delivery.contents import read_contents
from lazyimport.delivery.lookup import resolve
from lazyimport.settings import Settings

_EXAMPLES = """
lazyimport cat 4be81c02 shop/cart.py
lazyimport cat prod shop/logo.png --store gs://bucket/code > logo.png
"""


@declare.command("cat", examples=_EXAMPLES)
@options.archive()
@declare.argument("PATH", "The path of a file, as 'ls --long' lists it.")
@options.settings()
def command(archive: str, path: str, settings: Settings) -> None:
    """Print one file of an archive.

    Checks its bytes and writes them to stdout; on a terminal, escapes control
    characters.
    """
    with Progress() as reporter:
        hash = resolve(archive, settings, reporter=reporter)
        contents = read_contents(hash, settings, reporter)
        data = contents.content(contents.file(path))
    if console.is_live(sys.stdout):
        console.print_text(bytes(data).decode(errors="backslashreplace"))
    else:
        sys.stdout.buffer.write(data)
