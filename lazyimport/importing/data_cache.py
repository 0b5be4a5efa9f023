"""The data cache: what was read from compressed members, for the next read.

A template or a table that stays in memory is read by its name, over and over, and
each time its member would be decompressed and proved again. Members of the raw
cache mode are not cached: they are in memory as they are. Nor are sources, which
`linecache` caches itself.
"""

from __future__ import annotations

import os
from threading import Lock

from lazyimport.installed import load_installed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cachetools import LRUCache

    from lazyimport.format.archive import Archive
    from lazyimport.format.entries import Entry

#: Bytes that a process caches; what has not been read for longest goes first.
LIMIT = 32 << 20
#: One file may not push out all others.
_LARGEST = LIMIT // 4


_LRUCache = load_installed("cachetools").LRUCache


def _empty() -> LRUCache[bytes, bytes]:
    cache: LRUCache[bytes, bytes] = _LRUCache(LIMIT, getsizeof=len)
    return cache


_cache = _empty()
_lock = Lock()


def read(archive: Archive, entry: Entry) -> bytes:
    """Return the proved bytes of a file, from the cache if they are there.

    Raises DamagedArchive.
    """
    with _lock:
        data = _cache.get(entry.digest)
    if data is None:
        data = bytes(archive.content(entry))
        if len(data) <= _LARGEST:
            with _lock:
                _cache[entry.digest] = data
    return data


def _forked() -> None:
    """Start with an empty cache: another thread may have been changing it."""
    global _lock, _cache
    _lock, _cache = Lock(), _empty()


os.register_at_fork(after_in_child=_forked)
