"""The data cache: what was read from compressed members, for the next read.

A template or a table that stays in memory is read by its name, over and over, and
each time its member would be decompressed and proved again. Members of the raw
cache mode are not cached: they are in memory as they are. Nor are sources, which
`linecache` caches itself.
"""

from __future__ import annotations

import os
from _thread import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.format.archive import Archive
    from lazyimport.format.entries import Entry

#: Bytes that a process caches; what has not been read for longest goes first.
LIMIT = 32 << 20
#: One file may not push out all others.
_LARGEST = LIMIT // 4


class _Cache:
    """Bytes by digest, in the order of their last use; ``size`` is that of all."""

    def __init__(self) -> None:
        self.lock = allocate_lock()
        self.size = 0
        self.found: dict[bytes, bytes] = {}

    def get(self, digest: bytes) -> bytes | None:
        with self.lock:
            if (data := self.found.pop(digest, None)) is not None:
                self.found[digest] = data
            return data

    def put(self, digest: bytes, data: bytes) -> None:
        with self.lock:
            self.size += len(data) - len(self.found.pop(digest, b""))
            self.found[digest] = data
            while self.size > LIMIT:
                self.size -= len(self.found.pop(next(iter(self.found))))


_cache = _Cache()


def read(archive: Archive, entry: Entry) -> bytes:
    """Return the proved bytes of a file, from the cache if they are there.

    Raises DamagedArchive.
    """
    data = _cache.get(entry.digest)
    if data is None:
        data = bytes(archive.content(entry))
        if len(data) <= _LARGEST:
            _cache.put(entry.digest, data)
    return data


def _forked() -> None:
    """Start with an empty cache: another thread may have been changing it."""
    global _cache  # noqa: PLW0603
    _cache = _Cache()


os.register_at_fork(after_in_child=_forked)
