"""``lazyimport show``."""

from __future__ import annotations

from lazyimport.cli import console, declare, options
from lazyimport.cli.figures import amount, origin_of, size
from lazyimport.cli.progress import Progress
from lazyimport.format.entries import CONFIGURED, HAS_DATA, IN_MEMORY, LOOKS, NATIVE
from lazyimport.format.index import ALL_MINORS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from lazyimport.delivery.contents import Contents
    from lazyimport.settings import Settings

__all__ = ["command"]

#: flag of a top-level package -> why it becomes real files: docs/format.md, 7
_REASONS = {
    LOOKS: "its code looks at its files",
    HAS_DATA: "it has data files",
    NATIVE: "it has native code",
    CONFIGURED: "configured so",
}


@declare.command("show")
@options.archive()
@options.json
@options.settings()
def command(archive: str, as_json: bool, settings: Settings) -> None:
    """Show all about one archive.

    Its Pythons, its sizes, which packages become real files on the node and why,
    and what was left out by which rule.
    """
    from lazyimport.delivery.contents import read_contents
    from lazyimport.delivery.lookup import resolve

    with Progress() as reporter:
        contents = read_contents(resolve(archive, settings), settings, reporter)
    facts = _facts(contents)
    made = _provenance(contents.index.hash, settings)
    if as_json:
        console.print_json({**facts, "provenance": made})
    else:
        _print(facts, made)


def _print(facts: Mapping[str, Any], made: Mapping[str, object]) -> None:
    base = facts["base"]
    how = f"a delta to {base}" if base else "whole"
    sizes = [f"{what} {size(facts[what])}" for what in ("sources", "bytecode", "other")]
    rows = [
        ("hash", str(facts["hash"])),
        ("found in", f"{facts['found_in']}: {size(facts['size'])}, {how}"),
        ("runs on", facts["runs_on"]),
        ("bytecode for", ", ".join(facts["pythons"]) or "none"),
        ("modules", f"{facts['modules']:,}"),
        ("files", f"{facts['files']:,} in {amount(facts['folders'], 'folder')}"),
        ("sizes", ", ".join(sizes)),
    ]
    console.print_table([*rows, *_came_from(made)])
    real = facts["real_files"]
    _print_list("real files on the node", [(p or "(top)", r) for p, r in real.items()])
    dropped = facts["left_out"]
    _print_list("left out", [(path, f"by {rule}") for path, rule in dropped.items()])


def _facts(contents: Contents) -> dict[str, Any]:
    index, header = contents.index, contents.header
    files = [entry for entry in index.entries() if not entry.is_directory]
    sources = sum(e.size for e in files if e.path.endswith(".py"))
    excluded = contents.notes.get("excluded")
    return {
        "hash": index.hash,
        "found_in": contents.place,
        "size": header.size,
        "base": header.base,
        "runs_on": _runs_on(contents),
        "pythons": [variant.python for variant in index.variants],
        "modules": sum(entry.path.endswith(".py") for entry in files),
        "files": index.files,
        "folders": index.directories,
        "sources": sources,
        "bytecode": sum(code.size for entry in files for _, code in entry.codes()),
        "other": sum(e.size for e in files) - sources,
        "real_files": dict(_real_packages(contents)),
        "left_out": {
            str(path): str(rule)
            for path, rule in (excluded.items() if isinstance(excluded, dict) else ())
        },
    }


def _provenance(hash: str, settings: Settings) -> dict[str, object]:
    """Return what the store knows of how the archive was made."""
    if not settings.store:
        return {}
    from lazyimport.registry.provenance import read_provenance
    from lazyimport.stores import open_store

    store = open_store(settings.store, timeout=settings.timeout)
    return read_provenance(store, hash)


def _came_from(facts: Mapping[str, object]) -> list[tuple[str, str]]:
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
        console.print_table(rows, indent="  ")
