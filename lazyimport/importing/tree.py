"""The tree: an open archive as the directory that it stands for.

Maps the names of modules and absolute paths to entries, and entries to bytes. What
makes specs and loaders of them is next door. What puts files of the tree on disk
lies below and is handed in.
"""

from __future__ import annotations

import os

from lazyimport import lazy_errors as errors
from lazyimport.format.entries import IN_MEMORY, NATIVE, Entry
from lazyimport.importing.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    running_python,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, TypeAlias

    from lazyimport.cache.bytecode import BytecodeCache
    from lazyimport.format.archive import Archive

    class Files(Protocol):
        """Puts files of a tree on disk, as `lazyimport.cache.materialize` does.

        Each method returns where they are, and raises OSError or CacheError.
        """

        def put_package(self, top: str) -> str:
            """Put a directory at the top on disk; ``""`` is the files there."""

        def put_file(self, entry: Entry) -> str:
            """Put one file on disk."""

        def put_metadata(self, path: str) -> str:
            """Put a file or directory of a distribution on disk."""

    #: makes a loader again that was pickled as (hash, name, path, is a package)
    Restore: TypeAlias = Callable[[str, str, str, bool], object]


__all__ = ["Module", "Tree"]

#: suffix of a module's file -> its place in the order FileFinder tries them
_RANKS = {
    suffix: rank
    for rank, suffix in enumerate(
        EXTENSION_SUFFIXES + SOURCE_SUFFIXES + BYTECODE_SUFFIXES
    )
}
_INIT = "/__init__"


class Module:
    """Where a module is: its entry, and whether that is a package's ``__init__``."""

    __slots__ = ("entry", "is_package", "suffix")

    def __init__(self, entry: Entry, is_package: bool, suffix: str) -> None:
        self.entry = entry
        self.is_package = is_package
        self.suffix = suffix


