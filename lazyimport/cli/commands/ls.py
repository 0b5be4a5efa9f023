"""``lazyimport ls``."""

from __future__ import annotations

from lazyimport.cache.node import NodeCache
from lazyimport.cli.options import UsageError, read_settings, resolve
from lazyimport.cli.progress import Notes
from lazyimport.cli.tables import (
    amount,
    moment,
    origin_of,
    print_json,
    print_table,
    python_of,
    size,
    tolerant,
)
from lazyimport.delivery.contents import read_contents
from lazyimport.registry.archives import stored_archives

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from lazyimport.delivery.contents import Contents
    from lazyimport.format.index import Entry
    from lazyimport.settings import Settings
    from lazyimport.stores import ReadStore

__all__ = ["run"]

#: hash, size where it is, when it came there
_Held = tuple[str, int, float]


def run(arguments: argparse.Namespace) -> int:
    """Print the archives there are, or the contents of one."""
    tolerant()
    settings = read_settings(arguments)
    if arguments.shadowed and arguments.hash is None:
        raise UsageError("--shadowed needs the hash of an archive")
    if arguments.hash is None:
        if settings.store and not arguments.cached:
            from lazyimport.stores import open_store, writable

            store = open_store(settings.store, timeout=settings.timeout)
            held = [
                (name, item.size, item.modified)
                for name, item in stored_archives(writable(store))
            ]
            _print_archives(held, settings.store, arguments, store)
        else:
            place = f"the node cache {settings.cache_dir}"
            cached = NodeCache(settings.cache_dir).archives()
            held = [(name, s.st_size, s.st_mtime) for name, s in cached.items()]
            _print_archives(held, place, arguments)
        return 0
    if arguments.shadowed:
        _print_shadowed(resolve(arguments.hash, settings), arguments, settings)
        return 0
    contents = read_contents(resolve(arguments.hash, settings), settings)
    entries = [e for e in contents.index.entries() if not e.is_directory]
    entries.sort(key=lambda entry: entry.path.encode())
    if arguments.json:
        files = [_facts(contents, entry) for entry in entries]
        print_json({"hash": contents.index.hash, "files": files})
    elif arguments.long:
        _print_files(contents, entries)
    else:
        _print_names(contents, entries)
    return 0


def _facts(contents: Contents, entry: Entry) -> dict[str, object]:
    return {
        "path": entry.path,
        "size": entry.size,
        "sha256": entry.digest.hex(),
        "executable": bool(entry.flags & 1),
        "pythons": _pythons(contents, [entry]),
    }


def _provenances(
    shown: Sequence[_Held], store: ReadStore | None
) -> dict[str, dict[str, object]]:
    """Return by hash what *store* knows of how the archives were made."""
    if store is None:
        return {}
    from lazyimport.registry.provenance import read_provenance

    return {hash: read_provenance(store, hash) for hash, _, _ in shown}


def _print_archives(
    held: Sequence[_Held],
    place: str,
    arguments: argparse.Namespace,
    store: ReadStore | None = None,
) -> None:
    notes = Notes()
    newest = sorted(held, key=lambda archive: (-archive[2], archive[0]))
    shown = newest[: arguments.limit or None]
    made = _provenances(shown, store)
    if arguments.json:
        archives = [
            {
                "hash": hash,
                "size": count,
                "modified": modified,
                "provenance": made.get(hash, {}),
            }
            for hash, count, modified in shown
        ]
        print_json({"count": len(held), "archives": archives})
        return
    if not held:
        notes.say(f"no archives in {place}")
        return
    print_table(
        [
            (hash, size(count), moment(modified), origin_of(made.get(hash, {})))
            for hash, count, modified in shown
        ],
        right=(1,),
    )
    total = size(sum(archive[1] for archive in held))
    text = f"{amount(len(held), 'archive')} in {place}, {total}"
    if len(shown) < len(held):
        text += f"; the {len(shown)} newest are shown (-n 0 shows all)"
    notes.say(text)


def _print_shadowed(
    hash: str, arguments: argparse.Namespace, settings: Settings
) -> None:
    """Print the names that are both in the archive and in this environment."""
    from lazyimport.delivery.fetch import fetch
    from lazyimport.importing.shadowing import shadowed
    from lazyimport.importing.tree import Tree

    archive, _ = fetch(settings, hash, Notes())
    rows = list(shadowed(Tree(archive, NodeCache(settings.cache_dir).tree_path(hash))))
    if arguments.json:
        keys = ("name", "in_archive", "elsewhere")
        print_json([dict(zip(keys, row, strict=True)) for row in rows])
        return
    if rows:
        print_table([("NAME", "IN THE ARCHIVE", "ELSEWHERE"), *rows])
    names = amount(len(rows), "name")
    Notes().say(f"{names} of archive {hash} can be imported from elsewhere too")


def _print_names(contents: Contents, entries: list[Entry]) -> None:
    """Print a line for each top-level name."""
    tops: dict[str, list[Entry]] = {}
    for entry in entries:
        top, slash, _ = entry.path.partition("/")
        tops.setdefault(top + slash, []).append(entry)
    rows = [("NAME", "MODULES", "FILES", "SIZE", "BYTECODE FOR")]
    rows += [
        (
            top,
            f"{sum(entry.path.endswith('.py') for entry in group):,}",
            f"{len(group):,}",
            size(sum(entry.size for entry in group)),
            ", ".join(_pythons(contents, group)) or "-",
        )
        for top, group in tops.items()
    ]
    print_table(rows, right=(1, 2, 3))
    modules = sum(entry.path.endswith(".py") for entry in entries)
    Notes().say(
        f"{amount(modules, 'module')} in {amount(len(entries), 'file')}, "
        f"{size(sum(entry.size for entry in entries))}: archive {contents.index.hash}"
    )


def _print_files(contents: Contents, entries: list[Entry]) -> None:
    rows = [
        (
            "-rwx" if entry.flags & 1 else "-rw-",
            f"{entry.size:,}",
            entry.digest.hex()[:12],
            ", ".join(_pythons(contents, [entry])) or "-",
            entry.path,
        )
        for entry in entries
    ]
    print_table(rows, right=(1,))


def _pythons(contents: Contents, entries: list[Entry]) -> list[str]:
    """Return the Pythons for which any of *entries* has bytecode."""
    bits = 0
    for entry in entries:
        bits |= entry.variants
    return [
        python_of(variant)
        for number, variant in enumerate(contents.index.variants)
        if bits >> number & 1
    ]
