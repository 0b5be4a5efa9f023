"""Materializing: an archive's files put on disk, where ``__file__`` says they are.

``trees/<hash>/pkg`` in the node cache becomes a directory of hard links to blobs;
``trees/<hash>.ready/pkg`` is the mark that all of it is there.

The libraries that a package's own are linked against come along: ``numpy`` finds its
BLAS in ``numpy.libs``, ``torch`` its CUDA in ``nvidia``, by a path relative to the
library.

Two processes may materialize one package at a time: each file appears by
rename or link, whole, and always the same, so neither can disturb the other;
the mark is made last. A process holds a shared lock on the root of a tree that
it uses, so that nobody removes it meanwhile (`lazyimport.cache.evict`).
"""

from __future__ import annotations

import os
from errno import EEXIST
from fcntl import LOCK_SH, flock

from lazyimport.cache.blobs import link_file
from lazyimport.cache.layout import FILES_AT_THE_TOP, NEIGHBORS, Layout, mark_path
from lazyimport.files import make_directories
from lazyimport.format.entries import (
    CONFIGURED,
    EXECUTABLE,
    HAS_DATA,
    IN_MEMORY,
    LOOKS,
    NATIVE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.format.archive import Archive
    from lazyimport.format.entries import Entry

#: Where a shared library looks for others: DT_RPATH, DT_RUNPATH (ld.so(8)).
_SEARCHED = rb"\$(?:ORIGIN|\{ORIGIN\})((?:/[^\0:/]+)+)"


class Materializer:
    """Puts files of *archive* on disk below *root*, the directory it stands for.

    *root* is a tree of a node cache. *held* maps each root that this process uses
    to the descriptor whose lock says so; the caller keeps it for the life of the
    process. All methods raise OSError if the disk refuses, CacheError if the
    cache may not be trusted, and DamagedArchive.
    """

    def __init__(
        self, archive: Archive, root: str, held: dict[str, int] | None = None
    ) -> None:
        self._archive = archive
        self._root = root
        self._layout = Layout.around(root)
        self._held = {} if held is None else held

    def put_package(self, top: str) -> str:
        """Put a directory at the top on disk (``""``: the files there); return where.

        With a package whose code names a place come its neighbors, see
        `put_neighbors`. Does nothing if all of it is there.
        """
        self._hold()
        begun: set[str] = set()
        self._put(top, begun)
        if self._archive.flags(top) & (LOOKS | CONFIGURED):
            self._put_neighbors(begun)
        return f"{self._root}/{top}"

    def put_neighbors(self) -> str:
        """Put on disk what a program keeps beside its packages; return where.

        These are the files at the top and the directories that hold no module.
        """
        self._hold()
        self._put_neighbors(set())
        return self._root

    def put_file(self, entry: Entry) -> str:
        """Put one file on disk, and return where."""
        self._hold()
        path = f"{self._root}/{entry.path}"
        self._link(entry, path)
        return path

    def put_directory(self, path: str) -> str:
        """Make a directory, relative to the root, that may stay empty."""
        self._hold()
        make_directories(f"{self._root}/{path}")
        return f"{self._root}/{path}"

    def put_all(self) -> str:
        """Put the whole tree on disk, and return where."""
        for top in self._archive.tops():
            self.put_package(top)
        return self._root

    def _hold(self) -> None:
        """Record, for the life of this process and its forks, that it uses the tree."""
        root, held = self._root, self._held
        if root not in held:
            self._layout.make()
        while root not in held:
            make_directories(root)
            descriptor = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
            try:
                flock(descriptor, LOCK_SH)
            except OSError:
                pass  # no locks on this file system: nothing is evicted from it
            # It may have been moved away before the lock, or a thread was faster.
            there = _is_open_at(descriptor, root)
            if not there or held.setdefault(root, descriptor) != descriptor:
                os.close(descriptor)

    def _put(self, top: str, begun: set[str]) -> None:
        mark = mark_path(self._root, top or FILES_AT_THE_TOP)
        if top in begun or os.path.exists(mark):
            return
        begun.add(top)
        native = self._archive.flags(top) & NATIVE
        for entry in self._archive.files_under(top):
            self._link(entry, f"{self._root}/{entry.path}")
            if native and ".so" in entry.path:
                for folder in self._searched_by(entry):
                    self._put(folder, begun)
        _make_mark(mark)

    def _put_neighbors(self, begun: set[str]) -> None:
        mark = mark_path(self._root, NEIGHBORS)
        if os.path.exists(mark):
            return
        for top in self._archive.tops():
            if not top or self._is_data(top):
                self._put(top, begun)
        _make_mark(mark)

    def _is_data(self, top: str) -> bool:
        """Return whether a directory at the top holds data and no module."""
        flags = self._archive.flags(top)
        return bool(
            flags & (HAS_DATA | CONFIGURED)
            and not flags & (LOOKS | NATIVE | IN_MEMORY)
            and not self._archive.has_modules(top)
        )

    def _searched_by(self, library: Entry) -> set[str]:
        """Return the directories at the top in which a library looks for others."""
        import re  # not where nothing but a source is put on disk, for a traceback

        folder = os.path.dirname(library.path)
        tops = set()
        for match in re.finditer(_SEARCHED, self._archive.content(library)):
            path = os.path.normpath(folder + os.fsdecode(match[1])).lstrip("/")
            tops.add(path.partition("/")[0])
        return {top for top in tops if self._archive.directory(top)}

    def _link(self, entry: Entry, path: str) -> None:
        link_file(self._archive, entry, path, self._layout)


def export(archive: Archive, folder: str) -> None:
    """Write all files of *archive* into *folder*, which must be empty or not exist.

    The files are the caller's own: nothing else shares them. Raises OSError, and
    DamagedArchive.
    """
    os.makedirs(folder, exist_ok=True)
    if os.listdir(folder):
        raise FileExistsError(EEXIST, "not empty: name another folder", folder)
    for top in archive.tops():
        for entry in archive.files_under(top):
            path = f"{folder}/{entry.path}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            try:
                with open(path, "xb") as file:
                    file.write(archive.content(entry))
                    if entry.flags & EXECUTABLE:
                        mode = os.fstat(file.fileno()).st_mode
                        os.fchmod(file.fileno(), mode | 0o111)
            except OSError as error:
                error.filename = path  # a full disk does not say which file it was
                raise


def _is_open_at(descriptor: int, path: str) -> bool:
    """Return whether the directory behind *descriptor* is the one at *path*."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _make_mark(path: str) -> None:
    make_directories(os.path.dirname(path))
    with open(path, "wb"):
        pass
