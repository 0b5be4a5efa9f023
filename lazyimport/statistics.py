"""What lazyimport has done in this process, counted when somebody asks."""

from __future__ import annotations

import sys
from typing import NamedTuple

from lazyimport.runtime import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lazyimport.cache.progress import Progress
    from lazyimport.importing.tree import Tree
    from lazyimport.runtime import Installation
    from lazyimport.settings import Settings


class Stats(NamedTuple):
    """What lazyimport has done in this process.

    ``hash`` is the archive that runs here, or was to run, and ``store`` the URL that
    it is fetched from, without secrets; None if there is none. ``failure`` says why it
    could not be installed when the process started, and ``fetching`` how far it is
    ("fetching, 34 %") while `install` waits for it in another thread, or while this
    process runs from what has come of it. ``cache_hit`` says whether the node had it,
    ``fetched`` how many bytes were downloaded or are being, ``seconds`` how long
    `install` took with the download. ``modules`` of the archive are imported now, from
    ``read`` bytes.

    ``imports`` counts the code objects made from the archive so far, one for each
    import of a module that is no extension. ``import_seconds`` is the time that
    lazyimport took for them: to read, prove and unmarshal the bytes, to compile where
    the archive has no bytecode for this Python, and to put packages on disk that need
    files. Finding the modules and running them is not included.

    ``looked`` are the paths in the archive that were put on disk because somebody
    looked at them, a thousand at most, each with the module that was the first to look
    (``"."`` is the top). ``live`` says whether the code of this process may change.
    """

    hash: str | None = None
    store: str | None = None
    failure: str | None = None
    cache_hit: bool = False
    fetched: int = 0
    seconds: float = 0.0
    modules: int = 0
    read: int = 0
    imports: int = 0
    import_seconds: float = 0.0
    looked: Mapping[str, str] = {}
    fetching: str | None = None
    live: bool = False


def stats() -> Stats:
    """Return what lazyimport has done in this process so far."""
    installation, failure = process.installation, process.failure
    if (waiting := process.waiting) is not None:
        return _fetching(waiting)
    if installation is None:
        if failure is None:
            return Stats()
        return Stats(hash=failure.hash or None, failure=failure.reason)
    from lazyimport.values import redact

    store, tree = installation.settings.store, installation.opened
    modules, read = _imported(tree) if tree else (0, 0)
    loads = list(tree.loads) if tree else []  # other threads are importing
    return Stats(
        hash=installation.hash,
        store=store and redact(store),
        cache_hit=installation.fetched == 0,
        fetched=installation.fetched,
        seconds=installation.seconds,
        modules=modules,
        read=read,
        imports=len(loads),
        import_seconds=sum(loads),
        looked=tree.looked.copy() if tree else {},
        live=process.live is not None,
        fetching=None
        if (progress := fetch_of(installation)) is None
        else str(progress),
    )


def _fetching(settings: Settings) -> Stats:
    from lazyimport.cache.node import NodeCache
    from lazyimport.cache.progress import Progress, read_progress
    from lazyimport.values import redact

    assert settings.hash is not None
    progress = read_progress(NodeCache(settings.cache_dir), settings.hash)
    return Stats(
        hash=settings.hash,
        store=settings.store and redact(settings.store),
        fetching=str(progress or Progress()),
    )


def fetch_of(installation: Installation) -> Progress | None:
    """Return how far the archive is that this process runs from; None if it is whole.

    Also None if nothing fetches the rest now.
    """
    tree = installation.opened
    if tree is None or not tree.archive.is_coming:
        return None
    from lazyimport.cache.node import NodeCache
    from lazyimport.cache.progress import running_fetch

    cache = NodeCache(installation.settings.cache_dir)
    return running_fetch(cache, installation.hash)


def _imported(tree: Tree) -> tuple[int, int]:
    """Return the number of imported modules, and the bytes that were read for them."""
    modules = read = 0
    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)
        path = getattr(spec, "origin", None)
        entry = tree.at(path) if isinstance(path, str) else None
        if entry is not None:
            modules += 1
            code = entry.code(tree.variant)
            read += code.size if code is not None else entry.size
    return modules, read
