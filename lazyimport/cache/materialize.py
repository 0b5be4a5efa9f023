"""Materializing: files of the tree put on disk, where ``__file__`` says they are.

::

    <cache>/blobs/ab/<digest>        the bytes, once for all archives of the node
    <cache>/trees/<hash>/pkg/...     hard links to them
    <cache>/trees/<hash>.ready/pkg   present when all of that package is there

What its libraries are linked against comes along: ``numpy`` finds its BLAS in
``numpy.libs``, ``torch`` its CUDA in ``nvidia``, by a path relative to the library.

Two processes may materialize one package at a time: each file appears by
rename or link, whole, and always the same, so neither can disturb the other;
the mark is made last. A process holds a shared lock on the folder of a tree that
it uses, so that nobody removes it meanwhile (`lazyimport.cache.evict`).
"""

from __future__ import annotations

import os
import re
from errno import EEXIST
from fcntl import LOCK_SH, flock
from mmap import ACCESS_READ, mmap

from lazyimport.cache.layout import FILES_AT_THE_TOP, NEIGHBORS, Layout, mark_path
from lazyimport.files import AtomicFile, make_directories
from lazyimport.format.digest import sha256
from lazyimport.format.index import (
    CONFIGURED,
    EXECUTABLE,
    HAS_DATA,
    IN_MEMORY,
    LOOKS,
    MODULE_SUFFIXES,
    NATIVE,
    Entry,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazyimport.importing.tree import Tree

__all__ = ["export", "files_under", "materialize", "materialize_all"]

#: Where a shared library looks for others: DT_RPATH, DT_RUNPATH (ld.so(8)).
_SEARCHED = re.compile(rb"\$(?:ORIGIN|\{ORIGIN\})((?:/[^\0:/]+)+)")


def materialize(tree: Tree, top: str) -> None:
    """Put the top-level package *top* on disk; ``""`` means the files beside them.

    With a package whose code looks at files come those that a program keeps beside
    it: the files at the top and the folders there that hold no module.

    Does nothing if it is there. Raises OSError if the disk refuses, CacheError if
    the cache may not be trusted.
    """
    _hold(tree.root)
    begun: set[str] = set()
    _materialize(tree, top, begun)
    if tree.flags(top) & (LOOKS | CONFIGURED):
        _materialize_neighbours(tree, begun)


#: root of a tree that this process uses -> the descriptor that says so
_held: dict[str, int] = {}


def _hold(root: str) -> None:
    """Record, for the life of this process and its forks, that it uses a tree.

    What is there counts only if the cache may be trusted: CacheError, if not.
    """
    if root not in _held:
        Layout.around(root).make()
    while root not in _held:
        make_directories(root)
        descriptor = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
        try:
            flock(descriptor, LOCK_SH)
        except OSError:
            pass  # no locks on this file system: nothing is evicted from it
        try:
            if (
                os.path.samestat(os.fstat(descriptor), os.stat(root))
                # else another thread was faster
                and _held.setdefault(root, descriptor) == descriptor
            ):
                return
        except FileNotFoundError:
            pass  # moved away before this could be recorded
        os.close(descriptor)


def _materialize(tree: Tree, top: str, begun: set[str]) -> None:
    mark = mark_path(tree.root, top or FILES_AT_THE_TOP)
    if top in begun or os.path.exists(mark):
        return
    begun.add(top)
    native = tree.flags(top) & NATIVE
    for entry in files_under(tree, top):
        _put(tree, entry)
        if native and ".so" in entry.path:
            for folder in _searched_by(tree, entry):
                _materialize(tree, folder, begun)
    make_directories(os.path.dirname(mark))
    with open(mark, "wb"):
        pass


def _materialize_neighbours(tree: Tree, begun: set[str]) -> None:
    mark = mark_path(tree.root, NEIGHBORS)
    if os.path.exists(mark):
        return
    for top in tree.tops():
        flags = tree.flags(top)
        if not top or (
            flags & (HAS_DATA | CONFIGURED)
            and not flags & (LOOKS | NATIVE | IN_MEMORY)
            and not any(
                e.path.endswith(MODULE_SUFFIXES) for e in files_under(tree, top)
            )
        ):
            _materialize(tree, top, begun)
    make_directories(os.path.dirname(mark))
    with open(mark, "wb"):
        pass


def _searched_by(tree: Tree, entry: Entry) -> set[str]:
    """Return the top-level directories in which a library looks for others."""
    folder = os.path.dirname(entry.path)
    tops = set()
    for match in _SEARCHED.finditer(tree.archive.content(entry)):
        path = os.path.normpath(folder + os.fsdecode(match[1])).lstrip("/")
        tops.add(path.partition("/")[0])
    return {top for top in tops if tree.is_directory(top)}


def materialize_all(tree: Tree) -> None:
    """Put the whole tree where ``__file__`` says it is. Raises OSError."""
    for top in tree.tops():
        materialize(tree, top)


def export(tree: Tree, folder: str) -> None:
    """Write the whole tree into *folder*, which must be empty or not exist yet.

    The files are the caller's own: nothing else shares them. Raises OSError.
    """
    os.makedirs(folder, exist_ok=True)
    if os.listdir(folder):
        raise FileExistsError(EEXIST, "not empty: name another folder", folder)
    for top in tree.tops():
        for entry in files_under(tree, top):
            path = f"{folder}/{entry.path}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            try:
                with open(path, "xb") as file:
                    file.write(tree.archive.content(entry))
                    if entry.flags & EXECUTABLE:
                        mode = os.fstat(file.fileno()).st_mode
                        os.fchmod(file.fileno(), mode | 0o111)
            except OSError as error:
                error.filename = path  # a full disk does not say which file it was
                raise


def files_under(tree: Tree, top: str) -> Iterator[Entry]:
    """Yield the files of the directory *top* and below; of ``""`` only its own."""
    folders = [top]
    while folders:
        folder = folders.pop()
        for name, is_directory in tree.children(folder):
            path = f"{folder}/{name}" if folder else name
            if not is_directory:
                entry = tree.entry(path)
                if entry is not None:
                    yield entry
            elif folder:
                folders.append(path)


def _put(tree: Tree, entry: Entry) -> None:
    path = tree.inside + entry.path
    if os.path.exists(path):
        return
    make_directories(os.path.dirname(path))
    mode = 0o555 if entry.flags & EXECUTABLE else 0o444
    blob = _blob(tree, entry, mode)
    try:
        os.link(blob, path)
    except FileExistsError:
        pass
    except OSError:  # a disk without hard links, or one file with too many
        with AtomicFile(path, mode, durable=False) as file:
            file.write(tree.archive.content(entry))


def _blob(tree: Tree, entry: Entry, mode: int) -> str:
    """Return the path of the bytes, by digest; read-only, for many trees share it."""
    cache = Layout.around(tree.root)
    blob = cache.blob_path(entry.digest, executable=bool(entry.flags & EXECUTABLE))
    try:
        if _is_sound(blob, entry):
            return blob
    except FileNotFoundError:
        make_directories(os.path.dirname(blob))
    with AtomicFile(blob, mode, durable=False) as file:
        file.write(tree.archive.content(entry))
    return blob


def _is_sound(blob: str, entry: Entry) -> bool:
    """Whether a file made for another archive still holds what its name says.

    Somebody may have edited it: it is the same file in every tree.
    """
    with open(blob, "rb") as file:
        if os.fstat(file.fileno()).st_size != entry.size:
            return False
        if not entry.size:
            return True
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            return sha256(data) == entry.digest
