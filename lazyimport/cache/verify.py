"""Verifying: what will run from the node cache, against the digest it must have.

Archives prove themselves, blobs are named by their digest, files of a tree that are
no links to blobs have one in the archive's index, bytecode brings its own. What is
removed meanwhile counts as not there.
"""

from __future__ import annotations

import os
from mmap import ACCESS_READ, mmap

from lazyimport.cache.layout import BYTECODE
from lazyimport.cache.node import map_file
from lazyimport.errors import ArchiveError, UnsupportedArchive
from lazyimport.format.archive import Archive
from lazyimport.format.digest import sha256, sha256_hex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lazyimport.cache.node import NodeCache

__all__ = ["Damage", "Verified", "prove", "verify"]

_DIGEST_SIZE = 32


class Damage:
    """A file of the cache that is not what it should be: *path*, and *why*."""

    __slots__ = ("path", "why")

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        self.why = why


class Verified:
    """What `verify` read: numbers of ``archives``, ``files`` (all others), bytes.

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
    """Read all of *archive*. Raises ArchiveError if a digest does not hold."""
    for entry in archive.index.entries():
        archive.content(entry)
        for _, code in entry.codes():
            archive.bytecode(entry, code)


def verify(
    cache: NodeCache,
    *,
    remove: bool,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Verified:
    """Check all that is in *cache*; with *remove* what is damaged is removed.

    What is removed is fetched or made anew when it is needed; processes that
    have it open keep what they have. *progress* is told (what, done, of how many).

    Raises CacheError or OSError if the cache cannot be read, or not be changed.
    """
    found = Verified()
    archives = cache.archives()
    sound: dict[str, Archive] = {}
    for number, (name, size, _) in enumerate(archives):
        path = cache.archive_path(name)
        found.archives += 1
        found.size += size
        try:
            # not opened as by a process that runs it: this is no use of it
            with open(path, "rb") as file:
                archive = Archive(map_file(file, path, name), name, path)
            prove(archive)
            sound[name] = archive
        except FileNotFoundError:
            continue
        except UnsupportedArchive:  # another version shares this cache
            found.archives -= 1
            found.size -= size
            found.newer += 1
        except ArchiveError as error:
            found.damages.append(Damage(path, str(error)))
            if remove:
                cache.remove(name)
        progress("verifying archives", number + 1, len(archives))
    damaged = _check_blobs(cache, found)
    _check_trees(cache, sound, damaged, found, remove=remove)
    if remove:
        for path in damaged.values():
            _unlink(path)
    _check_bytecode(cache, found, remove=remove)
    return found


def _check_blobs(cache: NodeCache, found: Verified) -> dict[int, str]:
    """Return the damaged blobs: inode -> path."""
    damaged = {}
    for path, inode in _files(f"{cache.path}/blobs"):
        name = os.path.basename(path)
        try:
            digest, size = _digest(path)
        except FileNotFoundError:
            continue
        found.files += 1
        found.size += size
        if digest.hex() != name.removesuffix("x"):
            why = f"its SHA-256 is {digest.hex()}"
            found.damages.append(Damage(path, why))
            damaged[inode] = path
    return damaged


def _check_trees(
    cache: NodeCache,
    archives: dict[str, Archive],
    damaged: dict[int, str],
    found: Verified,
    *,
    remove: bool,
) -> None:
    for name in _trees(cache):
        root = cache.tree_path(name)
        archive = archives.get(name)
        for path, inode in _files(root):
            inner = path[len(root) + 1 :]
            if inode not in damaged:
                entry = archive.index.entry(inner) if archive else None
                try:
                    if entry is None or os.stat(path).st_nlink > 1:
                        continue
                    digest, size = _digest(path)
                except FileNotFoundError:
                    continue
                found.files += 1
                found.size += size
                if digest == entry.digest:
                    continue
                why = f"its SHA-256 is {digest.hex()}, not {entry.digest.hex()}"
                found.damages.append(Damage(path, why))
            if remove:
                _forget(root, inner)


def _trees(cache: NodeCache) -> list[str]:
    try:
        names = os.listdir(f"{cache.path}/trees")
    except FileNotFoundError:
        return []
    return [name for name in names if len(name) == 64]


def _forget(root: str, inner: str) -> None:
    """Remove a file of a tree, and the marks that all of its package is there."""
    top, inside, _ = inner.partition("/")
    for mark in (top if inside else ":", "::"):
        _unlink(f"{root}.ready/{mark}")
    _unlink(f"{root}/{inner}")


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _check_bytecode(cache: NodeCache, found: Verified, *, remove: bool) -> None:
    for path, _ in _files(cache.folder(BYTECODE)):
        try:
            with open(path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            continue
        found.files += 1
        found.size += len(data)
        if sha256_hex(data[_DIGEST_SIZE:]) != data[:_DIGEST_SIZE].hex():
            found.damages.append(Damage(path, "its SHA-256 does not hold"))
            if remove:
                _unlink(path)


def _files(folder: str) -> Iterator[tuple[str, int]]:
    """Yield path and inode of the finished files below *folder*."""
    for where, _, names in os.walk(folder):
        for name in names:
            if not name.startswith(".") or not name.endswith(".tmp"):
                path = f"{where}/{name}"
                try:
                    yield path, os.lstat(path).st_ino
                except FileNotFoundError:  # removed meanwhile
                    continue


def _digest(path: str) -> tuple[bytes, int]:
    """Return the SHA-256 of a file, and its size in bytes."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            return sha256(b""), 0
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            return sha256(data), size
