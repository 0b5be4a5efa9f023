"""Materializing: an archive's files put on disk, where ``__file__`` says they are.

``trees/<hash>.ready/pkg`` is the mark that all of ``trees/<hash>/pkg`` is there. It
records when its directories and large files were last changed, so the next process
that needs the package puts back what somebody removed or edited.

The libraries that a package's own are linked against come along: ``numpy`` finds its
BLAS in ``numpy.libs``, ``torch`` its CUDA in ``nvidia``, by a path relative to the
library.

A package, or a file, appears by rename, whole; the mark is made last. So processes do
not disturb each other, even on a file system without locks. A process holds a shared
lock on the root of a tree that it uses, so that nobody removes it meanwhile.
"""

from __future__ import annotations

import os
from errno import EEXIST, ENOTEMPTY
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock, lockf

from lazyimport.cache.blobs import SHARED, put_file, put_later, write_file
from lazyimport.cache.layout import FILES_AT_THE_TOP, NEIGHBORS, Layout, mark_path
from lazyimport.files import AtomicFile, claim, make_directories, tries, unfinished_path
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
    from typing import BinaryIO

    from lazyimport.format.archive import Archive
    from lazyimport.format.entries import Entry

#: Where processes wait for each other; no package has such a name.
_LOCK = ":lock"
#: Seconds to wait for another process that puts files of the same tree on disk.
_PATIENCE = 60.0
#: Where a shared library looks for others: DT_RPATH, DT_RUNPATH (ld.so(8)).
_SEARCHED = rb"\$(?:ORIGIN|\{ORIGIN\})((?:/[^\0:/]+)+)"


