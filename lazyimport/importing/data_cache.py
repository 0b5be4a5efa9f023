"""Decoded data: what was read from compressed members, for who reads it again.

A template or a table that stays in memory is read by its name, over and over, and
each time its member would be decompressed and proved again. Members of the raw
cache mode are not kept: they are in memory as they are. Nor are sources, which
`linecache` keeps itself.
"""

from __future__ import annotations

import os
from threading import Lock

from cachetools import LRUCache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.format.index import Entry
    from lazyimport.importing.tree import Tree

__all__ = ["LIMIT", "read"]

#: Bytes that a process keeps; what was not read for longest goes first.
LIMIT = 32 << 20
#: One file may not push out all others.
_LARGEST = LIMIT // 4


def _nothing() -> LRUCache[bytes, bytes]:
    return LRUCache(LIMIT, getsizeof=len)


_kept = _nothing()
_lock = Lock()


def read(tree: Tree, entry: Entry) -> bytes:
    """Return the proved bytes of a file, which are kept by their digest.

    Raises DamagedArchive.
    """
    with _lock:
        data = _kept.get(entry.digest)
    if data is None:
        data = tree.read(entry)
        if len(data) <= _LARGEST:
            with _lock:
                _kept[entry.digest] = data
    return data


def _forked() -> None:
    """Begin anew: another thread may have been in the middle of it."""
    global _lock, _kept
    _lock, _kept = Lock(), _nothing()


os.register_at_fork(after_in_child=_forked)
