"""What the archive knows about a module that nobody has. Never on a start path."""

from __future__ import annotations

import sys

from lazyimport.values import escaped

#: How the line begins that says what to do about a module that is nowhere.
NOT_INSTALLED = "nor is it installed in this environment"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.importing.tree import Tree


def explain_missing(tree: Tree, fullname: str) -> list[str]:
    """Return what to tell a person after "No module named ...", in lines.

    Names the archive, the rule that dropped the module when it was packed if
    one did, files of that name that other importers could load, and the nearest
    names that there are.
    """
    stem = fullname.replace(".", "/")
    lines = [f"archive {tree.hash} has no module {fullname!r}"]
    dropped = _dropped_by(tree, stem)
    if dropped:
        lines.append(
            f"{dropped[0]} was left out when packing, by the rule {dropped[1]}; "
            "change the rule or add an include to [tool.lazyimport] and push again"
        )
    natives = [
        entry.path
        for entry in tree.archive.index.find(stem)
        if entry.path.endswith((".so", ".pyd"))
    ]
    others = [entry.path for entry in tree.others(stem)]
    if natives:
        lines.append(
            f"it holds {', '.join(natives)}, made for another Python or platform "
            f"than this {sys.implementation.cache_tag} on {sys.platform}"
        )
    if others:
        lines.append(
            f"it holds {', '.join(others)}, which Python does not import by itself: "
            "install the import hook for such files first"
        )
    if not (dropped or natives or others) and "." not in fullname:
        lines.append(
            f"{NOT_INSTALLED}: add it to the image, or to the tree and push again"
        )
    near = _nearest(tree, fullname)
    if near:
        lines.append(f"nearest names in it: {', '.join(near)}")
    # Notes are not hashed, so they may be anybody's.
    return [f"  lazyimport: {escaped(line)}" for line in lines]


def _dropped_by(tree: Tree, stem: str) -> tuple[str, str] | None:
    try:
        excluded = tree.archive.notes.get("excluded")
    except ImportError:  # of what reads them
        return None
    if not isinstance(excluded, dict):
        return None
    candidates = [f"{stem}.py", f"{stem}/__init__.py", f"{stem}/"]
    while "/" in stem:
        stem = stem.rpartition("/")[0]
        candidates.append(f"{stem}/")
    return next(((c, str(excluded[c])) for c in candidates if c in excluded), None)


def _nearest(tree: Tree, fullname: str) -> list[str]:
    """Return at most three names of which few letters differ."""
    parent, _, tail = fullname.rpartition(".")
    names = {
        name.partition(".")[0]
        for name, kind in tree.archive.children(parent.replace(".", "/"))
        if kind or name.endswith((".py", ".pyc", ".so", ".pyd"))
    }
    near = sorted(
        (distance, name)
        for name in names - {"__init__", tail}
        if (distance := _distance(name.lower(), tail.lower())) <= 1 + len(tail) // 4
    )
    return [f"{parent}.{name}" if parent else name for _, name in near[:3]]


def _distance(one: str, other: str) -> int:
    """Return how many letters to change, add or take make *one* of *other*."""
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        before, row[0] = row[0], number
        for place, match in enumerate(other, 1):
            change = before + (letter != match)
            before, row[place] = (
                row[place],
                min(change, row[place] + 1, row[place - 1] + 1),
            )
    return row[-1]
