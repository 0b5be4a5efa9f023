"""Node caches with archives in them that were used some time ago."""

from __future__ import annotations

import os
import subprocess
import sys

from lazyimport.cache import growth
from lazyimport.cache.marker import NAME
from lazyimport.cache.usage import archives_by_use
from tests.support.trees import make_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.cache.node import NodeCache

__all__ = ["DAY", "SIZE", "all_files", "hashes_by_use", "materialize", "put_archive"]

#: Bytes of the largest file of an archive.
SIZE = 40_000
#: Seconds.
DAY = 86400.0

MATERIALIZE = """
import sys
from lazyimport.cache.materialize import Materializer
from lazyimport.cache.node import NodeCache
cache = NodeCache(sys.argv[1])
root = cache.tree_path(sys.argv[2])
Materializer(cache.open(sys.argv[2]), root).put_all()
print(root)
"""


def put_archive(cache: NodeCache, *, used: float, **files: str | bytes) -> str:
    """Put an archive into *cache* that was last used *used* seconds ago."""
    tree = {"pkg/__init__.py": "", "pkg/data.bin": os.urandom(SIZE), **files}
    data, name = make_archive(tree)
    cache.publish(name, lambda out: out.write(data))
    path = cache.archive_path(name)
    now = os.stat(path).st_mtime_ns  # with the seal
    os.utime(path, ns=(now - int(used * 1e9), now))
    return name


def hashes_by_use(cache: NodeCache) -> list[str]:
    """Return the archives of *cache*, the longest unused first."""
    return [archive.hash for archive in archives_by_use(cache)]


def all_files(cache: NodeCache) -> list[str]:
    """Return the paths of all files of *cache*, but for marker, growth and locks."""
    return sorted(
        f"{folder[len(cache.path) + 1 :]}/{name}"
        for folder, _, files in os.walk(cache.path)
        for name in files
        if not folder.endswith("/locks") and name not in {NAME, growth.NAME}
    )


def materialize(cache: NodeCache, name: str) -> str:
    """Put the tree of an archive on disk, in a process that ends; return its root."""
    return subprocess.check_output(
        [sys.executable, "-c", MATERIALIZE, cache.path, name], text=True
    ).strip()
