"""Seals: files of the cache say that they are whole, and were proved.

`lazyimport.cache.sealed.is_sealed` reads a seal.
"""

from __future__ import annotations

import os
from time import time_ns

from lazyimport.cache.sealed import seal_of, until_boot
from lazyimport.files import unclaim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO


def seal(descriptor: int, digest: str, *, durable: bool = True) -> None:
    """Seal a file, to which nothing is written any more; *digest* as in `is_sealed`.

    If it is not *durable*, since it may not be on the disk yet, the seal holds until
    the machine boots.
    """
    os.utime(descriptor, ns=sealing(digest if durable else until_boot(digest)))


def finish(
    file: BinaryIO, unfinished: str, path: str, digest: str, mode: int = 0o444
) -> None:
    """Give an *unfinished* file, which is whole and was proved, the name *path*.

    It is sealed; *digest* as in `is_sealed`. It takes minutes on a slow disk. Raises
    OSError.
    """
    os.fsync(file.fileno())  # first: who is killed goes on after it
    os.fchmod(file.fileno(), mode)
    seal(file.fileno(), digest)
    os.replace(unfinished, path)
    unclaim(file.fileno())


def sealing(digest: str) -> tuple[int, int]:
    """Return the times of access and change, in nanoseconds, that seal a file now."""
    now = time_ns() // 10**9 * 10**9
    return now, now + seal_of(digest)
