"""Appearing: what code is about to look at comes to the disk, as far as it is there."""

from __future__ import annotations

import os
import sys

from lazyimport.importing.looks import (
    ASKED,
    LISTED,
    NAME,
    OPENED,
    PACKAGE,
    STARTED,
    STATUS,
    Answered,
)
from lazyimport.lazy import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.cache.materialize import Materializer
    from lazyimport.errors import CacheError
    from lazyimport.format.entries import Entry
    from lazyimport.importing.tree import Tree

#: how deep who reads a file looks
_READ = {NAME, OPENED}
#: stands for all directories at the top; none is called so
_ALL = "/"
_MOST_LOOKS = 1000


def appear(tree: Tree, path: str, depth: int) -> bool:
    """Put on disk what code is about to look at; return if it comes on demand.

    *path* is absolute, in *tree*, *depth* as `lazyimport.importing.looks` says.
    Raises ArchiveReadError if the bytes are damaged.
    """
    tree.follow_user()
    root = tree.root if f"{path}/".startswith(tree.inside) else tree.place
    inner = path[len(root) + 1 :]
    try:
        entry = tree.entry(inner) if inner else None
        if depth == STATUS and entry is not None and entry.on_demand:
            _require_here(tree, entry)
        if entry is not None and depth in _READ and entry.path.endswith(".py"):
            tree.prepare(entry.path)  # it may run, without our loader
        if depth == STARTED:
            depth = PACKAGE
            known = {(inner, STARTED), (_ALL, PACKAGE)}
            if entry is not None and tree.answered.isdisjoint(known):
                if _is_program(tree, entry):
                    _answer(tree, "", None, PACKAGE)
                else:  # a folder may have many files, and is named to each child
                    tree.answered.add((inner, STARTED))
        if depth != ASKED:
            _answer(tree, inner, entry, max(depth, NAME))
    except (errors.ArchiveError, errors.ArchiveImportError) as error:
        raise tree.unreadable(path, error) from error
    return entry is not None and entry.on_demand


def _require_here(tree: Tree, entry: Entry) -> None:
    """Raise Answered by its status unless a file on demand has come to this node."""
    if (entry.path, NAME) in tree.answered or tree.has(entry):
        return
    from stat import S_IFREG  # few archives have such files

    mode = S_IFREG | (0o555 if entry.executable else 0o444)
    number = int.from_bytes(entry.digest[:7], "big")
    owner = os.geteuid(), os.getegid()
    times = [tree.began] * 3
    facts = mode, number, 0, 1, *owner, entry.size, *times
    raise Answered(os.stat_result(facts))


def _answer(tree: Tree, inner: str, entry: Entry | None, depth: int) -> None:
    """Answer a look, unless another one was answered that went as deep."""
    is_directory = not inner or (entry is not None and entry.is_directory)
    if depth == OPENED:
        depth = PACKAGE if is_directory else NAME
    elif depth == LISTED and inner:
        depth = PACKAGE
    whole = _top(tree, inner) if inner else _ALL
    answers = {(whole, PACKAGE), (_ALL, PACKAGE)}
    if entry is not None and entry.on_demand:
        depth, answers = NAME, set()  # no look at anything else brings it
    look = (whole if depth == PACKAGE else inner, depth)
    if not tree.answered.isdisjoint({look, *answers}):
        return
    looker = _who_looks()
    if not looker:
        return
    if not answers or not tree.prepared.get(whole):

        def bring() -> CacheError | None:
            return _bring(tree, inner, entry, depth, whole)

        if not tree.attempt(look, whole, bring):
            return
    tree.answered.add(look)  # now: other threads do not wait for us
    if len(tree.looked) < _MOST_LOOKS:
        tree.looked.setdefault(inner or ".", looker)


def _is_program(tree: Tree, entry: Entry) -> bool:
    """Return whether *entry* is a program of another language, or a folder with one.

    Those of Python find in the archive what they import, and what they look at.
    """
    if entry.is_directory:
        files = tree.archive.children(entry.path)
        inside = (tree.entry(f"{entry.path}/{n}") for n, kind in files if not kind)
        return any(each is not None and _may_run(each) for each in inside)
    if _may_run(entry):
        return True
    if tree.archive.is_blob(entry) or entry.path.endswith(".py"):
        return False
    return bytes(tree.archive.content(entry)[:2]) == b"#!"  # as in sh FILE


def _may_run(entry: Entry) -> bool:
    name = entry.path.rpartition("/")[2]
    return entry.executable and not name.endswith(".py") and ".so" not in name


def _bring(
    tree: Tree, inner: str, entry: Entry | None, depth: int, whole: str
) -> CacheError | None:
    """Put on disk what a look needs; return why that is not possible, or None."""
    if depth == LISTED:
        refusal = tree.put_by(lambda files: _put_names(tree, files))
        if refusal is None:
            tree.answered.add(("", PACKAGE))
        return refusal
    if depth == PACKAGE:
        return _put_packages(tree, [whole] if inner else tree.archive.tops())
    nearest = entry or _nearest(tree, inner)
    if not nearest.is_directory:
        return tree.put(nearest)
    return tree.put_by(lambda files: files.put_directory(nearest.path))


def _put_packages(tree: Tree, tops: list[str]) -> CacheError | None:
    for top in tops:
        if (top, PACKAGE) not in tree.answered:
            refusal = tree.put_package(top)
            if refusal is not None:
                return refusal
            tree.answered.add((top, PACKAGE))
    return None


def _put_names(tree: Tree, files: Materializer) -> str:
    """Put at the root what a listing of it names: its files, empty directories."""
    for top in tree.archive.tops()[1:]:
        files.put_directory(top)
    return files.put_package("")


def _top(tree: Tree, inner: str) -> str:
    top = inner.partition("/")[0]
    return top if tree.is_directory(top) else ""


def _nearest(tree: Tree, inner: str) -> Entry:
    """Return what *inner* would be in: a directory, or a file, such as a zip."""
    entry = None
    while entry is None:
        inner = inner.rpartition("/")[0]
        entry = tree.entry(inner)
    return entry


def _who_looks() -> str:
    """Return the name of the module that looks.

    Empty for `inspect.getmodule`, which asks for the files of all modules and does not
    need them.
    """
    frame = sys._getframe(2)  # noqa: SLF001 - documented
    while True:
        name = str(frame.f_globals.get("__name__"))
        top = name.partition(".")[0]
        if frame.f_back is None or (
            top != "lazyimport" and top not in sys.stdlib_module_names
        ):
            return name
        if name == "inspect" and frame.f_code.co_name == "getmodule":
            return ""
        frame = frame.f_back
