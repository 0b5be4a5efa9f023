"""The place of a tree's files: another one for a process that became another user.

A server starts as root and serves as somebody else, who can neither read nor write the
cache of root. The files that it looks at from then on lie in a cache of the new user.
"""

from __future__ import annotations

import os
import posix

from lazyimport.cache.layout import Layout
from lazyimport.cache.node import NodeCache
from lazyimport.cache.room import make_room
from lazyimport.errors import CacheError
from lazyimport.files import make_directories


def place_for_user(root: str, limit: str | None) -> str:
    """Return where the user of this process can put files of the tree *root*.

    That is *root* itself if this user may write there, else a tree in the cache
    ``lazyimport-UID`` in the folder for temporary files, which is kept below *limit*
    (as the setting ``cache_limit``) too. It may turn out that nothing can be put there.
    """
    try:
        Layout.around(root).make()
        make_directories(root)
        if posix.access(root, os.W_OK | os.X_OK, effective_ids=True):
            return root
    except (OSError, CacheError):
        pass
    try:
        from tempfile import gettempdir  # few processes become another user

        cache = NodeCache(f"{os.path.realpath(gettempdir())}/lazyimport-{os.geteuid()}")
        cache.make()
        make_room(cache, limit)
    except (OSError, CacheError):
        return root
    return cache.tree_path(os.path.basename(root))
