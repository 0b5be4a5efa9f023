"""The data cache: what was read from compressed members, for the next read.

A template or a table that stays in memory is read by its name, over and over, and
each time its member would be decompressed and proved again. Members of the raw
cache mode are not cached: they are in memory as they are. Nor are sources, which
`linecache` caches itself.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from threading import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cachetools import LRUCache

    from lazyimport.format.archive import Archive
    from lazyimport.format.entries import Entry

#: Bytes that a process caches; what has not been read for longest goes first.
LIMIT = 32 << 20
#: One file may not push out all others.
_LARGEST = LIMIT // 4


def _cachetools(name: str = "_lazyimport_cachetools") -> Any:
    """Return the cachetools that is installed, under a *name* of our own.

    An archive may have another one, which is not to run because somebody reads a file,
    and which the program gets by the real name.
    """
    beside = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    found = PathFinder.find_spec("cachetools", [beside, *sys.path])
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named 'cachetools'", name="cachetools")
    folders = found.submodule_search_locations
    spec = spec_from_file_location(
        name, found.origin, submodule_search_locations=folders and list(folders)
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_LRUCache = _cachetools().LRUCache


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
