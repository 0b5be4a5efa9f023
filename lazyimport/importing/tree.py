"""The tree: an open archive as the directory that it stands for.

Maps the names of modules and absolute paths to entries, and entries to bytes. What puts
files of the tree on disk is handed in.
"""

from __future__ import annotations

import os
import sys
from errno import EROFS
from time import monotonic, time

from lazyimport.format.entries import IN_MEMORY, LOOKS, MODULE_SUFFIXES, NATIVE, Entry
from lazyimport.importing import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    running_python,
)
from lazyimport.importing.looks import (
    ASKED,
    LISTED,
    NAME,
    OPENED,
    PACKAGE,
    STATUS,
    Absent,
    Looks,
)
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
#: stands for all directories at the top; none is called so
_ALL = "/"
_MOST_LOOKS = 1000
#: What a disk refused is tried again after so many times as long as that took.
_PATIENCE = 9


class Tree:
    """An archive seen as the directory *root*, which need not exist.

    *root* is absolute, without a slash at its end: the directory that ``__file__``
    and ``__path__`` name. *materializer* returns what puts files there when somebody
    needs them; None if nothing can. *bytecode* holds code for a Python that the
    archive has none for, or is None. *restore* is what pickles of its loaders name.
    *looks* notices nothing of what is done for them, and *warn* is told what a person
    should know.

    ``place`` is where files are put: *root*, unless the process became a user who may
    not write there; who looks at *root* then is led to it.
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
    ) -> None:
        self.archive = archive
        self.hash = archive.hash
        self.root = root
        self.inside = root + "/"
        self.place = root
        self._user = os.geteuid()
        self._began = int(time())
        self.bytecode = bytecode
        self.restore = restore
        self.variant = archive.index.variant(*running_python())
        self.loads: list[float] = []
        self.looked: dict[str, str] = {}
        self.is_real = False
        self._find = archive.index.find
        #: called with each spec that is made, if it is set
        self.found: Callable[[ModuleSpec], None] | None = None
        #: called with the loader and the body of each module that is run, if it is set
        self.running: Callable[[Any, CodeType], None] | None = None
        self._materializer = materializer
        #: what a disk refused -> when it is tried again; why, as far as that was told
        self._refused: dict[object, float] = {}
        self._told: set[int | None] = set()
        #: directory at the top that is prepared -> whether all of it is on disk
        self._prepared: dict[str, bool] = {}
        self._others: dict[str, dict[str, list[str]]] = {}
        self._looks = looks or Looks()
        self.warn = warn or (lambda _: None)
        #: looks that were answered; what is removed after that stays removed
        self._answered: set[tuple[str, int]] = set()

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
            raw = self.archive.stored(entry.slot)[1] == entry.size
            if raw or self.archive.is_blob(entry):
                return self.read(entry)
            from lazyimport.importing.data_cache import read

            return read(self.archive, entry)
        except errors.ArchiveError as error:
            raise self._unreadable(path, error) from error

    def path(self, name: str) -> str:
        """Return where a file or directory is on disk, and put it there if need be.

        *name* is relative to the root, or absolute. Raises FileNotFoundError,
        ArchiveReadError, or CacheError if the disk refuses.
        """
        import errno

        inner = self.relative(os.path.join(self.root, name))
        entry = None if inner is None else self.entry(inner)
        if entry is None:
            raise FileNotFoundError(
                errno.ENOENT, f"archive {self.hash} has no such file", name
            )
        self._follow_user()
        folders = [entry.path] if entry.path else self.archive.tops()
        try:
            if entry.is_directory:
                under = self.archive.files_under
                files = [file for folder in folders for file in under(folder)]
            else:
                files = [entry]
            for refusal in filter(None, map(self.put, files)):
                raise refusal
        except errors.ArchiveError as error:
            raise self._unreadable(name, error) from error
        return f"{self.place}/{entry.path}".rstrip("/")

    def _unreadable(self, path: str, error: Exception) -> OSError:
        import errno

        return errors.ArchiveReadError(
            f"cannot read {path}: {error}",
            errno=errno.EIO,
            filename=path,
            hash=self.hash,
        )

    def stays_in_memory(self, top: str) -> bool:
        """Return whether a directory at the top is configured to stay off the disk."""
        return bool(self.archive.flags(top) & IN_MEMORY)

    def prepare(self, top: str) -> None:
        """Put a package on disk, before its first module runs, if it must be there.

        ``""`` stands for the modules that are single files at the top. A package that
        holds no more than code, and names a place in it, has its neighbors put there.

        Raises ArchiveImportError if the bytes are damaged, or if the cache belongs
        to another user by now: the package would open what that user put there.
        """
        self._follow_user()
        if top in self._prepared:
            return
        try:
            flags = self.archive.flags(top)
            if flags & IN_MEMORY:
                flags &= NATIVE

            def put() -> CacheError | None:
                refusal = None
                if flags & ~LOOKS:
                    refusal = self._put_package(top)
                elif flags:
                    refusal = self._put(lambda files: files.put_neighbors(top))
                if refusal is not None and refusal.errno is None:
                    raise refusal  # by us, not by the disk
                return refusal

            if not self._try(top, top, put):
                return
        except (errors.ArchiveError, errors.CacheError) as error:
            raise errors.ArchiveImportError(
                f"cannot put the files of {top or 'the top directory'} on disk: {error}",
                name=top or None,
                path=self.inside + top,
                hash=self.hash,
            ) from error
        self._prepared[top] = bool(flags & ~LOOKS)

    def _try(
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

    def put_all(self) -> CacheError | None:
        """Put everything on disk; return why that is not possible, or None."""
        return self._put(lambda files: files.put_all())

    def materialize(self, top: str) -> bool:
        """Put a package on disk; return whether it is there now."""
        return self._put_package(top) is None

    def put(self, entry: Entry) -> CacheError | None:
        """Put a file on disk; return why that is not possible, or None."""
        return self._put(lambda files: files.put_file(entry))

    def appear(self, path: str, depth: int) -> bool:
        """Put on disk what code is about to look at; return if it comes on demand.

        *path* is absolute, in the tree, *depth* as `lazyimport.importing.looks` says.
        Raises ArchiveReadError if the bytes are damaged.
        """
        self._follow_user()
        root = self.root if f"{path}/".startswith(self.inside) else self.place
        inner = path[len(root) + 1 :]
        try:
            entry = self.entry(inner) if inner else None
            if depth == STATUS and entry is not None and entry.on_demand:
                self._require_here(entry)
            if depth != ASKED:
                self._appear(inner, entry, max(depth, NAME))
        except errors.ArchiveError as error:
            raise self._unreadable(path, error) from error
        return entry is not None and entry.on_demand

    def _follow_user(self) -> None:
        """Begin again at another place if this process has become another user."""
        user = os.geteuid()
        if user != self._user and self._materializer is not None:
            self._user = user
            self.place = self._looks.unnoticed(self._materializer).root
            self._looks.lead(self.appear, self.place)
            self._prepared.clear()
            self._refused.clear()
            self._told.clear()
            self._answered.clear()

    def _appear(self, inner: str, entry: Entry | None, depth: int) -> None:
        is_directory = not inner or (entry is not None and entry.is_directory)
        if depth == OPENED:
            depth = PACKAGE if is_directory else NAME
        elif depth == LISTED and inner:
            depth = PACKAGE
        whole = self._top(inner) if inner else _ALL
        answers = {(whole, PACKAGE), (_ALL, PACKAGE)}
        if entry is not None and entry.on_demand:
            depth, answers = NAME, set()  # no look at anything else brings it
        look = (whole if depth == PACKAGE else inner, depth)
        if not self._answered.isdisjoint({look, *answers}):
            return
        looker = _who_looks()
        if not looker:
            return
        if not answers or not self._prepared.get(whole):

            def bring() -> CacheError | None:
                return self._bring(inner, entry, depth, whole)

            if not self._try(look, whole, bring):
                return
        self._answered.add(look)  # now: other threads do not wait for us
        if len(self.looked) < _MOST_LOOKS:
            self.looked.setdefault(inner or ".", looker)

    def _bring(
        self, inner: str, entry: Entry | None, depth: int, whole: str
    ) -> CacheError | None:
        """Put on disk what a look needs; return why that is not possible, or None."""
        if depth == LISTED:
            refusal = self._put(self._put_names)
            if refusal is None:
                self._answered.add(("", PACKAGE))
            return refusal
        if depth == PACKAGE:
            return self._put_packages([whole] if inner else self.archive.tops())
        if entry is not None and not entry.is_directory:
            return self.put(entry)
        return self._put(lambda files: files.put_directory(self._nearest(inner)))

    def _require_here(self, entry: Entry) -> None:
        """Raise Absent unless a file on demand has come to this node."""
        if (entry.path, NAME) in self._answered or (
            self._materializer is not None and self._materializer().has(entry)
        ):
            return
        from stat import S_IFREG  # few archives have such files

        mode = S_IFREG | (0o555 if entry.executable else 0o444)
        number = int.from_bytes(entry.digest[:7], "big")
        owner = os.geteuid(), os.getegid()
        times = [self._began] * 3
        facts = mode, number, 0, 1, *owner, entry.size, *times
        raise Absent(os.stat_result(facts))

    def _put_package(self, top: str) -> CacheError | None:
        return self._put(lambda files: files.put_package(top))

    def _put_packages(self, tops: list[str]) -> CacheError | None:
        for top in tops:
            if (top, PACKAGE) not in self._answered:
                refusal = self._put_package(top)
                if refusal is not None:
                    return refusal
                self._answered.add((top, PACKAGE))
        return None

    def _put_names(self, files: Materializer) -> str:
        """Put at the root what a listing of it names: its files, empty directories."""
        for top in self.archive.tops()[1:]:
            files.put_directory(top)
        return files.put_package("")

    def _top(self, inner: str) -> str:
        top = inner.partition("/")[0]
        return top if self.is_directory(top) else ""

    def _nearest(self, inner: str) -> str:
        """Return the directory that *inner* is, or would be in."""
        while inner and not self.is_directory(inner):
            inner = inner.rpartition("/")[0]
        return inner

    def _put(self, put: Callable[[Materializer], object]) -> CacheError | None:
        """Let *put* put something on disk; return why that is not possible, or None."""
        if self._materializer is None:
            text = f"archive {self.hash} has no folder for files"
            return errors.CacheError(text, errno=EROFS)
        try:
            self._looks.unnoticed(put, self._materializer())
        except OSError as error:
            from lazyimport.cache.refusal import refused  # disks rarely do

            return refused(f"files of archive {self.hash}", self.place, error)
        except errors.CacheError as error:
            return error
        return None

    def __repr__(self) -> str:
        return f"<Tree {self.hash[:12]} at {self.root}>"


def _who_looks() -> str:
    """Return the name of the module that looks.

    Empty for `inspect.getmodule`, which asks for the files of all modules and does not
    need them.
    """
    frame = sys._getframe(2)  # noqa: SLF001 - documented
    while True:
        name = str(frame.f_globals.get("__name__"))
        top = name.partition(".")[0]
        if frame.f_back is None or (
            top != "lazyimport" and top not in sys.stdlib_module_names
        ):
            return name
        if name == "inspect" and frame.f_code.co_name == "getmodule":
            return ""
        frame = frame.f_back
