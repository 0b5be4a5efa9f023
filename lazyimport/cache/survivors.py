"""Survivors: what is on disk of a tree after the machine has booted.

A power cut leaves files without their bytes, and marks that say more than is there
(`lazyimport.cache.boot`). So the first process that uses the tree then proves what is
there by its digest, and puts a sound file in the place of each that is not. Except of a
tree that was synchronized as a whole: what is in the layer of an image was read from
the disk of who made it, and no container need prove it again.
"""

from __future__ import annotations

import os
import posix
from _thread import RLock
from errno import EACCES, EPERM, EROFS
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock

from lazyimport.cache import blobs, boot, putting
from lazyimport.cache.disks import is_local
from lazyimport.cache.marks import BOOT, READY, SYNCHRONIZED, is_of_this_boot, mark_path
from lazyimport.files import AtomicFile, remove_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: Threads wait here, as processes do for a file: nothing is put there before the end.
_one = RLock()
#: Seconds to wait for another thread, which a forked child does not have.
_PATIENCE = 10.0


def prove(files: putting.Files) -> None:
    """Prove what is on disk of a tree, unless another process has since the boot.

    Nothing is done on a disk that is not known to be local: a server has the bytes of
    what was closed, and the boots of its clients are not its own. Nor is anything on a
    disk that is read-only, or not this user's to write, as a cache in a container's
    image may be: nothing could be mended there.

    Raises as `lazyimport.cache.putting` does.
    """
    if not is_local(files.root):
        return
    is_mine = _one.acquire(timeout=_PATIENCE)
    try:
        _prove(files)
    finally:
        if is_mine:
            _one.release()


def _prove(files: putting.Files) -> None:
    root, index = files.root, files.archive.index
    try:
        alone = putting.alone(root)
    except OSError as error:
        if error.errno in {EACCES, EPERM, EROFS}:
            return
        raise
    with alone:
        if is_of_this_boot(root):
            return
        for path in _files(root):
            entry = index.entry(path[len(root) + 1 :])
            if entry is not None and not blobs.is_sound(path, entry):
                putting.put(files, entry, path, blobs.replace_file)
        for mark in posix.listdir(root + READY):
            if mark != putting.LOCK:
                remove_file(mark_path(root, mark))
        with AtomicFile(mark_path(root, BOOT), durable=False) as file:
            file.write(boot.name().encode())


def settle(files: putting.Files, descriptor: int) -> bool:
    """Synchronize what is on disk of a tree, so that no boot casts doubt on it.

    Whoever puts more there takes that back first (`lazyimport.cache.putting`).
    *descriptor* is the one that holds the tree. Returns False, and does nothing, if
    others hold it, since they may be putting files there; where there are no locks that
    would say so; or where this user may not write. Raises OSError.
    """
    root = files.root
    if not _is_held_alone(descriptor):
        return False
    # It takes as long as the machine has to write; what starts meanwhile is let in.
    flock(descriptor, LOCK_SH)
    os.sync()
    if not _is_held_alone(descriptor):
        return False
    try:
        for path in (*_files(root), root, root + READY):
            _require_synchronized(path)
        with AtomicFile(mark_path(root, BOOT)) as file:
            file.write(SYNCHRONIZED)
    except OSError as error:
        if error.errno in {EACCES, EPERM, EROFS}:
            return False
        raise
    finally:
        flock(descriptor, LOCK_SH)
    return True


def _is_held_alone(descriptor: int) -> bool:
    """Let nobody else hold the tree, and return True, unless somebody does."""
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        flock(descriptor, LOCK_SH)  # to ask for the other has given it up
        return False
    except OSError:
        return False  # a file system without locks
    return True


def _require_synchronized(path: str) -> None:
    """Raise OSError unless a file is on the disk: `os.sync` does not say so."""
    descriptor = posix.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files(root: str) -> Iterator[str]:
    """Yield the files below *root*, without those that are links."""
    folders = [root]
    while folders:
        with posix.scandir(folders.pop()) as items:
            for item in items:
                if item.is_dir(follow_symlinks=False):
                    folders.append(item.path)
                elif item.is_file(follow_symlinks=False):
                    yield item.path