class Materializer:
    """Puts files of *archive* on disk below *root*, the directory it stands for.

    *root* is a tree of a node cache. *held* maps each root that this process uses
    to the descriptor whose lock says so, *seen* has the marks that it found to be
    true: what the process itself changes after that stays so. The caller keeps both
    for the life of the process. All methods raise OSError if the disk refuses,
    CacheError if the cache may not be trusted, and DamagedArchive.
    """

    def __init__(
        self,
        archive: Archive,
        root: str,
        held: dict[str, int] | None = None,
        seen: set[str] | None = None,
    ) -> None:
        self._archive = archive
        self.root = root
        self._layout = Layout.around(root)
        self._held = {} if held is None else held
        self._seen = set() if seen is None else seen

    def put_package(self, top: str) -> str:
        """Put a directory at the top on disk (``""``: the files there); return where.

        With a package whose code names a place come its neighbors, see
        `put_neighbors`. Does nothing if all of it is there.
        """
        looks = self._archive.flags(top) & (LOOKS | CONFIGURED)
        marks = [top or FILES_AT_THE_TOP, *([NEIGHBORS] if looks else ())]
        self._hold()
        if any(self._whole(mark) is None for mark in marks):
            with self._alone():
                begun: dict[str, str] = {}
                self._put(top, begun)
                if looks:
                    self._put_neighbors(begun)
        return f"{self.root}/{top}"

    def put_neighbors(self) -> str:
        """Put on disk what a program keeps beside its packages; return where.

        These are the files at the top and the directories that hold no module.
        """
        self._hold()
        if self._whole(NEIGHBORS) is None:
            with self._alone():
                self._put_neighbors({})
        return self.root

    def put_file(self, entry: Entry) -> str:
        """Put one file on disk, and return where."""
        self._hold()
        path = f"{self.root}/{entry.path}"
        make_directories(os.path.dirname(path))
        put_file(self._archive, entry, path, self._layout)
        return path

    def put_directory(self, path: str) -> str:
        """Make a directory, relative to the root, that may stay empty."""
        self._hold()
        make_directories(f"{self.root}/{path}")
        return f"{self.root}/{path}"

    def put_all(self) -> str:
        """Put the whole tree on disk, and return where."""
        for top in self._archive.tops():
            self.put_package(top)
        return self.root

    def _hold(self) -> None:
        """Record, for the life of this process and its forks, that it uses the tree."""
        root, held = self.root, self._held
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

    def _alone(self) -> BinaryIO:
        """Let other processes wait until the result is closed.

        Threads do not wait for each other: one may hold an import lock that the other
        needs.
        """
        path = mark_path(self.root, _LOCK)
        make_directories(os.path.dirname(path))
        file = open(path, "wb")  # noqa: SIM115 - the caller closes it
        for _ in tries(_PATIENCE):
            try:
                lockf(file, LOCK_EX | LOCK_NB)
                break
            except (BlockingIOError, PermissionError):
                continue
            except OSError:
                break  # a file system without locks
        return file

    def _whole(self, mark: str) -> str | None:
        """Return what a mark says, if that part of the tree is as it was put there."""
        place = mark_path(self.root, mark)
        try:
            with open(place, "rb") as file:
                said = os.fsdecode(file.read())
            if place in self._seen:
                return said
            for line in said.split("\0")[:-1]:
                changed, _, path = line.partition(" ")
                now = os.lstat(f"{self.root}/{path}").st_mtime_ns
                # layers of images may keep no more than seconds
                if now not in {int(changed), int(changed) // 10**9 * 10**9}:
                    return None
        except (OSError, ValueError):
            return None
        self._seen.add(place)
        return said

    def _mark(self, mark: str, said: str) -> None:
        with AtomicFile(mark_path(self.root, mark), durable=False) as file:
            file.write(os.fsencode(said))
        self._seen.add(mark_path(self.root, mark))

    def _put(self, top: str, begun: dict[str, str]) -> str:
        """Put a directory at the top on disk; return what its mark says."""
        if top in begun:
            return begun[top]
        begun[top] = ""
        said = self._whole(top or FILES_AT_THE_TOP)
        if said is None:
            entries = list(self._archive.files_under(top))
            self._archive.want([entry.slot for entry in entries])
            folders = sorted({os.path.dirname(entry.path) for entry in entries})
            if not top or not self._put_new(top, entries, folders):
                for folder in folders:
                    make_directories(f"{self.root}/{folder}")
                for entry in entries:
                    put = put_later if entry.on_demand else put_file
                    put(
                        self._archive,
                        entry,
                        f"{self.root}/{entry.path}",
                        self._layout,
                    )
            # the root is changed by whatever is put there
            paths = folders if top else []
            paths += [
                each.path
                for each in entries
                if (each.size >= SHARED or not top) and not each.on_demand
            ]
            said = "".join(map(self._last_change, paths))
            if self._archive.flags(top) & NATIVE:
                libraries = (entry for entry in entries if ".so" in entry.path)
                for folder in sorted(set().union(*map(self._searched_by, libraries))):
                    said += self._put(folder, begun)
            self._mark(top or FILES_AT_THE_TOP, said)
        begun[top] = said
        return said

    def _put_new(self, top: str, entries: list[Entry], folders: list[str]) -> bool:
        """Put a directory at the top on disk by one rename; False if it is there."""
        if os.path.lexists(f"{self.root}/{top}"):
            return False
        hidden = unfinished_path(self.root)
        os.mkdir(hidden, 0o700)
        descriptor = os.open(hidden, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not claim(descriptor):  # eviction was faster
                return False
            for folder in folders:
                make_directories(f"{hidden}/{folder}")
            for entry in entries:
                write = put_file if entry.size >= SHARED else write_file
                write = put_later if entry.on_demand else write
                write(self._archive, entry, f"{hidden}/{entry.path}", self._layout)
            os.rename(f"{hidden}/{top}", f"{self.root}/{top}")
        except OSError as error:
            if error.errno not in {EEXIST, ENOTEMPTY}:
                raise
            return False
        finally:
            os.close(descriptor)
            _remove(hidden)
        return True

    def _last_change(self, path: str) -> str:
        return f"{os.lstat(f'{self.root}/{path}').st_mtime_ns} {path}\0"

    def _put_neighbors(self, begun: dict[str, str]) -> None:
        if self._whole(NEIGHBORS) is None:
            tops = (
                top for top in self._archive.tops() if not top or self._is_data(top)
            )
            self._mark(NEIGHBORS, "".join(self._put(top, begun) for top in tops))

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


def export(archive: Archive, folder: str) -> None:
    """Write all files of *archive* into *folder*, which must be empty or not exist.

    It appears with all of them or not at all. The files are the caller's own: nothing
    else shares them. Raises OSError, and DamagedArchive.
    """
    if os.path.lexists(folder) and os.listdir(folder):
        raise FileExistsError(EEXIST, "not empty: name another folder", folder)
    unfinished = unfinished_path(os.path.realpath(folder))
    os.makedirs(unfinished)
    try:
        for top in archive.tops():
            for entry in archive.files_under(top):
                _export_file(archive, entry, f"{unfinished}/{entry.path}")
        os.rename(unfinished, os.path.realpath(folder))
    except BaseException as error:
        _remove(unfinished)
        if isinstance(error, OSError):
            error.filename, error.filename2 = folder, None
        raise


def _export_file(archive: Archive, entry: Entry, path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "xb") as file:
        file.write(archive.content(entry))
        if entry.flags & EXECUTABLE:
            mode = os.fstat(file.fileno()).st_mode
            os.fchmod(file.fileno(), mode | 0o111)


def _remove(folder: str) -> None:
    """Remove a folder, which is empty if all went well."""
    try:
        os.rmdir(folder)
    except OSError:
        from lazyimport.cache.removal import delete_folder

        delete_folder(folder)


def _is_open_at(descriptor: int, path: str) -> bool:
    """Return whether the directory behind *descriptor* is the one at *path*."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
