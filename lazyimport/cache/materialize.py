"""What is on disk of a tree: the files of an archive where ``__file__`` says they are.

``trees/<hash>.ready/pkg`` is the mark that all of ``trees/<hash>/pkg`` is there. It
records when its large files and directories were last changed, those at the top first,
so the next process that needs the package puts back what somebody removed or edited
(`lazyimport.cache.putting`).

A process holds a shared lock on the root of a tree that it uses, so that nobody removes
it meanwhile.
"""

from __future__ import annotations

import os
import posix
from fcntl import LOCK_SH, flock

from lazyimport.cache.layout import Layout
from lazyimport.cache.marks import (
    ALL_LINES,
    FILES_AT_THE_TOP,
    NEIGHBORS,
    is_as_put,
    is_of_this_boot,
    mark_path,
)
from lazyimport.format.entries import CONFIGURED, LOOKS, top_of
from lazyimport.lazy import Later

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport import files, regular
    from lazyimport.cache import putting, survivors
    from lazyimport.format.archive import Archive
    from lazyimport.format.entries import Entry
else:
    regular = Later("regular")  # where there is a tree
    # where anything is missing
    files, putting = Later("files"), Later("cache.putting")
    survivors = Later("cache.survivors")


#: How many large files and directories a glance takes in: all that most packages have.
#: To look at the 1,367 of Django took a twentieth of its import.
_GLANCE = 64


