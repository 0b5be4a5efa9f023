"""The tree: an open archive as the directory that it stands for.

Maps the names of modules and absolute paths to entries, and entries to bytes. What puts
files of the tree on disk is handed in.
"""

from __future__ import annotations

import os
from time import monotonic, time

from lazyimport.format.entries import IN_MEMORY, LOOKS, MODULE_SUFFIXES, NATIVE, Entry
from lazyimport.importing import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    running_python,
)
from lazyimport.importing.looks import Looks
from lazyimport.lazy import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any, TypeAlias

    from lazyimport.cache.bytecode import BytecodeCache
    from lazyimport.cache.materialize import Materializer
    from lazyimport.errors import CacheError
    from lazyimport.format.archive import Archive
    from lazyimport.importing import ModuleSpec

    #: makes a loader again that was pickled as (hash, name, path, is a package)
    Restore: TypeAlias = Callable[[str, str, str, bool], object]

_INIT = "/__init__"
_SUFFIXES = EXTENSION_SUFFIXES + SOURCE_SUFFIXES + BYTECODE_SUFFIXES
#: what follows the stem in the path of a module -> its place in the order FileFinder
#: tries them: first come those of packages
_RANKS = {
    rest: rank
    for rank, rest in enumerate([_INIT + suffix for suffix in _SUFFIXES] + _SUFFIXES)
}
#: What a disk refused is tried again after so many times as long as that took.
_PATIENCE = 9


