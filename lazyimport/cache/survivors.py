"""Survivors: what is on disk of a tree after the machine has booted.

A power cut leaves files without their bytes, and marks that say more than is there
(`lazyimport.cache.boot`). So the first process that uses the tree then proves what is
there by its digest, and puts a sound file in the place of each that is not.
"""

from __future__ import annotations

import posix
from _thread import RLock
from errno import EACCES, EPERM, EROFS

from lazyimport.cache import blobs, boot, putting
from lazyimport.cache.disks import is_local
from lazyimport.cache.layout import BOOT, READY, is_of_this_boot, mark_path
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
