"""Opening: the store that settings name, unless the node cache lies in the same place.

Both have a folder of archives. What the cache drops to make room, or writes over with
a copy that was made for this node, would be the only one that the store has.
"""

from __future__ import annotations

import os

from lazyimport.errors import SettingsError
from lazyimport.registry.layout import FOLDERS
from lazyimport.settings import Settings
from lazyimport.stores import ReadStore, open_store


def store_of(
    settings: Settings,
    wish: str = "to open",
    *,
    timeout: float | None = None,
) -> ReadStore:
    """Return the store of *settings*, without asking it anything yet.

    *wish* says what it is for, if none is named. A call may take *timeout* seconds,
    by default those of *settings*.

    Raises SettingsError if none is named, for a URL that names no store, and for a
    folder that is the node cache, lies in it, or has it among its objects.
    """
    if settings.store is None:
        raise SettingsError(
            f"no store is named {wish}; set LAZYIMPORT_STORE or pass store= "
            "(gs://bucket/prefix or file:///folder)",
            name="store",
            value=None,
        )
    store = open_store(settings.store, timeout=timeout or settings.timeout)
    folder: str | None = getattr(store, "folder", None)
    if folder is not None:
        _refuse_cache(store.url, folder, settings.cache_dir)
    return store


def _refuse_cache(url: str, folder: str, cache_dir: str) -> None:
    """Raise SettingsError if the store *url* and the node cache share a place."""
    folder, cache = (
        os.path.realpath(path).rstrip("/") + "/" for path in (folder, cache_dir)
    )
    if folder == cache:
        how = "are one folder"
    elif folder.startswith(cache):
        how = "lie in one place: the store is in the node cache"
    elif cache.startswith(tuple(folder + name for name in FOLDERS)):
        how = "lie in one place: the node cache is among the objects of the store"
    else:
        return
    raise SettingsError(
        f"the store {url} (LAZYIMPORT_STORE) and the node cache {cache_dir} "
        f"(LAZYIMPORT_CACHE_DIR) {how}, and what is in a node cache may be removed at "
        "any time; set LAZYIMPORT_CACHE_DIR to a folder apart from the store",
        name="cache_dir",
        value=cache_dir,
    )
