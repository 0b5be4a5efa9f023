"""Handover: an archive comes as a delta from whoever tells a process to run it.

A node that has the base needs no store for it, and starts no process that asks one.
"""

from __future__ import annotations

from lazyimport.cache.node import NodeCache
from lazyimport.errors import ArchiveError, CacheError
from lazyimport.format.delta import Revision
from lazyimport.format.overlay import write_overlay
from lazyimport.format.sections import HEADER_SIZE, Header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.settings import Settings


def take_handed(settings: Settings, hash: str, delta: bytes) -> bool:
    """Put the archive *hash* into the node cache; return whether it came there so.

    Its bytes are proved by the hash, wherever the *delta* comes from. It does not come
    if this node has it, or lacks the base, if the two do not give the archive, or if
    nothing is kept on the disk. Who adds to a cache makes room in it, some time later.
    """
    cache = NodeCache(settings.cache_dir)
    if settings.cache_mode == "memory":
        return False
    raw = settings.cache_mode != "zstd"
    try:
        name = Header.decode(delta[:HEADER_SIZE]).base
        base = cache.open(name) if name else None
        if base is None:
            return False
        revision = Revision(base, delta, hash, "the delta that was handed over")
        with cache.lock(hash, settings.timeout):
            if cache.open(hash) is not None:
                return False
            cache.publish(hash, lambda out: write_overlay(out, revision, raw=raw))
    except (ArchiveError, CacheError):
        return False
    return True
