"""What the archive knows about a module that nobody has. Never on a start path."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.importing.tree import Tree


def explain_missing(tree: Tree, fullname: str) -> str:
    """Return what to tell a person after "No module named ...", on lines of its own.

    Names the archive, the rule that dropped the module when it was packed if
    one did, the tag of an extension module made for another Python or
    platform, and the nearest names that there are.
    """
    stem = fullname.replace(".", "/")
    lines = [f"archive {tree.hash} has no module {fullname!r}"]
    dropped = _dropped_by(tree, stem)
    if dropped:
        lines.append(
            f"{dropped[0]} was left out when packing, by the rule {dropped[1]}; "
            "change the rule or add an include to [tool.lazyimport] and push again"
        )
    foreign = _foreign_extensions(tree, stem)
    if foreign:
        lines.append(
            f"it holds {', '.join(foreign)}, made for another Python or platform "
            f"than this {sys.implementation.cache_tag} on {sys.platform}"
        )
    if not dropped and not foreign and "." not in fullname:
        lines.append(
            "nor is it installed in this environment: add it to the image, or to "
            "the tree and push again"
        )
    near = _nearest(tree, fullname)
    if near:
        lines.append(f"nearest names in it: {', '.join(near)}")
    return "".join(f"\n  lazyimport: {_on_one_line(line)}" for line in lines)


def _on_one_line(text: str) -> str:
    """Escape what is no text: notes are not hashed, so they may be anybody's."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def _dropped_by(tree: Tree, stem: str) -> tuple[str, str] | None:
    excluded = tree.archive.notes.get("excluded")
    if not isinstance(excluded, dict):
        return None
    candidates = [f"{stem}.py", f"{stem}/__init__.py", f"{stem}/"]
    while "/" in stem:
        stem = stem.rpartition("/")[0]
        candidates.append(f"{stem}/")
    return next(((c, str(excluded[c])) for c in candidates if c in excluded), None)


def _foreign_extensions(tree: Tree, stem: str) -> list[str]:
    return [
        entry.path
        for entry in tree.archive.index.find(stem)
        if entry.path.endswith((".so", ".pyd"))
    ]


def _nearest(tree: Tree, fullname: str) -> list[str]:
    from difflib import get_close_matches

    parent, _, tail = fullname.rpartition(".")
    folder = parent.replace(".", "/")
    names = {
        name.partition(".")[0]
        for name, kind in tree.archive.children(folder)
        if kind or name.endswith((".py", ".pyc", ".so", ".pyd"))
    }
    found = get_close_matches(tail, names - {"__init__", tail}, n=3, cutoff=0.6)
    return [f"{parent}.{name}" if parent else name for name in found]
