"""Verifying: everything that will run from the node cache, against its digest.

Archives prove themselves; blobs are called by their digest; a file of a tree that
is no link to a blob has its digest in the archive's index; bytecode brings its own.
A file that is removed meanwhile counts as missing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from errno import EINVAL, EISDIR

from lazyimport.cache.blobs import file_digest
from lazyimport.cache.bytecode import proved
from lazyimport.cache.layout import BLOBS, BYTECODE
from lazyimport.cache.marker import is_marked, refuse_store
from lazyimport.cache.marks import FILES_AT_THE_TOP, NEIGHBORS, mark_path
from lazyimport.cache.materialize import Materializer
from lazyimport.cache.sealed import TREES, is_sealed, map_file
from lazyimport.cache.usage import FORMS
from lazyimport.cache.walks import walk
from lazyimport.errors import ArchiveError, MalformedArchive, UnsupportedArchive
from lazyimport.files import remove_file
from lazyimport.format.archive import Archive
from lazyimport.format.entries import FILE
from lazyimport.regular import open_regular
from lazyimport.reporting import SILENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazyimport.cache.node import NodeCache
    from lazyimport.reporting import Reporter


class Damage:
    """A file of the cache that is not what it should be: its *path*, and *why*.

    ``missing`` is true if somebody has removed it.
    """

    __slots__ = ("missing", "path", "why")

    def __init__(self, path: str, why: str, *, missing: bool = False) -> None:
        self.path = path
        self.why = why
        self.missing = missing


class Verified:
    """What `verify` read: numbers of ``archives``, of other ``files``, of bytes.

    ``newer`` is the number of archives that only a newer lazyimport can read;
    ``damages`` is a list of `Damage`.
    """

    __slots__ = ("archives", "damages", "files", "newer", "size")

    def __init__(self) -> None:
        self.archives = 0
        self.newer = 0
        self.files = 0
        self.size = 0
        self.damages: list[Damage] = []


def prove(archive: Archive) -> None:
    """Read all of *archive*, but no blobs.

    Raises ArchiveError if a digest does not hold.
    """
    for entry in archive.index.entries():
        if not archive.is_blob(entry):
            archive.content(entry)
        for variant, _ in entry.codes():
            archive.bytecode(entry, variant)


def verify(cache: NodeCache, *, remove: bool, reporter: Reporter = SILENT) -> Verified:
    """Check all that is in *cache*; with *remove* what is damaged is removed.

    Files of trees, those that somebody removed too, are put there again from their
    archives. What else is removed is fetched or made again when it is needed;
    processes that have it open go on with what they have. In a directory without a
    marker (`lazyimport.cache.marker`) nothing goes but what the cache itself wrote, as
    its seal says, and files of trees.

    Raises CacheError or OSError if the cache cannot be read, or cannot be changed.
    """
    if remove:
        refuse_store(cache.path)
    check = _Check(cache, mend=remove)
    check.archives(reporter)
    check.blobs()
    check.trees()
    check.put_back()
    check.bytecode()
    return check.found


class _Check:
    def __init__(self, cache: NodeCache, *, mend: bool) -> None:
        self._cache = cache
        self._mend = mend
        self._is_marked = is_marked(cache.path)
        self._archives: dict[str, Archive] = {}
        self._sound: set[str] = set()
        #: their inodes: files of trees are links to them
        self._damaged_blobs: set[int] = set()
        self._to_mend: set[tuple[str, str]] = set()
        self.found = Verified()

    def archives(self, reporter: Reporter) -> None:
        found, bases = self._cache.archives(), self._cache.bases()
        for done, hash in enumerate(sorted(found, key=lambda hash: hash in bases), 1):
            self._archive(hash, found[hash])
            reporter.step("verifying archives", done, len(found))

    def _archive(self, hash: str, status: os.stat_result) -> None:
        path = self._cache.archive_path(hash)
        try:
            with self._cache.look_into(hash) as file:
                buffer = map_file(file, path, hash)
            read_blob = self._cache.read_blob
            archive = Archive(buffer, hash, path, base=self._base, blob=read_blob)
            self._archives[hash] = archive
            prove(archive)
            self._sound.add(hash)
        except FileNotFoundError:
            return
        except OSError as error:
            self._unreadable(path, error)
        except UnsupportedArchive:  # another version shares this cache
            self.found.newer += 1
            return
        except ArchiveError as error:
            self._damaged(path, str(error), is_ours=is_sealed(status, hash))
        self.found.archives += 1
        self.found.size += status.st_size

    def _base(self, hash: str) -> Archive:
        """Return the base of an overlay, which must be sound."""
        if hash not in self._sound:
            text = f"its base, archive {hash}, is missing or damaged"
            raise MalformedArchive(text, hash=hash)
        return self._archives[hash]

    def blobs(self) -> None:
        for path, status in self._files(BLOBS):
            name = os.path.basename(path).removesuffix("x")
            if not self._holds(path, name, is_ours=is_sealed(status, name)):
                self._damaged_blobs.add(status.st_ino)

    def trees(self) -> None:
        root = self._cache.folder(TREES)
        for path, status in walk(root):
            hash, _, inner = path[len(root) + 1 :].partition("/")
            try:
                archive = self._archives.get(hash)
                entry = archive.index.entry(inner) if archive else None
            except ArchiveError:
                entry = None
            if entry is None or entry.kind != FILE:
                continue  # of no archive here, a mark, a link for a directory
            if status.st_ino not in self._damaged_blobs:
                linked = status.st_nlink > 1
                if linked or self._holds(path, entry.digest.hex()):
                    continue
            self._forget(hash, inner)
        for hash in self._sound:
            self._find_missing(self._archives[hash], self._cache.tree_path(hash))

    def _find_missing(self, archive: Archive, root: str) -> None:
        """Find files that somebody removed from what is marked as whole."""
        for top in archive.tops():
            if os.path.exists(mark_path(root, top or FILES_AT_THE_TOP)):
                for entry in archive.files_under(top):
                    path = f"{root}/{entry.path}"
                    if not os.path.lexists(path):
                        gone = Damage(path, "it was removed", missing=True)
                        self.found.damages.append(gone)
                        self._forget(archive.hash, entry.path)

    def _forget(self, hash: str, inner: str) -> None:
        """Remove a file of a tree, and the marks that say that its package is there."""
        if self._mend:
            root = self._cache.tree_path(hash)
            top, inside, _ = inner.partition("/")
            for mark in (top if inside else FILES_AT_THE_TOP, NEIGHBORS):
                remove_file(mark_path(root, mark))
            remove_file(f"{root}/{inner}")
            if hash in self._sound:
                self._to_mend.add((hash, top if inside else ""))

    def put_back(self) -> None:
        """Put back what was removed of trees. The next start mends what is left."""
        held: dict[str, int] = {}
        for hash, top in sorted(self._to_mend):
            root = self._cache.tree_path(hash)
            with suppress(OSError, ArchiveError):
                Materializer(self._archives[hash], root, held).put_package(top)
        for descriptor in held.values():
            os.close(descriptor)

    def bytecode(self) -> None:
        for path, _ in self._files(BYTECODE):
            try:
                with open(path, "rb", opener=open_regular) as file:
                    data = file.read()
            except FileNotFoundError:
                continue
            except OSError as error:
                self._unreadable(path, error)
                continue
            self._count(len(data))
            if proved(data) is None:
                self._damaged(path, "its SHA-256 does not hold")

    def _files(self, name: str) -> Iterator[tuple[str, os.stat_result]]:
        """Yield what lies in a folder under names that the cache gives."""
        folder = self._cache.folder(name)
        for path, status in walk(folder):
            if FORMS[name].fullmatch(path, len(folder) + 1):
                yield path, status

    def _holds(self, path: str, expected: str, *, is_ours: bool = False) -> bool:
        """Return whether a file is gone or has the SHA-256 *expected*."""
        try:
            actual, size = file_digest(path)
        except FileNotFoundError:
            return True
        except OSError as error:
            self._unreadable(path, error)
            return False
        self._count(size)
        if actual == expected:
            return True
        self._damaged(path, f"its SHA-256 is {actual}, not {expected}", is_ours=is_ours)
        return False

    def _unreadable(self, path: str, error: OSError) -> None:
        """Count what is no regular file as damaged. Raises other errors."""
        if error.errno == EISDIR:  # the cache makes none there
            why = f"{error.strerror}; it stays, since somebody else put it there"
            self.found.damages.append(Damage(path, why))
        elif error.errno == EINVAL:
            self._damaged(path, str(error.strerror))
        else:
            raise error

    def _count(self, size: int) -> None:
        self.found.files += 1
        self.found.size += size

    def _damaged(self, path: str, why: str, *, is_ours: bool = False) -> None:
        stays = not (is_ours or self._is_marked)
        if stays:
            why += f"; it stays, since {self._cache.path} is not marked as a node cache"
        self.found.damages.append(Damage(path, why))
        if self._mend and not stays:
            remove_file(path)
