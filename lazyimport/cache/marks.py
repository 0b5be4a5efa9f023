"""Marks: files in ``trees/<hash>.ready`` that say which parts of a tree are on disk."""

from __future__ import annotations

import posix
import stat

from lazyimport.cache.layout import SHARED
from lazyimport.cache.sealed import is_sealed
from lazyimport.lazy import Later
from lazyimport.regular import open_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.cache import boot
    from lazyimport.format.entries import Entry
else:
    boot = Later("cache.boot")  # where something lies that was not synchronized

#: The marks of parts of a tree that are no package; no package has such a name.
FILES_AT_THE_TOP = ":"
#: These, and the directories beside the packages that hold no module.
NEIGHBORS = "::"

#: Names the boot since which the tree is as it was put there.
BOOT = ":boot"
#: Stands there in place of a boot if all of the tree was on the disk before.
SYNCHRONIZED = b"synchronized"

READY = ".ready"
#: The number of lines that a process has seen of a mark when it has seen all.
ALL_LINES = 1 << 40


def mark_path(root: str, mark: str) -> str:
    """Return the file that is there when a part of the tree *root* is on disk.

    *mark* is a package's name, `FILES_AT_THE_TOP` or `NEIGHBORS`.
    """
    return f"{root}{READY}/{mark}"


def is_of_this_boot(root: str) -> bool:
    """Return whether all that is on disk of the tree *root* was put there since boot.

    Or was proved since, or is `SYNCHRONIZED`.
    """
    try:
        with open(mark_path(root, BOOT), "rb", opener=open_regular) as file:
            return file.read() in {boot.name().encode(), SYNCHRONIZED}
    except OSError:
        return not boot.name()


def is_as_put(path: str, entry: Entry) -> bool:
    """Return whether the file *entry* of a tree is at *path*.

    One that trees share must be as it was put there, too.
    """
    try:
        status = posix.lstat(path)
    except OSError:
        return False
    if entry.size < SHARED:
        return stat.S_IFMT(status.st_mode) in {stat.S_IFREG, stat.S_IFLNK}
    return status.st_size == entry.size and is_sealed(status, entry.digest.hex())
