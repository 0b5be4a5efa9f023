"""``lazyimport materialize``."""

from __future__ import annotations

import os

from lazyimport.cli.options import read_settings, resolve
from lazyimport.cli.progress import Notes
from lazyimport.cli.tables import amount

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

__all__ = ["run"]


def run(arguments: argparse.Namespace) -> int:
    """Put the archive's files on disk and print where."""
    from lazyimport.cache.materialize import Materializer, export
    from lazyimport.cache.node import NodeCache
    from lazyimport.delivery.fetch import fetch

    settings = read_settings(arguments)
    wanted = resolve(arguments.hash, settings)
    archive, _ = fetch(settings, wanted, Notes())
    folder = NodeCache(settings.cache_dir).tree_path(wanted)
    if arguments.folder:
        folder = os.path.abspath(os.path.expanduser(arguments.folder))
        export(archive, folder)
    else:
        Materializer(archive, folder).put_all()
    Notes().say(f"{amount(archive.index.files, 'file')} of archive {wanted}")
    print(folder)
    return 0
