"""The tree: an open archive as the directory that it stands for.

Maps module names and absolute paths to entries, and entries to bytes. What
makes specs and loaders out of them is next door.
"""

from __future__ import annotations

import os
import sys

from lazyimport import lazy_errors as errors
from lazyimport.format.index import IN_MEMORY, NATIVE, Entry, parse_listing
from lazyimport.importing.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    MAGIC_NUMBER,
    SOURCE_SUFFIXES,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.cache.bytecode import BytecodeCache
    from lazyimport.format.archive import Archive
    from lazyimport.importing.metadata import LocatedFile

__all__ = ["Module", "Tree", "running_python"]

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
    ``__file__`` and ``__path__`` name. *kept* holds bytecode for a Python that
    the archive has none for, or is None. ``loads`` are the seconds that it took
    to make each code object of it: a list, because threads may append at once.
    """

    def __init__(
        self, archive: Archive, root: str, kept: BytecodeCache | None = None
    ) -> None:
        self.archive = archive
        self.hash = archive.hash
        self.root = root
        self.kept = kept
        self.inside = root + "/"
        self.variant = archive.index.variant(*running_python())
        self._find = archive.index.find
        self._prepared: set[str] = set()
        self.loads: list[float] = []
        #: the class of paths into it, see lazyimport.importing.metadata
        self.located: type[LocatedFile] | None = None

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
        """Whether *path*, relative to the root, is a directory."""
        return any(e.path == path and e.is_directory for e in self._find(path))

    def entry(self, path: str) -> Entry | None:
        """Return the entry at *path*, relative to the root, or None."""
        return self.archive.index.entry(path)

    def children(self, path: str) -> list[tuple[str, int]]:
        """Return (name, kind) of what lies in the directory *path*, sorted."""
        for entry in self._find(path):
            if entry.is_directory and entry.path == path:
                return parse_listing(bytes(self.archive.content(entry)))
        return []

    def tops(self) -> list[str]:
        """Return what can be put on disk: ``""`` (the files there) and directories."""
        return ["", *(name for name, is_folder in self.children("") if is_folder)]

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

        Who reads data may come back for it, so it is decoded once, if it must be.
        Raises FileNotFoundError, IsADirectoryError, or ArchiveReadError if the
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

            return read(self, entry)
        except errors.ArchiveError as error:
            raise errors.ArchiveReadError(
                f"cannot read {path}: {error}",
                errno=errno.EIO,
                filename=path,
                hash=self.hash,
            ) from error

    def flags(self, top: str) -> int:
        """Return the flags of a top-level package: format.md section 7."""
        for entry in self._find(top):
            if entry.is_directory and entry.path == top:
                return entry.flags
        return 0

    def prepare(self, top: str, *, wanted: bool = False) -> None:
        """Put a top-level package on disk, before its first module runs, if it must be.

        ``""`` stands for the modules that are single files at the top. With *wanted*
        somebody asks for the files, whatever was decided when packing.

        Raises ArchiveImportError if the bytes are damaged, or if the cache belongs
        to somebody else by now: the package would open what that one put there.
        """
        if top in self._prepared and not wanted:
            return
        try:
            flags = self.flags(top)
            if flags & IN_MEMORY:
                flags &= NATIVE
            there = not (flags or wanted) or self.materialize(top, strict=True)
        except (errors.ArchiveError, errors.CacheError) as error:
            raise errors.ArchiveImportError(
                f"cannot put the files of {top or 'the top directory'} on disk: {error}",
                name=top or None,
                path=self.inside + top,
                hash=self.hash,
            ) from error
        if not there:
            from warnings import warn

            warn(
                f"the files of {top or 'the top directory'} of archive {self.hash} "
                f"cannot be put on disk at {self.inside}{top}; code that opens files "
                "beside itself will not find them",
                RuntimeWarning,
                stacklevel=2,
            )
        self._prepared.add(top)

    def materialize(self, top: str, *, strict: bool = False) -> bool:
        """Put a top-level package on disk; whether it is there now.

        With *strict* a cache that may not be trusted is a CacheError.
        """
        from lazyimport.cache.materialize import materialize

        try:
            materialize(self, top)
        except OSError:
            return False
        except errors.CacheError as error:
            if strict and error.errno is None:  # refused by us, not by the disk
                raise
            return False
        return True

    def write(self, path: str, place: str | None = None) -> bool:
        """Put the file at the absolute *path* on disk; whether it is there now.

        With all of its top-level package, for who lists a directory must not see a
        part of it; unless that is to stay in memory. With *place* the file alone is
        put there instead.

        For readers that cannot be told where the bytes really are, such as the
        interpreter's own traceback printer up to Python 3.12.
        """
        entry = self.at(path)
        if entry is None or entry.is_directory:
            return False
        if place is None:
            place = path
            top, inside, _ = entry.path.partition("/")
            top = top if inside else ""
            if not self.flags(top) & IN_MEMORY:
                return self.materialize(top) and os.path.exists(path)
        from lazyimport.cache.layout import Layout
        from lazyimport.files import AtomicFile, make_directories

        try:
            Layout.around(self.root).make()
            if os.path.exists(place):
                return True
            make_directories(os.path.dirname(place))
            with AtomicFile(
                place, 0o555 if entry.flags & 1 else 0o444, durable=False
            ) as file:
                file.write(self.archive.content(entry))
        except (OSError, errors.CacheError):
            return False
        return True

    def __repr__(self) -> str:
        return f"<Tree {self.hash[:12]} at {self.root}>"


def running_python() -> tuple[str, bytes, int]:
    """Return (cache tag, magic number, optimization) of this interpreter."""
    return sys.implementation.cache_tag or "", MAGIC_NUMBER, sys.flags.optimize
