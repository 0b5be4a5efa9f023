"""What a start reads: as profiles have recorded it, or as its imports suggest."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from errno import ENOENT
from functools import cache

from lazyimport.errors import PackError
from lazyimport.format.delta import Revision
from lazyimport.format.entries import IN_MEMORY, LOOKS, NATIVE, top_of
from lazyimport.format.profile import CODE, PACKAGE, Read, Start, decode
from lazyimport.packing.imports import Module, import_order
from lazyimport.regular import open_regular


def read_starts(paths: Iterable[str]) -> list[Start]:
    """Return the starts in profiles: files, or directories of them.

    Raises PackError for what cannot be read, SettingsError for what is no profile.
    """
    starts: list[Start] = []
    for path in paths:
        try:
            for file in profiles_in(path):
                with open(file, "rb", opener=open_regular) as opened:
                    starts += decode(opened.read(), file)
        except OSError as error:
            raise PackError(
                f"cannot read the profile {error.filename or path}: {error.strerror}",
                issues=(f"{path}: {error.strerror}",),
            ) from error
    return starts


def profiles_in(path: str) -> list[str]:
    """Return the profiles in the directory *path*, or *path* itself if it is a file.

    Raises OSError, also if there are none.
    """
    if not os.path.isdir(path):
        return [path]
    names = sorted(name for name in os.listdir(path) if name.endswith(".jsonl"))
    if not names:
        raise FileNotFoundError(ENOENT, "no profile (*.jsonl) is there", path)
    return [os.path.join(path, name) for name in names]


def expected_start(entries: Sequence[str], revision: Revision) -> Start:
    """Return what a start reads that imports *entries* (``module:attribute``).

    Only their sources are read, and those of modules that they import.
    """
    index = revision.index

    @cache
    def find(name: str) -> Module | None:
        stem = name.replace(".", "/")
        for path in (f"{stem}/__init__.py", f"{stem}.py"):
            if (entry := index.entry(path)) is not None:
                return Module(path, bytes(revision.content(entry)))
        return Module("", b"") if index.entry(stem) is not None else None

    def reads(names: Iterable[str]) -> Iterator[Read]:
        tops: set[str] = set()
        for name in names:
            module = find(name)
            if module is None or not module.path:
                continue
            top = top_of(module.path)
            if top not in tops:
                tops.add(top)
                entry = index.entry(top)
                flags = entry.flags if entry is not None else 0
                if flags & NATIVE if flags & IN_MEMORY else flags & ~LOOKS:
                    yield Read(PACKAGE, top)
            yield Read(CODE, module.path)

    names = import_order([entry.partition(":")[0] for entry in entries], find)
    return Start(index.hash, reads=list(reads(names)))
