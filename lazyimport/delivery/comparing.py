"""Comparing: what differs between two archives, file by file and line by line."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from io import StringIO
from typing import NamedTuple, Protocol

from lazyimport.format.entries import EXECUTABLE, MODULE_SUFFIXES, Entry, stem_of
from lazyimport.format.index import Index
from lazyimport.format.patch import difference


class Tree(Protocol):
    """What can be compared: Contents, an Archive, or the Revision that `pack` makes."""

    index: Index

    def content(self, entry: Entry) -> bytes | memoryview:
        """Return the proved bytes of a file."""


class Change(NamedTuple):
    """A file that differs: as it is *before* and *after*, None where it is not."""

    path: str
    before: Entry | None
    after: Entry | None

    @property
    def kind(self) -> str:
        """``added``, ``removed`` or ``changed``; of a mere mode, what it is now."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        if self.before.digest != self.after.digest:
            return "changed"
        executable = self.after.flags & EXECUTABLE
        return "executable now" if executable else "no longer executable"

    @property
    def module(self) -> str:
        """The name of the module that the file is, "" if it is none."""
        is_module = self.path.endswith(MODULE_SUFFIXES)
        return stem_of(self.path).replace("/", ".") if is_module else ""


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
        for path, before, after in self.changes:
            old = _text(self.old, before)
            new = _text(self.new, after)
            names = before and f"a/{path}", after and f"b/{path}"
            one, other = (name or "/dev/null" for name in names)
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
        if _facts(before) != _facts(after):
            changes.append(Change(path, before, after))
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


def _facts(entry: Entry | None) -> tuple[bytes, int] | None:
    return (entry.digest, entry.flags & EXECUTABLE) if entry else None


def _text(tree: Tree, entry: Entry | None) -> str | None:
    """Return the text of a file, "" if there is none, None if it is not text."""
    data = bytes(tree.content(entry)) if entry else b""
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None
