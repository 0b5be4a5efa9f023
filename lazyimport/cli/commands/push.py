"""``lazyimport push``."""

from __future__ import annotations

import os
import time

from lazyimport.cache.node import NodeCache
from lazyimport.cli.commands.pack import pack_roots
from lazyimport.cli.options import (
    UsageError,
    load_signer,
    own_version,
    read_settings,
    required_store,
)
from lazyimport.cli.progress import Notes
from lazyimport.cli.tables import python_of, size
from lazyimport.delivery.artifact import is_artifact
from lazyimport.errors import ArchiveError, StoreError
from lazyimport.settings import check_channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from lazyimport.delivery.publish import Published
    from lazyimport.format.archive import Archive
    from lazyimport.format.delta import Revision
    from lazyimport.packing.packer import Packed
    from lazyimport.registry.provenance import Provenance
    from lazyimport.registry.signing import Signer
    from lazyimport.settings import Settings
    from lazyimport.stores import Store

__all__ = ["describe", "push", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Pack, publish, sign, point the channel, print the hash."""
    from lazyimport.stores import open_store, writable

    notes = Notes(quiet=arguments.quiet)
    settings = read_settings(arguments)
    signer = load_signer(arguments)
    if arguments.channel:
        check_channel(arguments.channel)

    def check(hash: str) -> None:
        from lazyimport.cli.commands.check import try_entries

        try_entries(hash, [arguments.check], settings, arguments, notes)

    wanted = check if arguments.check else None
    hash = push(arguments.roots, arguments, settings, notes, wanted, signer).hash
    if arguments.channel:
        from lazyimport.cli.commands.channel import point_channel

        url = required_store(settings)
        store = writable(open_store(url, timeout=settings.timeout))
        text = point_channel(
            arguments.channel, hash, settings, store, signer, arguments.message
        )
        notes.say(text)
    print(hash)
    return 0


def push(
    roots: Sequence[str],
    arguments: argparse.Namespace,
    settings: Settings,
    notes: Notes,
    check: Callable[[str], object] | None = None,
    signer: Signer | None = None,
) -> Published:
    """Pack *roots* and put the archive into the store, signed; tell about it.

    *check* is called with the hash before anything is sent, and may raise.
    """
    from lazyimport.delivery.publish import publish
    from lazyimport.registry.provenance import Provenance
    from lazyimport.stores import open_store, writable

    url = required_store(settings)
    store = writable(open_store(url, timeout=settings.timeout))
    cache = NodeCache(settings.cache_dir)
    files = [root for root in roots if _is_archive(root)]
    if files and len(roots) > 1:
        raise UsageError(
            f"{files[0]} is an archive: push it alone, without other roots"
        )
    trees = [] if files or any(map(is_artifact, roots)) else roots or ["."]
    with Provenance(trees, os.environ) as provenance:
        packed: Packed | None = None
        archive: Archive | Revision
        if files:
            try:
                archive = _import(files[0], cache, settings)
            except ArchiveError as error:
                raise error.with_text(
                    f"{error}; copy the file again from where it was packed, or pack "
                    "it anew, and push that: nothing was sent"
                ) from error
            notes.say(f"read archive {archive.hash} from {files[0]}")
        else:
            # What is to be checked must be whole in the node cache.
            whole = check is not None
            packed = pack_roots(roots, arguments, settings, notes, whole=whole)
            archive = packed.revision
        if check is not None:
            check(archive.hash)
        started = time.perf_counter()
        notes.wait(f"sending to {store.url}")
        try:
            published = publish(archive, store, cache)
            if packed is not None and published.kind == "full":
                packed.rebase()  # the next push has it as its base here, too
        finally:
            notes.clear()
        _tell_where_from(archive, provenance, store, notes)
    if signer is not None:
        from lazyimport.registry.signing import sign_archive

        sign_archive(store, published.hash, signer)
    seconds = time.perf_counter() - started
    notes.say(f"{describe(published)} ({store.url}, {seconds:.1f} s)")
    return published


def _tell_where_from(
    archive: Archive | Revision, provenance: Provenance, store: Store, notes: Notes
) -> None:
    """Keep the provenance; the archive is there, so a failure is but a warning."""
    from lazyimport.registry.provenance import keep_provenance

    pythons = [python_of(variant) for variant in archive.index.variants]
    facts = provenance.facts(own_version(), pythons)
    try:
        keep_provenance(store, archive.hash, facts)
    except StoreError as error:
        notes.warn(f"the archive is there, its provenance is not: {error}")


def describe(published: Published) -> str:
    """Return what a push moved, in words."""
    if published.kind == "present":
        return "already there: nothing sent"
    if published.kind == "full":
        return f"sent {size(published.size)}, the whole archive"
    return (
        f"sent {size(published.size)} instead of {size(published.base_size)}: the "
        f"difference to {str(published.base)[:12]}"
    )


def _is_archive(path: str) -> bool:
    """Whether *path* is a file that calls itself an archive."""
    from lazyimport.format.archive import MAGIC

    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _import(path: str, cache: NodeCache, settings: Settings) -> Archive:
    """Take an archive's file into the node cache, proved in full, and open it."""
    from lazyimport.cache.node import map_file
    from lazyimport.errors import CacheError
    from lazyimport.format.archive import Archive, open_header
    from lazyimport.format.writer import recode

    with open(path, "rb") as file:
        buffer = map_file(file, path)
    name = open_header(buffer, None, path).hash
    brought = Archive(buffer, name, path)
    with cache.lock(name, settings.timeout):
        cache.publish(name, lambda out: recode(brought, out, raw=True))
    archive = cache.open(name)
    if archive is None:
        raise CacheError(
            f"archive {name} vanished from the node cache {cache.path} right after it "
            "was put there; is something deleting files in it?",
            path=cache.path,
        )
    return archive
