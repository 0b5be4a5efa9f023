"""The marker: a file which says that a directory is a node cache, and nothing else.

Nothing is deleted in a directory without it. Its name and first line are those by which
backups pass over caches (https://bford.info/cachedir/), its second line is ours.
"""

from __future__ import annotations

import os

from lazyimport.cache import growth
from lazyimport.files import AtomicFile
from lazyimport.lazy import errors
from lazyimport.regular import open_regular

NAME = "CACHEDIR.TAG"
_LINES = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# This is a node cache of lazyimport.\n"
)
#: Folders that every store has to which somebody pushed, and no cache.
_OF_A_STORE = ("gc", "proofs", "provenance")
_ABOUT = b"# What nothing needs is deleted from it. See https://bford.info/cachedir/\n"


def is_marked(folder: str) -> bool:
    """Return whether the directory *folder* is marked as a node cache."""
    try:
        with open(f"{folder}/{NAME}", "rb", opener=open_regular) as file:
            return file.read(len(_LINES)) == _LINES
    except OSError:
        return False


def refuse_store(folder: str) -> None:
    """Raise CacheError if the directory *folder* is a store, marked or not.

    Its archives have the names of those of a cache, and may be the only copies.
    """
    for name in _OF_A_STORE:
        if os.path.isdir(f"{folder}/{name}"):
            raise errors.CacheError(
                f"{folder} is a store, not a node cache (it has the folder {name}/); "
                "set LAZYIMPORT_CACHE_DIR to a folder apart from it; what is not "
                "needed in a store goes by 'lazyimport gc'",
                path=folder,
            )


def mark_if_empty(folder: str) -> None:
    """Mark the directory *folder*, unless it holds anything or cannot be written.

    What a fresh file system holds (``lost+found``) does not count, nor what a process
    has begun with.
    """
    try:
        with os.scandir(folder) as items:
            for item in items:
                begun = item.name == growth.NAME or item.name.startswith(f".{NAME}.")
                if item.name != "lost+found" and not begun:
                    return  # marked, or somebody else's
        growth.begin(folder)
        with AtomicFile(f"{folder}/{NAME}") as file:
            file.write(_LINES + _ABOUT)
    except OSError:
        pass  # a caller that needs to write there will say so
