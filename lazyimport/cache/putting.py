"""Putting an archive's files on disk, where ``__file__`` says they are.

The libraries that a package's own are linked against come along: ``numpy`` finds its
BLAS in ``numpy.libs``, ``torch`` its CUDA in ``nvidia``, by a path relative to the
library.

A package, or a file, appears by rename, whole; the mark is made last. So processes do
not disturb each other, even on a file system without locks.
"""

from __future__ import annotations

import os
import posix
from errno import EEXIST, ENOTEMPTY
from fcntl import LOCK_EX, LOCK_NB, lockf

from lazyimport.cache import blobs, boot, growth
from lazyimport.cache.blobs import write_file
from lazyimport.cache.layout import SHARED
from lazyimport.cache.marks import (
    ALL_LINES,
    BOOT,
    FILES_AT_THE_TOP,
    NEIGHBORS,
    SYNCHRONIZED,
    mark_path,
)
from lazyimport.cache.refusal import refused
from lazyimport.files import (
    AtomicFile,
    claim,
    is_there,
    make_directories,
    make_directory,
    tries,
    unfinished_path,
)
from lazyimport.format.entries import CONFIGURED, HAS_DATA, IN_MEMORY, LOOKS, NATIVE
from lazyimport.format.folders import files_in
from lazyimport.regular import open_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import BinaryIO, Protocol

    from lazyimport.cache.layout import Layout
    from lazyimport.errors import CacheError
    from lazyimport.format.archive import Archive
    from lazyimport.format.entries import Entry

    class Files(Protocol):
        """What asks for files: a `lazyimport.cache.materialize.Materializer`."""

        archive: Archive
        root: str
        layout: Layout
        seen: dict[str, int]

        def whole(self, mark: str) -> str | None:
            """Return what a mark says, if that part of the tree is as it was put."""


#: Where processes wait for each other; no package has such a name.
LOCK = ":lock"
#: Seconds to wait for another process that puts files of the same tree on disk.
_PATIENCE = 60.0
#: Where a shared library looks for others: DT_RPATH, DT_RUNPATH (ld.so(8)).
_SEARCHED = rb"\$(?:ORIGIN|\{ORIGIN\})((?:/[^\0:/]+)+)"


def put_package(files: Files, top: str, *, looks: bool) -> None:
    """Put a directory at the top on disk; with its neighbors, if its code *looks*."""
    putting = _Putting(files)
    with alone(files.root):
        _unsettle(files.root)
        putting.put(top)
        if looks:
            putting.put_neighbors()


def put_neighbors(files: Files) -> None:
    """Put the files at the top on disk, and the directories that hold no module."""
    putting = _Putting(files)
    with alone(files.root):
        _unsettle(files.root)
        putting.put_neighbors()


def put_file(files: Files, entry: Entry, path: str) -> None:
    """Put one file on disk, at *path* in the tree."""
    _unsettle(files.root)
    make_directories(os.path.dirname(path))
    with growth.Growing(files.layout.path, growth.on_disk([entry])):
        put(files, entry, path, blobs.put_file)


