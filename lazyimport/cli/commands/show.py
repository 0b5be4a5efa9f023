"""``lazyimport show``."""

from __future__ import annotations

from lazyimport.cli.archives import look_into, origin_of
from lazyimport.cli.options import read_settings, resolve
from lazyimport.cli.tables import amount, print_table, python_of, size, tolerant
from lazyimport.format.index import (
    ALL_MINORS,
    CONFIGURED,
    HAS_DATA,
    IN_MEMORY,
    LOOKS,
    NATIVE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from lazyimport.cli.archives import Contents
    from lazyimport.settings import Settings

__all__ = ["run"]

#: flag of a top-level package -> why it becomes real files: docs/format.md, 7
_REASONS = {
    LOOKS: "its code looks at its files",
    HAS_DATA: "it has data files",
    NATIVE: "it has native code",
    CONFIGURED: "configured so",
}


def run(arguments: argparse.Namespace) -> int:
    """Print all about one archive."""
    tolerant()
    settings = read_settings(arguments)
    contents = look_into(resolve(arguments.hash, settings), settings)
    rows = [("hash", contents.index.hash), *_facts(contents)]
    print_table([*rows, *_came_from(contents.index.hash, settings)])
    _print_list("real files on the node", _real_packages(contents))
    excluded = contents.notes.get("excluded")
    if isinstance(excluded, dict) and excluded:
        _print_list("left out", [(str(p), f"by {r}") for p, r in excluded.items()])
    return 0


def _facts(contents: Contents) -> list[tuple[str, str]]:
    index, header = contents.index, contents.header
    files = [entry for entry in index.entries() if not entry.is_directory]
    sources = sum(e.size for e in files if e.path.endswith(".py"))
    data = sum(e.size for e in files) - sources
    codes = sum(code.size for entry in files for _, code in entry.codes())
    modules = sum(entry.path.endswith(".py") for entry in files)
    how = f"a delta to {header.base}" if header.base else "whole"
    return [
        ("found in", f"{contents.place}: {size(header.size)}, {how}"),
        ("runs on", _runs_on(contents)),
        ("bytecode for", ", ".join(map(python_of, index.variants)) or "none"),
        ("modules", f"{modules:,}"),
        ("files", f"{index.files:,} in {amount(index.directories, 'folder')}"),
        (
            "sizes",
            f"sources {size(sources)}, bytecode {size(codes)}, other {size(data)}",
        ),
    ]


def _came_from(hash: str, settings: Settings) -> list[tuple[str, str]]:
    """Return what the store knows of how the archive was made."""
    if not settings.store:
        return []
    from lazyimport.delivery.provenance import read_provenance
    from lazyimport.delivery.stores import open_store

    store = open_store(settings.store, timeout=settings.timeout)
    facts = read_provenance(store, hash)
    rows = [("git commit", origin_of(facts))]
    if facts:
        when = str(facts.get("time", "")).replace("T", " ").replace("Z", " UTC")
        by = f"by {facts.get('builder')} with lazyimport {facts.get('lazyimport')}"
        rows.append(("first pushed", f"{when} {by}"))
    roots = facts.get("roots")
    if isinstance(roots, list):
        rows.append(("packed from", ", ".join(map(str, roots))))
    return [(name, text) for name, text in rows if text]


def _runs_on(contents: Contents) -> str:
    required = contents.notes.get("requires_python")
    if required:
        return f"Python {required}"
    if contents.index.minors == ALL_MINORS:
        return "any Python (the project does not say)"
    minors = [minor for minor in range(64) if contents.index.minors >> minor & 1]
    return "Python " + ", ".join(f"3.{minor}" for minor in minors)


def _real_packages(contents: Contents) -> list[tuple[str, str]]:
    found = []
    for entry in contents.index.entries():
        if entry.is_directory and entry.flags:
            reasons = [text for flag, text in _REASONS.items() if entry.flags & flag]
            text = ", ".join(reasons)
            if entry.flags & IN_MEMORY:
                text = f"no: configured to stay in memory (though {text or 'plain'})"
            found.append((entry.path, text))
    return sorted(found)


def _print_list(title: str, rows: list[tuple[str, str]]) -> None:
    if rows:
        print(f"{title}:")
        print_table(rows, indent="  ")
