"""Files and folders of a store on disk, which are there after a power cut."""

from __future__ import annotations

import errno
import os

from lazyimport.files import AtomicFile, remove_file, tries
from lazyimport.locks import LockTimeout

#: How file systems say that they have no hard links (EPERM: FAT; the others:
#: FUSE and SMB). ENOTSUP and EOPNOTSUPP are two numbers on some systems.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


class NewFile(AtomicFile):
    """An `AtomicFile` that appears only if its name is free, which ``created`` says.

    It gets its name by a hard link, which only one of two writers can make; by a rename
    the second would replace the file of the first.

    On a file system without hard links a ``.claim-*`` file, made with ``O_EXCL``,
    guards the moment between looking and renaming. A writer that is killed in just
    that moment leaves the claim, and others raise LockTimeout with its path after
    *patience* seconds.
    """

    def __init__(self, path: str, patience: float) -> None:
        super().__init__(path, None)
        self.created = False
        self._patience = patience

    def publish(self) -> None:
        """Give the file its name, durably, unless another one has it."""
        try:
            os.link(self.temporary, self.path)
        except FileExistsError:
            # NFS repeats a request whose answer got lost, and then the second
            # one finds what the first one made.
            self.created = os.path.samefile(self.temporary, self.path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self.created = self._publish_by_claim()
        else:
            self.created = True
        if self.created:
            sync_folder(os.path.dirname(self.path))

    def _publish_by_claim(self) -> bool:
        folder, name = os.path.split(self.path)
        claim = f"{folder}/.claim-{name}"
        for _ in tries(self._patience):
            try:
                os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            except FileExistsError:
                if os.path.lexists(self.path):
                    return False
                continue
            try:
                if os.path.lexists(self.path):
                    return False
                os.rename(self.temporary, self.path)
                return True
            finally:
                remove_file(claim)
        raise LockTimeout(claim)


def make_folder(path: str) -> None:
    """Make a folder and those above it, durably; others may do so at the same time."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    make_folder(parent)
    try:
        os.mkdir(path)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    else:
        sync_folder(parent)


def sync_folder(path: str) -> None:
    """Bring the names in a folder to the disk, where its file system can do so."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)
