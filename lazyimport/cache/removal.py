"""Removal: one archive leaves the node cache with its tree, unless it is in use.

A process that has an archive open shares a lock on its file
(`lazyimport.cache.sealed`), one that uses files of a tree a lock on its root
(`lazyimport.cache.materialize`). The kernel releases both when the process ends,
however it ends. On a file system without locks everything counts as used.

The race: a process opens an archive while it is being removed. ::

    S: open archives/H           E: lock locks/H, archives/H, trees/H exclusively
    S: wait for a shared lock    E: unlink archives/H, then the marks, then trees/H
    S: has it; the file has no   E: release
       name any more: not here
    S: lock locks/H, fetch H

The tree is deleted where it is: overlayfs cannot rename a directory of a lower layer.
If that is interrupted, an archive without a tree is one that nobody has used yet,
and a tree without marks is completed before anybody uses it.
"""

from __future__ import annotations

import os
import posix
import stat
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock

from lazyimport.cache.marks import READY
from lazyimport.errors import CacheError
from lazyimport.regular import open_any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazyimport.cache.node import NodeCache

#: Seconds to wait for a process that has put an archive in place.
_MOMENT = 2.0


def remove_unless_used(cache: NodeCache, hash: str, *, force: bool = False) -> bool:
    """Remove an archive with its tree; return False if a process uses one of them.

    Or if there is an overlay that needs it. With *force* they are removed all the same.
    Waits a moment at most. Raises CacheError or OSError if the disk refuses.
    """
    root = cache.tree_path(hash)
    try:
        # the process that has just fetched it holds the lock a moment longer
        patience = _MOMENT if os.path.exists(cache.archive_path(hash)) else 0
        with cache.lock(hash, patience) as lock:
            with locked(cache.archive_path(hash)) as archive, locked(root) as tree:
                # Whoever makes an overlay has its base open meanwhile.
                unused = archive and tree and hash not in cache.bases().values()
                if not (force or unused):
                    return False
                cache.remove(hash)
                delete_folder(root + READY)
                delete_folder(root)
            lock.remove()
    except CacheError as error:
        if error.errno is None:
            return False  # another process is fetching it
        raise
    return True


def is_used(path: str) -> bool:
    """Return whether a process uses the archive or tree at *path*, if it is there."""
    with locked(path) as free:
        return not free


def delete_folder(path: str) -> None:
    """Delete a directory with all that is in it, as far as the disk allows.

    What else is in its place stays: `rmtree` would wait for a pipe.
    """
    from shutil import rmtree

    with suppress(FileNotFoundError, RecursionError):  # until 3.12 it calls itself
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            return
        rmtree(path, ignore_errors=True)
    _delete_rest(path)


def _delete_rest(path: str) -> None:
    """Delete what was too deep, or in a directory that its program made read-only."""
    folders = [path]
    for folder in folders:  # those that are found are added
        with suppress(OSError):
            posix.chmod(folder, 0o700)
        with suppress(OSError), os.scandir(folder) as items:
            for item in items:
                if item.is_dir(follow_symlinks=False):
                    folders.append(item.path)
                else:
                    with suppress(OSError):
                        os.unlink(item.path)
    for folder in reversed(folders):
        with suppress(OSError):
            os.rmdir(folder)


@contextmanager
def locked(path: str) -> Iterator[bool]:
    """Keep others from using *path*; gives False if somebody does, or may."""
    try:
        descriptor = open_any(path)
    except FileNotFoundError:
        yield True
        return
    try:
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