class Tree:
    """An archive seen as the directory *root*, which need not exist.

    *root* is absolute, without a slash at its end: the directory that ``__file__``
    and ``__path__`` name. *materializer* returns what puts files there when somebody
    needs them; None if nothing can. *bytecode* holds code for a Python that the
    archive has none for, or is None. *restore* is what pickles of its loaders name.
    *looks* is told where files are put, by default by the *user* of this process, and
    *warn* what a person should know.

    ``place`` is where files are put: *root*, unless the process became a user who may
    not write there; who looks at *root* then is led to it.
    ``began`` is when it was opened, in seconds since the epoch.
    ``loads`` are the seconds that it took to make each code object of it: a list,
    because threads may append at once. ``looked`` maps paths that were looked at to
    the modules that did, the first thousand. ``is_real`` says that all of it was put
    on disk before anybody could look.
    """

    def __init__(
        self,
        archive: Archive,
        root: str,
        materializer: Callable[[], Materializer] | None = None,
        bytecode: BytecodeCache | None = None,
        restore: Restore | None = None,
        looks: Looks | None = None,
        warn: Callable[[str], object] | None = None,
        user: int | None = None,
    ) -> None:
        self.archive, self.hash = archive, archive.hash
        self.root = root
        self.inside = root + "/"
        self.place = root
        self._user = os.geteuid() if user is None else user
        self.began = int(time())
        self.bytecode, self.restore = bytecode, restore
        self.variant = archive.index.variant(*running_python())
        self.loads: list[float] = []
        self.looked: dict[str, str] = {}
        self.is_real = False
        self._find = archive.index.find
        #: called with each spec that is made, if it is set
        self.found: Callable[[ModuleSpec], None] | None = None
        #: called when the code of a module has been made, if it is set
        self.made: Callable[[], None] | None = None
        #: called with the loader and the body of each module that is run, if it is set
        self.running: Callable[[Any, CodeType], None] | None = None
        self._materializer = materializer
        #: what a disk refused -> when it is tried again; why, as far as that was told
        self._refused: dict[object, float] = {}
        self._told: set[int | None] = set()
        #: directory at the top that is prepared -> whether no look at it needs more
        self.prepared: dict[str, bool] = {}
        self._others: dict[str, dict[str, list[str]]] = {}
        self.looks, self.warn = looks or Looks(), warn or (lambda _: None)
        #: looks that were answered; what is removed after that stays removed
        self.answered: set[tuple[str, int]] = set()

    def module(self, stem: str) -> tuple[Entry, bool] | None:
        """Return (entry, is a package) of the module at *stem*, without a suffix.

        The order is that of a directory: a package before a module, and for
        each, extension modules before sources before sourceless bytecode.
        """
        found, best = None, len(_RANKS)
        for entry in self._find(stem):
            rank = _RANKS.get(entry.path[len(stem) :], best)
            if rank < best:
                found, best = entry, rank
        if found is not None:
            return found, best < len(_SUFFIXES)
        if stem.endswith(_INIT):
            # ``from .__init__ import name``: a second module of the same file
            for entry in self._find(stem[: -len(_INIT)]):
                if entry.path.startswith(stem) and entry.path[len(stem) :] in _RANKS:
                    return entry, False
        return None

    def others(self, stem: str) -> list[Entry]:
        """Return files that other importers may load as the module at *stem*.

        These have suffixes that Python does not import: ``.pyx``, ``.hy``.
        """
        folder, _, name = stem.rpartition("/")
        paths = self._others_in(folder).get(name, ())
        if self.is_directory(stem):
            paths = [*paths, *self._others_in(stem).get("__init__", ())]
        return [entry for path in paths if (entry := self.entry(path))]

    def _others_in(self, folder: str) -> dict[str, list[str]]:
        known = self._others.get(folder)
        if known is None:
            known = self._others[folder] = {}
            for name, kind in self.archive.children(folder):
                if not kind and not name.endswith(MODULE_SUFFIXES):
                    path = f"{folder}/{name}" if folder else name
                    known.setdefault(name.partition(".")[0], []).append(path)
        return known

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
        if "//" in (framed := f"/{inner}/") or "/." in framed:
            inner = os.path.normpath(path)
            return self.relative(inner) if inner != path else inner[len(self.inside) :]
        return inner

    def followed(self, path: str) -> str | None:
        """Return what `relative` does, by links and from the current directory too."""
        if not f"{path}/".startswith(self.inside):
            from lazyimport.importing.looking import from_root  # few lead there so

            path = from_root(self.looks, self.root, path)
        return self.relative(path)

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
            if entry is None or entry.is_directory:
                code = errno.ENOENT if entry is None else errno.EISDIR
                raise OSError(code, os.strerror(code), path)
            raw = self.archive.stored(entry.slot)[1] == entry.size
            if raw or self.archive.is_blob(entry):
                return self.read(entry)
            from lazyimport.importing.data_cache import read

            return read(self.archive, entry)
        except errors.ArchiveError as error:
            raise self.unreadable(path, error) from error

    def unreadable(self, path: str, error: Exception) -> OSError:
        """Return the error for a file that cannot be read."""
        return errors.ArchiveReadError.of(path, self.hash, error)

    def stays_in_memory(self, top: str) -> bool:
        """Return whether a directory at the top is configured to stay off the disk."""
        return bool(self.archive.flags(top) & IN_MEMORY)

    def prepare(self, path: str) -> None:
        """Put the package of the module *path* on disk before that runs, if need be.

        A package that has only code, and names a place in it, has its neighbors there.

        Raises ArchiveImportError if the bytes are damaged, or if the cache belongs
        to another user by now: the package would open what that user put there.
        """
        if os.geteuid() != self._user:
            self.follow_user()
        top = path[: path.find("/")] if "/" in path else ""
        if top in self.prepared:
            return
        try:
            flags = self.archive.flags(top)
            if flags & IN_MEMORY:
                flags &= NATIVE

            def put() -> CacheError | None:
                refusal = None
                if flags & ~LOOKS:
                    glance = not flags & NATIVE  # libraries find each other without us
                    refusal = self.put_by(
                        lambda files: files.put_package(top, at_a_glance=glance)
                    )
                elif flags:
                    refusal = self.put_by(lambda files: files.put_neighbors(top))
                if refusal is not None and refusal.errno is None:
                    raise refusal  # by us, not by the disk
                return refusal

            if not self.attempt(top, top, put):
                return
        except (errors.ArchiveError, errors.CacheError) as error:
            raise errors.ArchiveImportError(
                f"cannot put the files of {top or 'the top directory'} on disk: {error}",
                name=top or None,
                path=self.inside + top,
                hash=self.hash,
            ) from error
        files = self._materializer if flags & ~LOOKS else None
        self.prepared[top] = files is not None and files().has_seen_all_of(top)

    def attempt(
        self, what: object, where: str, put: Callable[[], CacheError | None]
    ) -> bool:
        """Let *put* put *what* is needed on disk; return whether it is there.

        A disk that refuses may have room again in a moment, so it is tried again, but
        who is refused spends a tenth of the time on that, at most.
        """
        if (began := monotonic()) < self._refused.get(what, 0.0):
            return False
        refusal = put()
        if refusal is None:
            self._refused.pop(what, None)
            return True
        now = monotonic()
        self._refused[what] = now + _PATIENCE * (now - began)
        if refusal.errno not in self._told:
            self._told.add(refusal.errno)
            self.warn(
                f"code in {where.strip('/') or 'the top directory'} of archive "
                f"{self.hash} will not find all files beside itself: {refusal}"
            )
        return False

    def put_all(self) -> None:
        """Put everything on disk, before anybody can look."""
        refusal = self.put_by(lambda files: files.put_all())
        self.is_real = refusal is None
        if refusal is not None:
            self.warn(
                f"not all files are on disk, as LAZYIMPORT_FILES=all wants: {refusal}; "
                "until then they appear when somebody looks, where that is possible"
            )

    def put(self, entry: Entry) -> CacheError | None:
        """Put a file on disk; return why that is not possible, or None."""
        return self.put_by(lambda files: files.put_file(entry))

    def has(self, entry: Entry) -> bool:
        """Return whether a file on demand has come to this node."""
        return self._materializer is not None and self._materializer().has(entry)

    def follow_user(self) -> None:
        """Begin again at another place if this process has become another user."""
        user = os.geteuid()
        if user != self._user and self._materializer is not None:
            self._user = user
            self.place = self._materializer().root
            from lazyimport.importing.looking import lead  # few do

            lead(self.looks, self.root, self.place)
            self.prepared.clear()
            self._refused.clear()
            self._told.clear()
            self.answered.clear()

    def put_package(self, top: str) -> CacheError | None:
        """Put a package on disk; return why that is not possible, or None."""
        return self.put_by(lambda files: files.put_package(top))

    def put_by(self, put: Callable[[Materializer], object]) -> CacheError | None:
        """Let *put* put something on disk; return why that is not possible, or None."""
        if self._materializer is None:
            from errno import EROFS  # a start does without

            text = f"archive {self.hash} has no folder for files"
            return errors.CacheError(text, errno=EROFS)
        try:
            put(self._materializer())
        except OSError as error:
            from lazyimport.cache.refusal import refused  # disks rarely do

            return refused(f"files of archive {self.hash}", self.place, error)
        except errors.CacheError as error:
            return error
        return None

    def __repr__(self) -> str:
        return f"<Tree {self.hash[:12]} at {self.root}>"
