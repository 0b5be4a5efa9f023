"""The loader: one module of the archive, for the import machinery and its users."""

from __future__ import annotations

import sys
from _imp import _fix_co_filename  # type: ignore[attr-defined]
from marshal import loads
from os import fspath, strerror
from time import perf_counter

from lazyimport.importing import (
    EXTENSION_SUFFIXES,
    MAGIC_NUMBER,
    SourceFileLoader,
    SourcelessFileLoader,
    hidden,
    without_frames,
)
from lazyimport.lazy import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ExtensionFileLoader
    from types import CodeType, ModuleType
    from typing import Any

    from lazyimport.format.entries import Entry
    from lazyimport.importing import ModuleSpec
    from lazyimport.importing.tree import Tree

_EXTENSIONS = tuple(EXTENSION_SUFFIXES)
_ASKING_IS_SLOW = sys.version_info < (3, 12)


class ArchiveLoader:
    """Loads the module *name* from an archive: an InspectLoader and ResourceLoader.

    ``name`` and ``path`` are as in `importlib.machinery.SourceFileLoader`:
    *path* is where the file would lie if the tree were a directory, and
    ``__file__`` of the module. ``hash`` is the archive's.

    PEP 302, PEP 451; `importlib.abc.ExecutionLoader`.
    """

    def __init__(
        self, name: str, path: str, tree: Tree, entry: Entry, is_package: bool
    ) -> None:
        self.name = name
        self.path = path
        self.hash = tree.hash
        self._tree = tree
        self._entry = entry
        self._is_package = is_package

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """The class of a loader from a directory, for `isinstance`.

        What rewrites sources asks for it before it puts its own loader, of a file that
        appears when it looks, in the place of this one.
        """
        return SourceFileLoader if self.path.endswith(".py") else SourcelessFileLoader

    # Taken over from the machinery, not inherited: what runs a module's body
    # must be CPython's own frame, or every traceback would show ours.
    exec_module = SourcelessFileLoader.exec_module
    source_to_code = SourceFileLoader.source_to_code
    if hasattr(SourcelessFileLoader, "load_module"):  # gone in Python 3.15
        # not that of file loaders, which is for those who inherit from them
        load_module = SourcelessFileLoader.__mro__[2].load_module  # type: ignore[attr-defined]

    @hidden
    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return a module that has a file already; None from Python 3.12 on.

        The machinery asks a new module whether it has one. That it has none took
        CPython as long as half of finding the module.
        """
        if not _ASKING_IS_SLOW:
            return None
        module = type(sys)(spec.name)
        module.__file__ = spec.origin
        module.__cached__ = spec._cached  # type: ignore[attr-defined]  # noqa: SLF001 - by itself
        return module

    @hidden
    def get_code(self, fullname: str | None = None) -> CodeType:
        """Return the module's code object, its file names the module's path.

        Raises SyntaxError as the file would, ArchiveImportError if the bytes
        are damaged.
        """
        if fullname != self.name:
            self._check(fullname)
        sys.audit("lazyimport.exec", self.hash, self.name)
        started = perf_counter()
        tree, entry = self._tree, self._entry
        tree.prepare(entry.path)
        try:
            code = tree.archive.bytecode(entry, tree.variant)
            body = _compiled(self) if code is None else loads(code)
        except errors.ArchiveError as error:
            raise self._damaged("import", error) from error
        if tree.made is not None:
            tree.made()
        if self.path.endswith(".py"):  # what came as a .pyc names its source
            _fix_co_filename(body, self.path)
        tree.loads.append(perf_counter() - started)
        if tree.running is not None:
            tree.running(self, body)
        return body

    def is_package(self, fullname: str | None = None) -> bool:
        """Return whether the module is a package."""
        self._check(fullname)
        return self._is_package

    def get_filename(self, fullname: str | None = None) -> str:
        """Return the module's path, where its file would be."""
        self._check(fullname)
        return self.path

    def get_source(self, fullname: str | None = None) -> str | None:
        """Return the source, decoded by its coding cookie (PEP 263).

        None for a module that has none. Raises SyntaxError or UnicodeDecodeError
        for bytes that are not what the cookie says, as a directory does;
        ArchiveImportError if they are damaged.
        """
        self._check(fullname)
        if not self.path.endswith(".py"):
            return None
        from importlib.util import decode_source

        try:
            return decode_source(self._tree.read(self._entry))
        except errors.ArchiveError as error:
            raise self._damaged("read the source of", error) from error

    def get_data(self, path: str) -> bytes:
        """Return the bytes of the file at the absolute *path*.

        Raises OSError if there is none, ArchiveReadError, which is one, if the
        bytes are damaged.
        """
        path = fspath(path)
        inner = self._tree.relative(path)
        if inner is None:
            with open(path, "rb") as file:
                return file.read()
        return self._tree.data(inner, path)

    def get_resource_reader(self, fullname: str | None = None) -> object | None:
        """Return the reader of what lies in a package, or beside a plain module."""
        self._check(fullname)
        from lazyimport.importing.resources import ArchiveResources

        return ArchiveResources(self._tree, self._entry.path.rpartition("/")[0])

    def path_stats(self, path: str) -> dict[str, Any]:
        """Return ``mtime`` (always 0) and ``size`` in bytes; OSError if no file."""
        entry = self._tree.at(fspath(path))
        if entry is None:
            from errno import ENOENT

            raise OSError(ENOENT, strerror(ENOENT), path)
        return {"mtime": 0, "size": entry.size}

    def path_mtime(self, path: str) -> int:
        """Return 0: an archive has no times. OSError if there is no such file."""
        return int(self.path_stats(path)["mtime"])

    def set_data(self, *_: object, **__: object) -> None:
        """Write nothing: what an archive has does not change."""

    _cache_bytecode = set_data  # as SourceFileLoader.get_code(loader, name) calls it

    def _damaged(self, what: str, error: Exception) -> ImportError:
        return errors.ArchiveImportError(
            f"cannot {what} {self.name!r}: {error}",
            name=self.name,
            path=self.path,
            hash=self.hash,
        )

    def _check(self, fullname: str | None) -> None:
        if fullname is not None and fullname != self.name:
            raise ImportError(
                f"loader for {self.name} cannot handle {fullname}", name=fullname
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return self._tree.restore, (self.hash, self.name, self.path, self._is_package)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ArchiveLoader):
            return NotImplemented
        return (self.hash, self.name, self.path) == (other.hash, other.name, other.path)

    def __hash__(self) -> int:
        return hash((self.hash, self.name, self.path))

    def __repr__(self) -> str:
        return f"<ArchiveLoader {self.name!r} of archive {self.hash[:12]}>"


