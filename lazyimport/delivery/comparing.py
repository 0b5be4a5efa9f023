"""Comparing: what differs between two archives, file by file and line by line."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from io import StringIO
from typing import NamedTuple, Protocol

from lazyimport.cache.blobs import LARGE
from lazyimport.format.entries import MODULE_SUFFIXES, Entry, stem_of
from lazyimport.format.index import Index
from lazyimport.format.patch import difference


class Tree(Protocol):
    """What can be compared: Contents, an Archive, or the Revision that `pack` makes."""

    index: Index

    def content(self, entry: Entry) -> bytes | memoryview:
        """Return the proved bytes of a file."""


class Change(NamedTuple):
    """A file that differs: its sizes in bytes *before* and *after*, None for none.

    *change* is ``added``, ``removed`` or ``changed``, or what its mode is now, or
    whether it comes on demand; *module* its name as a module, "" if it is none.
    """

    change: str
    before: int | None
    after: int | None
    path: str
    module: str


class Comparison(NamedTuple):
    """What differs between two: the files in ``changes``, in the order of their paths.

    ``recompiled`` is the number of sources that are the same with other bytecode.
    """

    old: Tree
    new: Tree
    changes: list[Change]
    recompiled: int

    def lines(self) -> Iterator[str]:
        """Yield what differs in each file, as ``diff -u`` prints it.

        Raises StoreError or DamagedArchive.
        """
        for _, before, after, path, _ in self.changes:
            old, new = _text(self.old, path), _text(self.new, path)
            one = "/dev/null" if before is None else f"a/{path}"
            other = "/dev/null" if after is None else f"b/{path}"
            if old is None or new is None:
                yield f"Binary files {one} and {other} differ\n"
            else:
                yield unified(old, new, one, other)


def compare(old: Tree, new: Tree) -> Comparison:
    """Return what differs. Raises ArchiveError."""
    patch = difference(old.index, new.index)
    paths = {entry.path for entry in patch.changed} | set(patch.removed)
    changes, recompiled = [], 0
    for path in sorted(paths, key=str.encode):
        before, after = _file(old.index, path), _file(new.index, path)
        if change := _change(before, after):
            old_size, new_size = (e.size if e else None for e in (before, after))
            module = stem_of(path).replace("/", ".") * path.endswith(MODULE_SUFFIXES)
            changes.append(Change(change, old_size, new_size, path, module))
        elif before and after:
            recompiled += before.packed_codes != after.packed_codes
    return Comparison(old, new, changes, recompiled)


def unified(old: str, new: str, one: str, other: str) -> str:
    """Return what differs as ``diff -u`` prints it; *one* and *other* are the names."""
    before, after = (StringIO(text).readlines() for text in (old, new))
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        for line in unified_diff(before, after, one, other)
    )


def _file(index: Index, path: str) -> Entry | None:
    entry = index.entry(path)
    return None if entry is None or entry.is_directory else entry


def _change(before: Entry | None, after: Entry | None) -> str:
    """Return what became of a file, "" if it is the same."""
    if before is None or after is None:
        return "added" if after else "removed" if before else ""
    if before.digest != after.digest:
        return "changed"
    if before.executable != after.executable:
        return "executable now" if after.executable else "no longer executable"
    if before.on_demand != after.on_demand:
        return "on demand now" if after.on_demand else "no longer on demand"
    return ""


def _text(tree: Tree, path: str) -> str | None:
    """Return the text of a file, "" if there is none, None if it is no text to read."""
    entry = _file(tree.index, path)
    if entry is not None and entry.size >= LARGE:
        return None
    data = bytes(tree.content(entry)) if entry else b""
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None
