"""Paths: where a file of the archive that this process runs is on the disk."""

from __future__ import annotations

import os
import sys
from errno import ENOENT

from lazyimport import errors
from lazyimport.runtime import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.importing.tree import Tree


def path(name: str | os.PathLike[str]) -> str:
    """Return the absolute path of a file or directory of the archive, on the disk.

    *name* is its path in the archive, such as ``weights/model.bin``. What
    ``[tool.lazyimport] on-demand`` left in the store is fetched first; processes that
    ask at once share one transfer. In a process without an archive, it is looked for
    in the directories of `sys.path`.

    Raises FileNotFoundError if there is no such file, `errors.ArchiveReadError` (an
    OSError) if its bytes cannot be fetched or are damaged, and `errors.CacheError` if
    the node cache cannot be written.
    """
    name = os.fspath(name)
    installation = process.installation
    if installation is not None:
        return _path_in(installation.tree, name)
    for folder in sys.path:
        found = os.path.abspath(os.path.join(folder, name))
        if os.path.exists(found):
            return found
    raise FileNotFoundError(
        ENOENT,
        "no archive is installed in this process, and no directory of sys.path has it",
        name,
    )


def _path_in(tree: Tree, name: str) -> str:
    """Return where a file or directory of *tree* is, and put it there if need be.

    *name* is relative to its root, or absolute.
    """
    inner = tree.relative(os.path.join(tree.root, name))
    entry = None if inner is None else tree.entry(inner)
    if entry is None:
        raise FileNotFoundError(ENOENT, f"archive {tree.hash} has no such file", name)
    tree.follow_user()
    folders = [entry.path] if entry.path else tree.archive.tops()
    try:
        if entry.is_directory:
            under = tree.archive.files_under
            files = [file for folder in folders for file in under(folder)]
        else:
            files = [entry]
        for refusal in filter(None, map(tree.put, files)):
            raise refusal
    except errors.ArchiveError as error:
        raise tree.unreadable(name, error) from error
    return f"{tree.place}/{entry.path}".rstrip("/")
