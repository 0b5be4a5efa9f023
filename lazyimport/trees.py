"""Trees: archives that this process may run, opened as directories."""

from __future__ import annotations

import os
import sys

from lazyimport.cache.sealed import archive_path, tree_path
from lazyimport.importing import running_python
from lazyimport.importing.tree import Tree
from lazyimport.lazy import Later, errors, promote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from mmap import mmap
    from typing import Protocol

    from lazyimport.cache import bytecode, materialize, opening, place
    from lazyimport.delivery import blobs_wanted, obtaining, repair as repairs
    from lazyimport.format.archive import Archive
    from lazyimport.importing import collector, obstacles
    from lazyimport.importing.tree import Restore
    from lazyimport.importing.wrappers import Wrappers
    from lazyimport.reporting import Reporter
    from lazyimport.settings import Settings

    class Process(Protocol):
        """What trees need of the process, `lazyimport.runtime.Process`."""

        held: dict[str, int]
        seen: dict[str, int]
        waiting: Settings | None
        wrappers: Wrappers

        @property
        def restore(self) -> Restore:
            """What pickles of loaders name."""

        @property
        def reporter(self) -> Reporter:
            """Gets what a person should know."""

        def warn(self, text: str) -> None:
            """Tell a person what is not as it should be."""

else:
    bytecode, materialize = Later("cache.bytecode"), Later("cache.materialize")
    opening, place = Later("cache.opening"), Later("cache.place")
    blobs_wanted, obtaining, repairs = map(
        Later, ("delivery.blobs_wanted", "delivery.obtaining", "delivery.repair")
    )
    collector, obstacles = Later("importing.collector"), Later("importing.obstacles")


def open_tree(
    settings: Settings, process: Process, opened: tuple[Archive, int] | None = None
) -> tuple[Tree, int]:
    """Return the tree of an archive that this process may run, and bytes fetched.

    It has been *opened*, or is the one whose hash is in *settings*. Raises what
    `lazyimport.install` does.
    """
    archive, fetched = opened or _open(settings, process)
    if settings.require_signature:
        obtaining.require_signed(settings)
    if settings.verify == "arrival":
        archive.rely_on_seal()
    if not archive.index.minors >> sys.version_info.minor & 1:
        raise obstacles.wrong_python(archive)
    return _tree_of(archive, settings, process, os.geteuid()), fetched


def _open(settings: Settings, process: Process) -> tuple[Archive, int]:
    """Open an archive in the node cache, where nothing is loaded of what fetches one.

    If it is not there it is fetched.
    """
    hash, cache = str(settings.hash), opening.OpenedCache(settings.cache_dir)
    try:
        if settings.cache_mode != "memory":
            archive = cache.open(hash, relied=settings.verify == "arrival")
            if archive is not None:
                return archive, 0
    except (errors.ArchiveError, errors.CacheError):
        pass  # what fetches it repairs it, does without it or says so
    process.waiting = settings
    try:
        return obtaining.obtain(settings, process.reporter)
    finally:
        process.waiting = None


def open_sealed(
    make: Callable[[], Archive], settings: Settings, process: Process, user: int
) -> Tree:
    """Return the tree of an archive that *user* installed in this *process*.

    *make* opens it. Raises DamagedArchive if it is damaged since then.
    """
    try:
        archive = make()
    except errors.DamagedArchive as damage:
        repairs.give_up(settings, str(settings.hash), damage)
    return _tree_of(archive, settings, process, user)


def _tree_of(archive: Archive, settings: Settings, process: Process, user: int) -> Tree:
    _stand_by(archive, archive.hash, settings, process, user)
    root = tree_path(settings.cache_dir, archive.hash)
    is_cached = archive.what == archive_path(settings.cache_dir, archive.hash)
    places = {user: root}

    def materializer() -> materialize.Materializer:
        user = os.geteuid()
        if user not in places:
            places[user] = place.place_for_user(root, settings.cache_limit)
        held = process.held, process.seen
        return materialize.Materializer(archive, places[user], *held)

    def warn(text: str) -> None:
        # On a disk that did not take the archive either, what fetched it has said so.
        if is_cached or settings.cache_mode == "memory":
            process.warn(text)

    tree = Tree(
        archive,
        root,
        materializer,
        restore=process.restore,
        looks=process.wrappers.looks,
        warn=warn,
        user=user,
    )
    tree.made = promote if settings.gc == "promote" else None
    if settings.gc == "pause":
        tree.found = collector.pause
    if tree.variant < 0:  # what gets compiled here is worth keeping
        cache = opening.OpenedCache(settings.cache_dir)
        tree.bytecode = bytecode.BytecodeCache(cache, *running_python())
    return tree


def _stand_by(
    archive: Archive, hash: str, settings: Settings, process: Process, user: int
) -> None:
    """Have damage seen to that is found in an archive, and have its blobs brought.

    None of these functions refers to the archive, which is to go with its last user.
    """
    in_memory: dict[bytes, mmap] = {}  # what did not come to the disk, by digest

    archive.index.report = lambda damage: repairs.give_up(settings, hash, damage)
    archive.repair = lambda damage: repairs.repair(
        settings, hash, damage, process.reporter
    )
    archive.blob = lambda blob: blobs_wanted.obtain_blob(
        settings, hash, blob, process.reporter, in_memory, user
    )
