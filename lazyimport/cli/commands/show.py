"""``lazyimport show``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lazyimport.cli import console, declare, options
from lazyimport.cli.figures import amount, moment, origin_of, size
from lazyimport.cli.progress import Progress
from lazyimport.delivery.contents import Contents, read_contents
from lazyimport.delivery.lookup import resolve
from lazyimport.registry.opening import store_of
from lazyimport.registry.provenance import read_provenance
from lazyimport.settings import Settings

#: why a top-level package becomes real files: docs/format.md, 7
_REASONS = {
    "looks": "its code names a place, or something beside it is configured",
    "data": "it has data files",
    "native": "it has native code",
    "configured": "configured so",
}


@declare.command("show")
@options.archive()
@options.json
@options.settings()
def command(archive: str, as_json: bool, settings: Settings) -> None:
    """Show everything about one archive.

    Prints which Pythons it is for, its sizes, which packages are put on disk before
    their first import and why, and which rule left out what.
    """
    with Progress() as reporter:
        hash = resolve(archive, settings, reporter=reporter)
        contents = read_contents(hash, settings, reporter)
    made = {}
    if settings.store:
        store = store_of(settings)
        made = read_provenance(store, hash)
    if as_json:
        console.print_json(
            {
                "hash": hash,
                "found_in": contents.place.removeprefix("the node cache "),
                "size": contents.header.size,
                "base": contents.header.base,
                "requires_python": contents.notes.get("requires_python"),
                "pythons": [variant.python for variant in contents.index.variants],
                **_figures(contents),
                "large": _large(contents),
                "first": dict(zip(("members", "size"), contents.first, strict=True)),
                "real_files": contents.real_files,
                "left_out": contents.left_out,
                "provenance": made,
            }
        )
    else:
        _print(contents, made)


def _figures(contents: Contents) -> dict[str, int]:
    files = contents.files
    modules = [entry for entry in files if entry.path.endswith(".py")]
    sources = sum(entry.size for entry in modules)
    return {
        "modules": len(modules),
        "files": len(files),
        "folders": contents.index.directories,
        "sources": sources,
        "bytecode": sum(code.size for entry in files for _, code in entry.codes()),
        "other": sum(entry.size for entry in files) - sources,
    }


def _print(contents: Contents, made: Mapping[str, object]) -> None:
    base = contents.header.base
    how = f"a delta to {base}" if base else "whole"
    figures = _figures(contents)
    sizes = [f"{n} {size(figures[n])}" for n in ("sources", "bytecode", "other")]
    rows = [
        ("hash", contents.index.hash),
        ("found in", f"{contents.place}: {size(contents.header.size)}, {how}"),
        ("runs on", contents.runs_on),
        (
            "bytecode for",
            ", ".join(v.python for v in contents.index.variants) or "none",
        ),
        ("modules", f"{figures['modules']:,}"),
        ("files", f"{figures['files']:,} in {amount(figures['folders'], 'folder')}"),
        ("sizes", ", ".join(sizes)),
        ("large files", _large_in_words(contents)),
        ("first", _first(contents)),
    ]
    console.print_table([(name, text) for name, text in rows if text])
    _print_list("as its first push claims (nothing proves it)", _origin(made))
    real, dropped = contents.real_files, contents.left_out
    _print_list(
        "on disk at once",
        [(path or "(top)", _why(reasons)) for path, reasons in real.items()],
    )
    _print_list("left out", [(path, _by(rule)) for path, rule in dropped.items()])


def _large(contents: Contents) -> dict[str, int]:
    files = contents.large
    return {
        "files": len(files),
        "size": sum(entry.size for entry in files),
        "on_demand": sum(entry.on_demand for entry in files),
    }


def _large_in_words(contents: Contents) -> str:
    facts = _large(contents)
    text = f"{facts['files']:,}, {size(facts['size'])}, beside the archive"
    if facts["on_demand"]:
        text += f"; {facts['on_demand']:,} fetched on demand"
    return text if facts["files"] else ""


def _first(contents: Contents) -> str:
    number, stored = contents.first
    text = f"{amount(number, 'member')}, {size(stored)}, which a start reads"
    return text if number else ""


def _why(reasons: Sequence[str]) -> str:
    """Return why a package becomes real files, or why it does not."""
    texts = [_REASONS[reason] for reason in reasons if reason != "in memory"]
    text = ", ".join(texts)
    if "in memory" in reasons:
        return f"no: configured to stay in memory (though {text or 'plain'})"
    return (
        f"not itself, but what lies beside it: {text}" if reasons == ["looks"] else text
    )


def _by(rule: str) -> str:
    """Return what is said of a path that *rule* left out, which may be a sentence."""
    return f"because {rule}" if rule.startswith("it is ") else f"by {rule}"


def _origin(facts: Mapping[str, object]) -> list[tuple[str, str]]:
    when = moment(str(facts.get("time", "")))
    by = f"by {facts.get('builder')} with lazyimport {facts.get('lazyimport')}"
    roots = facts.get("roots")
    rows = [
        ("git commit", origin_of(facts)),
        ("pushed", f"{when} {by}" if facts else ""),
        ("packed from", ", ".join(map(str, roots)) if isinstance(roots, list) else ""),
    ]
    return [(name, text) for name, text in rows if text]


def _print_list(title: str, rows: list[tuple[str, str]]) -> None:
    if rows:
        print(f"{title}:")
        console.print_table(rows, indent="  ")
