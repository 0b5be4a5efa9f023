"""``lazyimport ls``: the archives there are, or what is in one."""

from __future__ import annotations

import click

from lazyimport.cli import console, declare, options
from lazyimport.cli.figures import amount, moment, origin_of, size
from lazyimport.cli.progress import Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazyimport.delivery.contents import Contents
    from lazyimport.format.entries import Entry
    from lazyimport.settings import Settings

__all__ = ["command"]

_EXAMPLES = """
lazyimport ls --store gs://bucket/code
lazyimport ls 4be81c02
lazyimport ls 4be81c02 --long | grep template
lazyimport ls 4be81c02 --shadowed           in the image it is to run in
"""


@declare.command("ls", examples=_EXAMPLES)
@options.archive(required=False)
@declare.option("-l", "--long", is_flag=True, help="List every file of HASH.")
@declare.option(
    "--shadowed",
    is_flag=True,
    help="List the names of HASH that can be imported from elsewhere too, in the "
    "Python that runs this.",
)
@declare.option(
    "--cached",
    is_flag=True,
    help="List the node cache, also where LAZYIMPORT_STORE names a store.",
)
@declare.option(
    *("-n", "limit"),
    type=options.count,
    default="20",
    metavar="N",
    help="List at most N archives; 0 lists all.",
)
@options.json
@options.settings()
def command(
    archive: str | None,
    long: bool,
    shadowed: bool,
    cached: bool,
    limit: int,
    as_json: bool,
    settings: Settings,
) -> None:
    """List archives, or what is in one.

    Without HASH: the archives in the store, newest first; in the node cache if no
    store is named. With HASH: what is in that archive.
    """
    if archive is None and shadowed:
        raise click.UsageError("--shadowed needs the hash of an archive")
    if archive is None and settings.store and not cached:
        _list_store(settings, limit, as_json=as_json)
    elif archive is None:
        _list_cache(settings, limit, as_json=as_json)
    elif shadowed:
        _list_shadowed(archive, settings, as_json=as_json)
    else:
        _list_contents(archive, settings, long=long, as_json=as_json)


#: an archive: hash, size, when it came where it is, provenance
_Row = tuple[str, int, float, dict[str, object]]


def _list_store(settings: Settings, limit: int, *, as_json: bool) -> None:
    from lazyimport.registry.archives import stored_archives
    from lazyimport.registry.provenance import read_provenance
    from lazyimport.stores import open_store, writable

    assert settings.store is not None
    store = writable(open_store(settings.store, timeout=settings.timeout))
    found = [(name, item.size, item.modified) for name, item in stored_archives(store)]
    newest = _newest(found, limit)
    rows = [(*row, read_provenance(store, row[0])) for row in newest]
    _print_archives(rows, found, settings.store, as_json=as_json)


def _list_cache(settings: Settings, limit: int, *, as_json: bool) -> None:
    from lazyimport.cache.node import NodeCache

    cached = NodeCache(settings.cache_dir).archives()
    found = [(name, s.st_size, s.st_mtime) for name, s in cached.items()]
    rows: list[_Row] = [(*row, {}) for row in _newest(found, limit)]
    place = f"the node cache {settings.cache_dir}"
    _print_archives(rows, found, place, as_json=as_json)


def _newest(
    found: Sequence[tuple[str, int, float]], limit: int
) -> list[tuple[str, int, float]]:
    return sorted(found, key=lambda row: (-row[2], row[0]))[: limit or None]


def _print_archives(
    rows: Sequence[_Row],
    found: Sequence[tuple[str, int, float]],
    place: str,
    *,
    as_json: bool,
) -> None:
    """Print *rows*, the newest of *found*."""
    if as_json:
        keys = ("hash", "size", "modified", "provenance")
        archives = [dict(zip(keys, row, strict=True)) for row in rows]
        console.print_json({"count": len(found), "archives": archives})
        return
    if not found:
        console.say(f"no archives in {place}")
        return
    table = [(h, size(n), moment(at), origin_of(made)) for h, n, at, made in rows]
    console.print_table(table, right=(1,))
    total = size(sum(count for _, count, _ in found))
    text = f"{amount(len(found), 'archive')} in {place}, {total}"
    if len(rows) < len(found):
        text += f"; the {len(rows)} newest are shown (-n 0 shows all)"
    console.say(text)


def _list_shadowed(archive: str, settings: Settings, *, as_json: bool) -> None:
    """Print the names that are both in the archive and in this environment."""
    from lazyimport.cache.node import NodeCache
    from lazyimport.delivery.fetch import fetch
    from lazyimport.delivery.lookup import resolve
    from lazyimport.importing.shadowing import shadowed
    from lazyimport.importing.tree import Tree

    hash = resolve(archive, settings)
    with Progress() as reporter:
        found, _ = fetch(settings, hash, reporter)
    rows = list(shadowed(Tree(found, NodeCache(settings.cache_dir).tree_path(hash))))
    if as_json:
        keys = ("name", "in_archive", "elsewhere")
        console.print_json([dict(zip(keys, row, strict=True)) for row in rows])
        return
    console.print_table(rows, header=("NAME", "IN THE ARCHIVE", "ELSEWHERE"))
    names = amount(len(rows), "name")
    console.say(f"{names} of archive {hash} can be imported from elsewhere too")


def _list_contents(
    archive: str, settings: Settings, *, long: bool, as_json: bool
) -> None:
    from lazyimport.delivery.contents import read_contents
    from lazyimport.delivery.lookup import resolve

    with Progress() as reporter:
        contents = read_contents(resolve(archive, settings), settings, reporter)
    entries = [e for e in contents.index.entries() if not e.is_directory]
    entries.sort(key=lambda entry: entry.path.encode())
    if as_json:
        files = [_facts(contents, entry) for entry in entries]
        console.print_json({"hash": contents.index.hash, "files": files})
    elif long:
        _print_files(contents, entries)
    else:
        _print_names(contents, entries)


def _facts(contents: Contents, entry: Entry) -> dict[str, object]:
    return {
        "path": entry.path,
        "size": entry.size,
        "sha256": entry.digest.hex(),
        "executable": bool(entry.flags & 1),
        "pythons": _pythons(contents, [entry]),
    }


def _print_names(contents: Contents, entries: list[Entry]) -> None:
    """Print a line for each top-level name."""
    tops: dict[str, list[Entry]] = {}
    for entry in entries:
        top, slash, _ = entry.path.partition("/")
        tops.setdefault(top + slash, []).append(entry)
    rows = [
        (
            top,
            f"{sum(entry.path.endswith('.py') for entry in group):,}",
            f"{len(group):,}",
            size(sum(entry.size for entry in group)),
            ", ".join(_pythons(contents, group)) or "-",
        )
        for top, group in tops.items()
    ]
    header = ("NAME", "MODULES", "FILES", "SIZE", "BYTECODE FOR")
    console.print_table(rows, header=header, right=(1, 2, 3))
    modules = sum(entry.path.endswith(".py") for entry in entries)
    console.say(
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
    console.print_table(rows, right=(1,))


def _pythons(contents: Contents, entries: list[Entry]) -> list[str]:
    """Return the Pythons for which any of *entries* has bytecode."""
    bits = 0
    for entry in entries:
        bits |= entry.variants
    return [
        variant.python
        for number, variant in enumerate(contents.index.variants)
        if bits >> number & 1
    ]
