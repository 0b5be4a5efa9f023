"""``lazyimport cache``."""

from __future__ import annotations

import os

from lazyimport.cli.options import UsageError, read_settings
from lazyimport.cli.progress import Notes
from lazyimport.cli.tables import amount, moment, print_json, print_table, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from lazyimport.cache.evict import Pruned
    from lazyimport.cache.node import NodeCache
    from lazyimport.cache.usage import CachedArchive
    from lazyimport.settings import Settings

__all__ = ["run"]


def run(arguments: argparse.Namespace) -> int:
    """Show, check or tidy the node cache; 1 if something is damaged, or stays."""
    from lazyimport.cache.node import NodeCache

    settings = read_settings(arguments)
    actions: dict[str, Callable[[argparse.Namespace, NodeCache], int]] = {
        "ls": _ls,
        "verify": _verify,
        "prune": _prune,
        "clear": _clear,
    }
    if arguments.limit is None:
        arguments.limit = settings.cache_limit
    cache = NodeCache(settings.cache_dir)
    if arguments.action in {"prune", "clear"}:
        _refuse_store(cache, settings)
    return actions[arguments.action](arguments, cache)


def _refuse_store(cache: NodeCache, settings: Settings) -> None:
    """Refuse to take a store for a cache: it has archives in the same place."""
    path = cache.path
    if settings.store == f"file://{path}" or any(
        os.path.isdir(f"{path}/{name}") for name in ("provenance", "signatures", "gc")
    ):
        raise UsageError(
            f"{path} is a store, not a node cache; what is not needed there goes by "
            "'lazyimport gc'"
        )


def _ls(arguments: argparse.Namespace, cache: NodeCache) -> int:
    from lazyimport.cache.usage import archives_by_use, usage

    kept = archives_by_use(cache)[::-1]
    total = usage(cache)
    if arguments.json:
        print_json(
            {
                "path": cache.path,
                "size": total,
                "archives": [_facts(archive) for archive in kept],
            }
        )
        return 0
    if kept:
        rows = [("HASH", "SIZE", "LAST USED", "")]
        rows += [
            (a.hash, size(a.size), moment(a.used), "in use" if a.in_use else "")
            for a in kept
        ]
        print_table(rows, right=(1,))
    Notes().say(
        f"{amount(len(kept), 'archive')} in the node cache {cache.path}, {size(total)} "
        "with the files made from them"
    )
    return 0


def _verify(arguments: argparse.Namespace, cache: NodeCache) -> int:
    from lazyimport.cache.verify import verify

    notes = Notes()
    found = verify(cache, remove=not arguments.dry_run, reporter=notes)
    if arguments.json:
        print_json(
            {
                "path": cache.path,
                "archives": found.archives,
                "newer": found.newer,
                "files": found.files,
                "size": found.size,
                "damages": [{"path": d.path, "why": d.why} for d in found.damages],
            }
        )
    else:
        print_table([(damage.path, damage.why) for damage in found.damages])
        notes.say(
            f"{amount(found.archives, 'archive')} and {amount(found.files, 'file')} in "
            f"the node cache {cache.path}, {size(found.size)}: "
            + _verdict(len(found.damages), arguments)
        )
        if found.newer:
            notes.say(
                f"{amount(found.newer, 'archive')} of a newer lazyimport, not looked at"
            )
    return 1 if found.damages else 0


def _verdict(damages: int, arguments: argparse.Namespace) -> str:
    if not damages:
        return "all sound"
    if arguments.dry_run:
        return f"{damages:,} damaged; without --dry-run they are removed"
    return f"{damages:,} damaged and removed; they come anew when they are needed"


def _prune(arguments: argparse.Namespace, cache: NodeCache) -> int:
    from lazyimport.cache.evict import prune
    from lazyimport.cache.usage import default_limit
    from lazyimport.settings import byte_count

    limit = byte_count(arguments.limit) if arguments.limit else default_limit(cache)
    pruned = prune(cache, limit, arguments.older_than, dry_run=arguments.dry_run)
    _print_pruned(arguments, cache, pruned)
    return 0


def _clear(arguments: argparse.Namespace, cache: NodeCache) -> int:
    from lazyimport.cache.evict import clear

    pruned = clear(cache, force=arguments.force)
    _print_pruned(arguments, cache, pruned)
    if pruned.in_use and not arguments.json:
        Notes().say("what is in use stays; --force removes it too")
    return 1 if pruned.in_use else 0


def _print_pruned(
    arguments: argparse.Namespace, cache: NodeCache, pruned: Pruned
) -> None:
    if arguments.json:
        print_json(
            {
                "path": cache.path,
                "removed": [_facts(archive) for archive in pruned.removed],
                "in_use": [_facts(archive) for archive in pruned.in_use],
                "freed": pruned.freed,
                "left": pruned.left,
            }
        )
        return
    removed = "would be removed" if arguments.dry_run else "removed"
    rows = [
        (a.hash, size(a.size), moment(a.used), what)
        for what, archives in ((removed, pruned.removed), ("in use", pruned.in_use))
        for a in archives
    ]
    print_table(rows, right=(1,))
    freed = "would be freed at least" if arguments.dry_run else "freed"
    Notes().say(
        f"{size(pruned.freed)} {freed}, {size(pruned.left)} left in the node cache "
        f"{cache.path}"
    )


def _facts(archive: CachedArchive) -> dict[str, object]:
    return {
        "hash": archive.hash,
        "size": archive.size,
        "arrived": archive.arrived,
        "used": archive.used,
        "in_use": archive.in_use,
    }
