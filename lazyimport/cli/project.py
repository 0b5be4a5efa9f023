"""What the project here says to commands in ``[tool.lazyimport]``, as far as it may.

Anybody may have written it. So the store that it names counts only once somebody has
pushed to that store from here by naming it (``--store``, ``LAZYIMPORT_STORE``), or
named it to ``init``. Otherwise a tree could choose where it is sent, or what is run.
"""

from __future__ import annotations

import os
from contextlib import suppress

from lazyimport.cache.node import NodeCache
from lazyimport.cli import console
from lazyimport.errors import CacheError, PackError
from lazyimport.files import AtomicFile
from lazyimport.packing.config import Config, read_config
from lazyimport.regular import open_regular
from lazyimport.settings import Settings
from lazyimport.values import redact

_KNOWN = "stores"  # in the node cache: a URL in each line


def project() -> Config:
    """Return the configuration here. Raises PackError for a mistake in it."""
    return read_config(".")


def store_here() -> str | None:
    """Return the store that the project here names; warn of a mistake in its file.

    For commands that can do without a project, which work in any folder.
    """
    try:
        return project().store
    except PackError as error:
        console.warn(f"{error}; so no store that it may name counts")
        return None


def is_known(store: str, cache_dir: str) -> bool:
    """Whether somebody pushed to this store from here, with this node cache."""
    return store in _read(cache_dir)


def remember(settings: Settings) -> None:
    """Record that somebody named the store of *settings*, if the disk lets us."""
    store, cache = str(settings.store), NodeCache(settings.cache_dir)
    known = _read(cache.path)
    if store in known or redact(store) != store:
        return
    with suppress(OSError, CacheError):
        cache.make()
        with AtomicFile(os.path.join(cache.path, _KNOWN)) as file:
            file.write(os.fsencode("".join(f"{one}\n" for one in [*known, store])))


def _read(cache_dir: str) -> list[str]:
    try:
        with open(os.path.join(cache_dir, _KNOWN), "rb", opener=open_regular) as file:
            return os.fsdecode(file.read()).split("\n")[:-1]
    except OSError:
        return []