def _unsettle(root: str) -> None:
    """Let what is put in a tree now be proved after the next boot, if it was settled.

    Its new mark is on the disk before anything else is.
    """
    place = mark_path(root, BOOT)
    try:
        with open(place, "rb", opener=open_regular) as file:
            if file.read() != SYNCHRONIZED:
                return
    except OSError:
        return
    with AtomicFile(place) as file:
        file.write(boot.name().encode())
    descriptor = posix.open(os.path.dirname(place), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def has(files: Files, entry: Entry) -> bool:
    """Return whether a file on demand has come to the node, for this tree or others."""
    return blobs.is_here(entry, f"{files.root}/{entry.path}", files.layout)


def put(
    files: Files,
    entry: Entry,
    path: str,
    how: Callable[[Archive, Entry, str, Layout], object],
) -> None:
    """Let *how* put one file at *path*. Raises CacheError if the disk refuses."""
    try:
        how(files.archive, entry, path, files.layout)
    except OSError as error:
        raise _refused(files, entry, error) from error


def _refused(files: Files, entry: Entry, error: OSError) -> CacheError:
    what = f"{entry.path} of archive {files.archive.hash}"
    folder = os.path.dirname(f"{files.root}/{entry.path}")
    return refused(what, folder, error, entry.size)


def alone(root: str) -> BinaryIO:
    """Let other processes wait until the result is closed.

    Threads do not wait for each other: one may hold an import lock that the other
    needs.
    """
    path = mark_path(root, LOCK)
    make_directories(os.path.dirname(path))
    file = open(path, "wb", opener=open_regular)  # noqa: SIM115 - the caller closes it
    for _ in tries(_PATIENCE):
        try:
            lockf(file, LOCK_EX | LOCK_NB)
            break
        except (BlockingIOError, PermissionError):
            continue
        except OSError:
            break  # a file system without locks
    return file


class _Putting:
    """Puts what is missing of a tree on disk, each part once."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._archive = files.archive
        self.root = files.root
        self._whole = files.whole
        self._seen = files.seen
        #: directory at the top -> what its mark says, once that is known
        self._begun: dict[str, str] = {}

    def _mark(self, mark: str, said: str) -> None:
        with AtomicFile(mark_path(self.root, mark), durable=False) as file:
            file.write(os.fsencode(said))
        self._seen[mark_path(self.root, mark)] = ALL_LINES

    def put(self, top: str) -> str:
        """Put a directory at the top on disk; return what its mark says."""
        begun = self._begun
        if top in begun:
            return begun[top]
        begun[top] = ""
        said = self._whole(top or FILES_AT_THE_TOP)
        if said is None:
            archive = self._archive
            entries = (
                files_in(archive.index, top) if top else [*archive.files_under("")]
            )
            entries.sort(key=self._place)  # in which they come, if they still do
            archive.want([e.slot for e in entries if not e.on_demand])
            folders = sorted({entry.path.rpartition("/")[0] for entry in entries})
            with growth.Growing(self._files.layout.path, growth.on_disk(entries)):
                self._put_all(top, entries, folders)
            paths = [
                each.path
                for each in entries
                if (each.size >= SHARED or not top) and not each.on_demand
            ]
            if top:  # the root is changed by whatever is put there
                paths += sorted(folders, key=lambda folder: folder.count("/"))
            said = "".join(map(self._last_change, paths))
            if self._archive.flags(top) & NATIVE:
                libraries = (entry for entry in entries if ".so" in entry.path)
                for folder in sorted(set().union(*map(self._searched_by, libraries))):
                    said += self.put(folder)
            self._mark(top or FILES_AT_THE_TOP, said)
        begun[top] = said
        return said

    def _put_all(self, top: str, entries: list[Entry], folders: list[str]) -> None:
        """Put on disk what is missing of a directory at the top."""
        if top and self._put_new(top, entries, folders):
            return
        for folder in folders:
            make_directories(f"{self.root}/{folder}")
        for entry in entries:
            how = blobs.put_later if entry.on_demand else blobs.put_file
            put(self._files, entry, f"{self.root}/{entry.path}", how)

    def _put_new(self, top: str, entries: list[Entry], folders: list[str]) -> bool:
        """Put a directory at the top on disk by one rename; False if it is there."""
        if is_there(f"{self.root}/{top}"):
            return False
        hidden = unfinished_path(self.root)
        masked = make_directory(hidden)
        descriptor = posix.open(hidden, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not claim(descriptor):  # eviction was faster
                return False
            _make_new(folders, descriptor, masked=masked)
            for entry in entries:
                if entry.size >= SHARED or entry.on_demand:
                    how = blobs.put_later if entry.on_demand else blobs.put_file
                    put(self._files, entry, f"{hidden}/{entry.path}", how)
                    continue
                try:
                    write_file(self._archive, entry, entry.path, descriptor)
                except OSError as error:
                    raise _refused(self._files, entry, error) from error
            posix.rename(f"{hidden}/{top}", f"{self.root}/{top}")
        except OSError as error:
            if error.errno not in {EEXIST, ENOTEMPTY}:
                raise
            return False
        finally:
            os.close(descriptor)
            _remove(hidden)
        return True

    def _place(self, entry: Entry) -> int:
        """Return where a file lies in the archive."""
        return self._archive.stored(entry.slot)[0]

    def _last_change(self, path: str) -> str:
        return f"{posix.lstat(f'{self.root}/{path}').st_mtime_ns} {path}\0"

    def put_neighbors(self) -> None:
        if self._whole(NEIGHBORS) is None:
            tops = (
                top for top in self._archive.tops() if not top or self._is_data(top)
            )
            self._mark(NEIGHBORS, "".join(self.put(top) for top in tops))

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


def _make_new(folders: Iterable[str], root: int, *, masked: bool) -> None:
    """Make *folders* and their parents in the new directory of the descriptor *root*.

    That the umask has *masked* the mode of one tells that it does so to all of them.
    """
    made = {""}
    for folder in folders:
        missing = []
        path = folder
        while path not in made:
            made.add(path)
            missing.append(path)
            path = path.rpartition("/")[0]
        for path in reversed(missing):
            posix.mkdir(path, 0o700, dir_fd=root)
            if masked:
                posix.chmod(path, 0o700, dir_fd=root)


def _remove(folder: str) -> None:
    """Remove a folder, which is empty if all went well."""
    try:
        posix.rmdir(folder)
    except OSError:
        from lazyimport.cache.removal import delete_folder

        delete_folder(folder)
