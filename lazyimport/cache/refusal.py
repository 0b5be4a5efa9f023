"""Refusals: the errors for a disk that does not do what the cache needs."""

from __future__ import annotations

import os
import posix
from errno import EDQUOT, EFBIG, ELOOP, ENOSPC, ENOTDIR, EROFS

from lazyimport.errors import CacheError
from lazyimport.files import is_there

#: How a disk says that it has no room.
FULL = {EDQUOT, EFBIG, ENOSPC}
#: How a disk says of itself, and not of one file, that it takes nothing.
REFUSING = {*FULL, EROFS}


def unusable(verb: str, path: str, error: OSError) -> CacheError:
    """Return the error for a cache with which one cannot do what *verb* says."""
    advice = "that this user may read and write"
    if error.errno in {EDQUOT, ENOSPC}:
        advice = "on another disk, or free space or inodes there (see df and df -i)"
    where = error.filename if isinstance(error.filename, str) else path
    if error.errno in {ELOOP, ENOTDIR}:
        advice = f"of its own, or remove what is in the way: see {where}"
    inside = f"{where}: " if where.startswith(f"{path}/") else ""
    return CacheError(
        f"cannot {verb} the node cache {path}: {inside}{error.strerror}; set "
        f"LAZYIMPORT_CACHE_DIR to a directory {advice}",
        path=path,
        errno=error.errno,
    )


def refused(
    what: str, folder: str, error: OSError, size: int | None = None
) -> CacheError:
    """Return the error that *what*, of *size* bytes, cannot be put into *folder*.

    That is the node cache or lies in it. It says how much is free there.
    """
    many = "" if size is None else f" ({size} bytes)"
    why = error.strerror or str(error)
    if error.errno in FULL:
        why += f"{_free(folder)}; free space there (lazyimport cache prune), or set "
        why += "LAZYIMPORT_CACHE_DIR to another disk or folder"
        if error.errno == EFBIG:
            why += ", or let files be larger (ulimit -f)"
    else:
        why += "; set LAZYIMPORT_CACHE_DIR to a folder where this user, "
        why += f"{os.geteuid()}, may write"
    return CacheError(
        f"cannot put {what}{many} into the node cache {folder}: {why}",
        path=folder,
        errno=error.errno,
    )


def _free(folder: str) -> str:
    while folder not in {"", "/"} and not is_there(folder):
        folder = os.path.dirname(folder)
    try:
        disk = posix.statvfs(folder)
    except OSError:
        return ""
    if is_out_of_inodes(disk):
        return " (no inodes are free: it takes no more files)"
    return f" ({disk.f_bavail * disk.f_frsize} bytes are free)"


def is_out_of_inodes(disk: os.statvfs_result) -> bool:
    """Return whether *disk* takes no more files, however much room it has."""
    return disk.f_files > 0 and disk.f_favail == 0  # some count none