class Tree:
    """An archive seen as the directory *root*, which need not exist.

    *root* is absolute, without a slash at its end: the directory that
    ``__file__`` and ``__path__`` name. *files* returns what puts files there when
    somebody needs them. *bytecode* holds code for a Python that the archive has none
    for, or is None. *restore* is what pickles of its loaders name.

    ``loads`` are the seconds that it took to make each code object of it: a list,
    because threads may append at once.
    """

    def __init__(
        self,
        archive: Archive,
        root: str,
        files: Callable[[], Files] | None = None,
        bytecode: BytecodeCache | None = None,
        restore: Restore | None = None,
    ) -> None:
        self.archive = archive
        self.hash = archive.hash
        self.root = root
        self.inside = root + "/"
        self.bytecode = bytecode
        self.restore = restore
        self.variant = archive.index.variant(*running_python())
        self.loads: list[float] = []
        self._find = archive.index.find
        self._files = files or _no_files
        self._prepared: set[str] = set()

    def module(self, stem: str) -> Module | None:
        """Return the module whose path without suffix is *stem* (``pkg/mod``).

        The order is that of a directory: a package before a module, and for
        each, extension modules before sources before sourceless bytecode.
        """
        found: Module | None = None
        best = 1000
        for entry in self._find(stem):
            rest = entry.path[len(stem) :]
            is_package = rest.startswith(_INIT)
            suffix = rest[len(_INIT) :] if is_package else rest
            rank = _RANKS.get(suffix)
            if rank is None or entry.is_directory:
                continue
            if not is_package:
                rank += 100
            if rank < best:
                best = rank
                found = Module(entry, is_package, suffix)
        if found is None and stem.endswith(_INIT):
            return self._init_as_module(stem)
        return found

    def _init_as_module(self, stem: str) -> Module | None:
        """Return the module of ``from .__init__ import name``, a second one."""
        for entry in self._find(stem[: -len(_INIT)]):
            suffix = entry.path[len(stem) :]
            if entry.path.startswith(stem) and suffix in _RANKS:
                return Module(entry, False, suffix)
        return None

    def is_directory(self, path: str) -> bool:
        """Return whether *path*, relative to the root, is a directory."""
        return self.archive.directory(path) is not None

    def entry(self, path: str) -> Entry | None:
        """Return the entry at *path*, relative to the root, or None."""
        return self.archive.index.entry(path)

    def relative(self, path: str) -> str | None:
        """Return an absolute *path* relative to the root, or None if outside."""
        if path == self.root:
            return ""
        if not path.startswith(self.inside):
            return None
        inner = path[len(self.inside) :]
        if (
            "//" in inner
            or "/." in inner
            or inner[:1] in {"/", "."}
            or inner[-1:] == "/"
        ):
            inner = os.path.normpath(path)
            return self.relative(inner) if inner != path else inner[len(self.inside) :]
        return inner

    def at(self, path: str) -> Entry | None:
        """Return the entry at an absolute *path*, or None."""
        inner = self.relative(path)
        return None if inner is None else self.entry(inner)

    def read(self, entry: Entry) -> bytes:
        """Return the proved bytes of a file."""
        return bytes(self.archive.content(entry))

    def data(self, inner: str, path: str) -> bytes:
        """Return the proved bytes of the file *inner*, called *path* in errors.

        Code that reads data may come back for it, so it is decoded once, if it must
        be. Raises FileNotFoundError, IsADirectoryError, or ArchiveReadError if the
        bytes are damaged.
        """
        import errno

        try:
            entry = self.entry(inner)
            if entry is None:
                raise FileNotFoundError(
                    errno.ENOENT, "no such file in the archive", path
                )
            if entry.is_directory:
                raise IsADirectoryError(
                    errno.EISDIR, "a directory of the archive", path
                )
            if self.archive.stored(entry.slot)[1] == entry.size:
                return self.read(entry)
            from lazyimport.importing.data_cache import read

            return read(self.archive, entry)
        except errors.ArchiveError as error:
            raise errors.ArchiveReadError(
                f"cannot read {path}: {error}",
                errno=errno.EIO,
                filename=path,
                hash=self.hash,
            ) from error

    def stays_in_memory(self, top: str) -> bool:
        """Return whether a directory at the top is configured to stay off the disk."""
        return bool(self.archive.flags(top) & IN_MEMORY)

    def prepare(self, top: str, *, wanted: bool = False) -> None:
        """Put a package on disk, before its first module runs, if it must be there.

        ``""`` stands for the modules that are single files at the top. With *wanted*
        somebody asks for the files, whatever was decided when packing.

        Raises ArchiveImportError if the bytes are damaged, or if the cache belongs
        to another user by now: the package would open what that user put there.
        """
        if top in self._prepared and not wanted:
            return
        try:
            flags = self.archive.flags(top)
            if flags & IN_MEMORY:
                flags &= NATIVE
            if (flags or wanted) and not self._put(
                lambda files: files.put_package(top), strict=True
            ):
                self._warn_without(top)
        except (errors.ArchiveError, errors.CacheError) as error:
            raise errors.ArchiveImportError(
                f"cannot put the files of {top or 'the top directory'} on disk: {error}",
                name=top or None,
                path=self.inside + top,
                hash=self.hash,
            ) from error
        self._prepared.add(top)

    def materialize(self, top: str) -> bool:
        """Put a package on disk; return whether it is there now."""
        return bool(self._put(lambda files: files.put_package(top)))

    def write(self, path: str) -> bool:
        """Put the file at the absolute *path* on disk; return whether it is there now.

        For readers that cannot be told where the bytes really are, such as the
        interpreter's own traceback printer up to Python 3.12.
        """
        entry = self.at(path)
        if entry is None or entry.is_directory:
            return False
        return bool(self._put(lambda files: files.put_file(entry)))

    def write_metadata(self, inner: str) -> str | None:
        """Put a distribution's file or directory on disk; return where, or None."""
        return self._put(lambda files: files.put_metadata(inner))

    def _put(self, put: Callable[[Files], str], *, strict: bool = False) -> str | None:
        """Return where *put* has put something, or None if the disk refuses.

        With *strict* a cache that may not be trusted is a CacheError.
        """
        try:
            return put(self._files())
        except OSError:
            return None
        except errors.CacheError as error:
            if strict and error.errno is None:  # refused by us, not by the disk
                raise
            return None

    def _warn_without(self, top: str) -> None:
        from warnings import warn

        warn(
            f"the files of {top or 'the top directory'} of archive {self.hash} "
            f"cannot be put on disk at {self.inside}{top}; code that opens files "
            "beside itself will not find them",
            RuntimeWarning,
            stacklevel=3,
        )

    def __repr__(self) -> str:
        return f"<Tree {self.hash[:12]} at {self.root}>"


def _no_files() -> Files:
    raise OSError("this tree is not put on disk")
