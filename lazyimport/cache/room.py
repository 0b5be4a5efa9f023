"""Room: a cache that has grown is brought below its limit, by a process of its own.

No start waits until files are removed (`lazyimport.cache.evict`).
"""

from __future__ import annotations

import os
import sys
from errno import ENOSPC
from time import time

from lazyimport.cache import growth
from lazyimport.cache.marker import NAME, is_marked
from lazyimport.errors import CacheError
from lazyimport.units import byte_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.cache.node import NodeCache

#: Seconds after which a cache that is small enough is swept again.
_BETWEEN = 86400.0
#: Seconds within which a process has started.
_SOON = 10.0
#: What a process runs that has just started; it leaves a child that nobody waits for.
_ASIDE = """
import os, sys
if os.fork(): os._exit(0)
os.setsid()
sys.path.insert(0, sys.argv[1])
from lazyimport.cache.evict import shrink
from lazyimport.cache.node import NodeCache
shrink(NodeCache(sys.argv[2]), sys.argv[3] or None)
"""


def make_room(cache: NodeCache, limit: str | None) -> None:
    """Have *cache* brought below *limit* (as the setting ``cache_limit``).

    For the one process that has just added to it. It never fails, and waits for
    nothing where a process of its own can do what there is to do.
    """
    try:
        if not is_marked(cache.path) or not _is_due(cache, limit):
            return
    except (OSError, CacheError):
        return
    import subprocess  # few downloads need it

    folder = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    what = [_ASIDE, folder, cache.path, limit or ""]
    try:
        subprocess.run(
            [sys.executable or "python3", "-I", "-S", "-c", *what],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            check=True,
            timeout=_SOON,
        )
    except (OSError, subprocess.SubprocessError):
        from lazyimport.cache.evict import shrink

        shrink(cache, limit)


def require_space(cache: NodeCache, size: int, limit: str | None) -> None:
    """Remove what nobody uses if the disk has no room for *size* bytes more.

    Raises OSError if it has none after that. *limit* is as for `make_room`.
    """
    if (missing := size - _free(cache)) > 0:
        from lazyimport.cache.evict import shrink

        shrink(cache, limit, missing)
        if size > _free(cache):
            raise OSError(ENOSPC, os.strerror(ENOSPC))


def _free(cache: NodeCache) -> int:
    disk = os.statvfs(cache.path)
    return disk.f_bavail * disk.f_frsize if disk.f_blocks else sys.maxsize


def _is_due(cache: NodeCache, limit: str | None) -> bool:
    """Return whether *cache* may be too large, or was not swept for a day.

    It cannot be larger than all that is on its disk.
    """
    if abs(time() - os.stat(f"{cache.path}/{NAME}").st_mtime) > _BETWEEN:
        return True
    disk = os.statvfs(cache.path)
    most = byte_count(limit) if limit else cache.default_limit()
    if most is None or (disk.f_blocks - disk.f_bfree) * disk.f_frsize <= most:
        return False
    taken = growth.taken(cache.path)
    return taken is None or taken > most
