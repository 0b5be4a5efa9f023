"""``lazyimport ls``: the archives there are, or what is in one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from lazyimport.cache.node import NodeCache
from lazyimport.cli import console, declare, options
from lazyimport.cli.figures import amount, large_files, moment, origin_of, size
from lazyimport.cli.progress import Progress
from lazyimport.delivery.contents import Contents, fetch_to_read, read_contents
from lazyimport.delivery.lookup import resolve
from lazyimport.format.entries import Entry
from lazyimport.importing.shadowing import shadowed as find_shadowed
from lazyimport.importing.tree import Tree
from lazyimport.registry.blobs import StoredBlob, stored_blobs
from lazyimport.registry.listing import Listed, list_store, newest
from lazyimport.registry.opening import store_of
from lazyimport.settings import Settings
from lazyimport.stores import writable

_EXAMPLES = """
lazyimport ls --store gs://bucket/code
lazyimport ls 4be81c02
lazyimport ls 4be81c02 --long | grep template
lazyimport ls 4be81c02 --shadowed           in the image it is to run in
"""
_HEADER = (
    *("ARCHIVE", "SIZE", "WHEN", "CHANNELS"),
    *("BY (CLAIMED)", "COMMIT (CLAIMED)"),
)


@declare.command("ls", examples=_EXAMPLES)
@options.archive("[HASH]")
@declare.option("-l, --long", "List every file of HASH.")
@declare.option(
    "--shadowed",
    "List the names in HASH that can also be imported from elsewhere, in the Python "
    "that runs this.",
)
@declare.option(
    "--cached", "List the node cache, even if LAZYIMPORT_STORE names a store."
)
@declare.option("-n N", "List at most N archives; 0 lists all.", "limit", default="20")
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

    Without HASH, lists the archives in the store, newest first, with the channels that
    point to them; if no store is named, those in the node cache. With HASH, lists what
    is in that archive.

    BY and COMMIT are what the first push of an archive claimed; nothing proves them.
    """
    if archive is None:
        options.refuse_idle(["long", "shadowed"], "without the hash of an archive")
        if cached:
            options.refuse_idle(["store"], "with --cached")
        _list_archives(settings, limit or None, cached=cached, as_json=as_json)
        return
    options.refuse_idle(["cached", "limit"], "with the hash of an archive")
    if shadowed or as_json:
        options.refuse_idle(["long"], "with --shadowed or --json")
    with Progress() as reporter:
        hash = resolve(archive, settings, reporter=reporter)
    if shadowed:
        _list_shadowed(hash, settings, as_json=as_json)
        return
    with Progress() as reporter:
        contents = read_contents(hash, settings, reporter)
    if as_json:
        files = [_facts(contents, entry) for entry in contents.files]
        console.print_json({"hash": hash, "files": files})
    elif long:
        _print_files(contents)
    else:
        _print_names(contents)


def _list_archives(
    settings: Settings, limit: int | None, *, cached: bool, as_json: bool
) -> None:
    if settings.store and not cached:
        store = writable(store_of(settings))
        place = store.url
        with Progress() as reporter:
            shown, found = list_store(store, limit, reporter)
            blobs = stored_blobs(store)
    else:
        cache = NodeCache(settings.cache_dir)
        place = f"the node cache {cache.path}"
        archives = cache.archives().items()
        found = [Listed(n, s.st_size, s.st_mtime, [], {}) for n, s in archives]
        shown = newest(found, limit)
        blobs = []
    if as_json:
        console.print_json({"count": len(found), "archives": shown})
    else:
        _print_archives(shown, found, blobs, place)


def _print_archives(
    shown: list[Listed], found: list[Listed], blobs: list[StoredBlob], place: str
) -> None:
    if not found:
        console.say(f"no archives in {place}")
        return
    rows = [
        (
            row.hash,
            size(row.size),
            moment(row.modified),
            ", ".join(row.channels),
            str(row.provenance.get("builder") or ""),
            origin_of(row.provenance),
        )
        for row in shown
    ]
    columns = 6 if any(row.channels or row.provenance for row in shown) else 3
    rows_shown = [row[:columns] for row in rows]
    console.print_table(rows_shown, header=_HEADER[:columns], right=(1,))
    total = size(sum(row.size for row in found))
    text = f"{amount(len(found), 'archive')} in {place}, {total}"
    if blobs:
        text += f", and {large_files(blobs)}"
    if len(shown) < len(found):
        text += f"; the {len(shown)} newest are shown (-n 0 shows all)"
    console.say(text)


def _list_shadowed(hash: str, settings: Settings, *, as_json: bool) -> None:
    with Progress() as reporter:
        found = fetch_to_read(hash, settings, reporter)
    tree = Tree(found, NodeCache(settings.cache_dir).tree_path(hash))
    rows = list(find_shadowed(tree))
    if as_json:
        keys = ("name", "in_archive", "elsewhere")
        console.print_json([dict(zip(keys, row, strict=True)) for row in rows])
        return
    console.print_table(rows, header=("NAME", "IN THE ARCHIVE", "ELSEWHERE"))
    names = amount(len(rows), "name")
    console.say(f"{names} of archive {hash} can be imported from elsewhere too")


def _facts(contents: Contents, entry: Entry) -> dict[str, object]:
    return {
        "path": entry.path,
        "size": entry.size,
        "sha256": entry.digest.hex(),
        "executable": entry.executable,
        "on_demand": entry.on_demand,
        "pythons": contents.pythons([entry]),
    }


def _print_names(contents: Contents) -> None:
    files = contents.files
    rows = []
    for top, entries in groupby(files, _top_of):
        group = list(entries)
        modules, count, total = _figures(group)
        pythons = ", ".join(contents.pythons(group)) or "-"
        rows.append((top, f"{modules:,}", f"{count:,}", size(total), pythons))
    header = ("NAME", "MODULES", "FILES", "SIZE", "BYTECODE FOR")
    console.print_table(rows, header=header, right=(1, 2, 3))
    modules, count, total = _figures(files)
    console.say(
        f"{amount(modules, 'module')} in {amount(count, 'file')}, {size(total)}: "
        f"archive {contents.index.hash}"
    )


def _top_of(entry: Entry) -> str:
    top, slash, _ = entry.path.partition("/")
    return top + slash


def _figures(entries: Sequence[Entry]) -> tuple[int, int, int]:
    modules = sum(entry.path.endswith(".py") for entry in entries)
    return modules, len(entries), sum(entry.size for entry in entries)


def _print_files(contents: Contents) -> None:
    rows = [
        (
            "-rwx" if entry.executable else "-rw-",
            f"{entry.size:,}",
            entry.digest.hex()[:12],
            ", ".join(contents.pythons([entry])) or "-",
            entry.path,
        )
        for entry in contents.files
    ]
    console.print_table(rows, right=(1,))
