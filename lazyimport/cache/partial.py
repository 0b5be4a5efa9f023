"""Partial archives: processes run from what is there of one while the rest is coming.

Beside the unfinished file lies another, to which they append the numbers of the slots
whose members they need. The fetcher reads it every few milliseconds. A file needs no
descriptor that something could close, and no path of at most 108 bytes, as a socket
does; a wish is noticed as fast (docs/decisions/0012-streaming.md).
"""

from __future__ import annotations

import os

# io's own home of it: from Python 3.14 on a bare interpreter has not loaded io
from _io import open_code
from _struct import pack
from fcntl import LOCK_SH, flock

from lazyimport.cache import boot
from lazyimport.cache.node import KINDS
from lazyimport.cache.sealed import ARCHIVES, map_file
from lazyimport.files import claim, remove_file
from lazyimport.format.archive import Archive
from lazyimport.format.sections import MAGIC
from lazyimport.lazy import errors
from lazyimport.regular import open_regular, require_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lazyimport.cache.node import NodeCache

_NUMBER = 4
#: Bytes that are read of wishes at a time.
_MOST = 1 << 18


def open_partial(
    cache: NodeCache, hash: str, base: Callable[[str], Archive] | None = None
) -> tuple[Archive, int] | None:
    """Return an archive that is still coming, mapped, if its index is here.

    *base* opens that of an overlay, which may be coming too, or raises ArchiveError.
    The number is that of its file, and nobody else's as long as this lives. What the
    archive has was proved. It is in use from now on, as a whole one would be.
    """
    if not (cache.exists() and may_be_open(cache, hash)):
        return None
    for kind in KINDS:
        path = cache.partial_path(hash, kind)
        try:
            require_regular(path)
            with open_code(path) as file:
                if file.read(len(MAGIC)) != MAGIC:
                    continue
                _hold(file.fileno())
                status = os.fstat(file.fileno())
                if status.st_nlink:
                    buffer = map_file(file, path, hash)
                    what = cache.archive_path(hash)
                    archive = Archive(
                        buffer, hash, what, sealed=True, base=base, blob=cache.read_blob
                    )
                    return archive, status.st_ino
        except (OSError, errors.ArchiveError):
            continue  # it has become whole, or its header is being written
    return None


def may_be_open(cache: NodeCache, hash: str) -> bool:
    """Return whether a fetcher of this boot lets processes open a partial archive.

    What was written before the boot may say that members are there which are not.
    """
    return os.path.exists(_path(cache, hash))


def _hold(descriptor: int) -> None:
    """Let the file be in use as long as it is mapped; the fetcher does the same."""
    try:
        flock(descriptor, LOCK_SH)
    except OSError:
        pass  # no locks on this file system: nothing is evicted from it


def wish(cache: NodeCache, hash: str, slots: Sequence[int]) -> None:
    """Ask the fetcher for the members in *slots*, if there is one that streams."""
    try:
        descriptor = open_regular(_path(cache, hash), os.O_WRONLY | os.O_APPEND)
    except OSError:
        return
    try:
        os.write(descriptor, pack(f"<{len(slots)}I", *slots))
    except OSError:
        pass  # a full disk: it comes when its turn has come
    finally:
        os.close(descriptor)


class Wishes:
    """What processes ask for of the archive *hash*; its lock must be held.

    *heard* is called with the slots, too. Raises OSError.
    """

    def __init__(
        self,
        cache: NodeCache,
        hash: str,
        heard: Callable[[Sequence[int]], object] = bool,
    ) -> None:
        self._heard = heard
        path = _path(cache, hash)
        remove_file(path)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        claim(self._descriptor, shared=True)
        self._at = 0

    def read(self) -> list[int]:
        """Return the slots that were asked for since the last time."""
        data = os.pread(self._descriptor, _MOST, self._at)
        whole = len(data) - len(data) % _NUMBER
        self._at += whole
        slots = [
            int.from_bytes(data[at : at + _NUMBER], "little")
            for at in range(0, whole, _NUMBER)
        ]
        self._heard(slots)
        return slots

    def __enter__(self) -> Wishes:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def let_open(cache: NodeCache, hash: str) -> None:
    """Let processes open the unfinished archive *hash*; its lock must be held.

    Raises OSError.
    """
    with Wishes(cache, hash):
        pass


def _path(cache: NodeCache, hash: str) -> str:
    return f"{cache.folder(ARCHIVES)}/.{hash}.{boot.name()}.wishes.tmp"