class Materializer:
    """Puts files of *archive* on disk below *root*, the directory it stands for.

    *root* is a tree of a node cache. *held* maps each root that this process uses
    to the descriptor whose lock says so, *seen* each mark to the number of its lines
    that it found to be true: what the process itself changes after that stays so. The
    caller keeps both for the life of the process. All methods raise CacheError or
    OSError if the disk refuses, CacheError if the cache may not be trusted, and
    DamagedArchive.
    """

    def __init__(
        self,
        archive: Archive,
        root: str,
        held: dict[str, int] | None = None,
        seen: dict[str, int] | None = None,
    ) -> None:
        self.archive = archive
        self.root = root
        self.layout = Layout.around(root)
        self._held = {} if held is None else held
        self.seen = {} if seen is None else seen

    def put_package(self, top: str, *, at_a_glance: bool = False) -> str:
        """Put a directory at the top on disk (``""``: the files there); return where.

        With a package whose code names a place come its neighbors, see
        `put_neighbors`. Does nothing if all of it is there. *at_a_glance*, that is not
        looked at in the depths of a package that has many directories.
        """
        looks = self.archive.flags(top) & (LOOKS | CONFIGURED)
        marks = [top or FILES_AT_THE_TOP, *([NEIGHBORS] if looks else ())]
        self._hold()
        if any(self.whole(mark, at_a_glance=at_a_glance) is None for mark in marks):
            self._hold_again()
            putting.put_package(self, top, looks=bool(looks))
        return f"{self.root}/{top}"

    def has_seen_all_of(self, top: str) -> bool:
        """Return whether this process found a package on disk, and not at a glance."""
        mark = mark_path(self.root, top or FILES_AT_THE_TOP)
        return self.seen.get(mark) == ALL_LINES

    def put_neighbors(self, top: str) -> str:
        """Put on disk what a program keeps beside its packages; return where.

        These are the files at the top and the directories that hold no module, as far
        as a glance shows that they are gone. If there are any, the directories of the
        package *top* are made as well: the system goes through them to what a path with
        ``..`` names.
        """
        self._hold()
        if self.whole(NEIGHBORS, at_a_glance=True) is None:
            self._hold_again()
            putting.put_neighbors(self)
        there = posix.access(f"{self.root}/{top}", os.F_OK)
        if not there and self.whole(NEIGHBORS, at_a_glance=True):
            paths = [entry.path for entry in self.archive.files_under(top)]
            for folder in sorted(set(map(os.path.dirname, paths))):
                files.make_directories(f"{self.root}/{folder}")
        return self.root

    def put_file(self, entry: Entry) -> str:
        """Put one file on disk, and return where."""
        self._hold()
        path = f"{self.root}/{entry.path}"
        mark = mark_path(self.root, top_of(entry.path) or FILES_AT_THE_TOP)
        if mark in self.seen and not entry.on_demand:
            there = posix.access(path, os.F_OK)  # what was changed since then stays so
        else:
            there = is_as_put(path, entry)
        if not there:
            self._hold_again()
            putting.put_file(self, entry, path)
        return path

    def has(self, entry: Entry) -> bool:
        """Return whether a file on demand has come to the node."""
        return putting.has(self, entry)

    def put_directory(self, path: str) -> str:
        """Make a directory, relative to the root, that may stay empty."""
        self._hold()
        if not posix.access(f"{self.root}/{path}", os.F_OK):
            self._hold_again()
            files.make_directories(f"{self.root}/{path}")
        return f"{self.root}/{path}"

    def put_all(self, *, demanded: bool = False) -> str:
        """Put the whole tree on disk, and return where.

        Files on demand come if that is *demanded*.
        """
        for top in self.archive.tops():
            self.put_package(top)
        for entry in self.archive.index.entries() if demanded else ():
            if entry.on_demand:
                self.put_file(entry)
        return self.root

    def settle(self) -> bool:
        """Synchronize the tree, so that nobody proves it after the machine has booted.

        Returns False if that cannot be, as other processes use it.
        """
        self._hold()
        return survivors.settle(self, self._held[self.root])

    def _hold(self) -> None:
        """Record, for the life of this process and its forks, that it uses the tree."""
        root, held = self.root, self._held
        if root not in held:
            self.layout.exists()  # or it may not be trusted
        while root not in held:
            try:
                descriptor = posix.open(root, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                self.layout.make()
                files.make_directories(root)
                continue
            try:
                flock(descriptor, LOCK_SH)
            except OSError:
                pass  # no locks on this file system: nothing is evicted from it
            # It may have been moved away before the lock, or a thread was faster.
            there = _is_open_at(descriptor, root)
            if there and not is_of_this_boot(root):
                try:
                    survivors.prove(self)
                except BaseException:
                    os.close(descriptor)
                    raise
            if not there or held.setdefault(root, descriptor) != descriptor:
                os.close(descriptor)

    def _hold_again(self) -> None:
        """Hold the tree that is there now, if somebody has removed the one before.

        The descriptor of that one stays open: another thread may be using it.
        """
        if not _is_open_at(self._held[self.root], self.root):
            self._held.pop(self.root, None)
            self._hold()

    def whole(self, mark: str, *, at_a_glance: bool = False) -> str | None:
        """Return what a mark says, if that part of the tree is as it was put there.

        *at_a_glance*, only what the mark names first is looked at. The root must be
        held: the system finds a path below it faster than by all of its name.
        """
        place = mark_path(self.root, mark)
        root = self._held[self.root]
        try:
            with open(place, "rb", opener=regular.open_regular) as file:
                said = os.fsdecode(file.read())
            *lines, rest = said.split("\0", _GLANCE if at_a_glance else -1)
            for line in lines[self.seen.get(place, 0) :]:
                changed, _, path = line.partition(" ")
                now = posix.lstat(path, dir_fd=root).st_mtime_ns
                # layers of images may keep no more than seconds
                if str(now) != changed and now != int(changed) // 10**9 * 10**9:
                    return None
        except (OSError, ValueError):
            return None
        if not rest or place not in self.seen:
            self.seen[place] = len(lines) if rest else ALL_LINES
        return said


def _is_open_at(descriptor: int, path: str) -> bool:
    """Return whether the directory behind *descriptor* is the one at *path*."""
    try:
        return os.path.samestat(os.fstat(descriptor), posix.stat(path))
    except FileNotFoundError:
        return False