@hidden
def _compiled(loader: ArchiveLoader) -> CodeType:
    """Return code that the archive brought no bytecode for; compiles once a node."""
    tree, entry = loader._tree, loader._entry  # noqa: SLF001 - same module
    if not loader.path.endswith(".py"):  # sourceless: a .pyc as it came
        return _sourceless(loader)
    known = tree.bytecode and tree.bytecode.get(entry.digest)
    if known:
        return loads(known)  # type: ignore[no-any-return]
    named = {"module": loader.name} if sys.version_info >= (3, 15) else {}
    code: CodeType = without_frames(
        compile, tree.read(entry), loader.path, "exec", dont_inherit=True, **named
    )
    if tree.bytecode:
        from marshal import dumps

        tree.bytecode.put(entry.digest, dumps(code))
    return code


def _sourceless(loader: ArchiveLoader) -> CodeType:
    magic = loader._tree.read(loader._entry)[:4]  # noqa: SLF001
    if magic != MAGIC_NUMBER:
        raise ImportError(
            f"bad magic number in {loader.name!r}: {magic!r}; the archive "
            f"{loader.hash} has a sourceless .pyc of another Python",
            name=loader.name,
            path=loader.path,
        )
    stock: Any = SourcelessFileLoader
    code: CodeType = stock.get_code(loader, loader.name)
    return code


def make_loader(
    tree: Tree, name: str, path: str, entry: Entry, *, is_package: bool
) -> ArchiveLoader | ExtensionFileLoader:
    """Return the loader of the module *name*, whose file is *entry*, called *path*."""
    if path.endswith(_EXTENSIONS):
        from lazyimport.importing.extension import ArchiveExtensionLoader

        return ArchiveExtensionLoader(name, path, tree, entry)
    return ArchiveLoader(name, path, tree, entry, is_package)
