"""Lessons: what modules of the standard library must learn to see an archive.

They look at files without asking a loader. A class that travelled by value (every
class under ``@serve.deployment`` does) has no loader to ask either, only the file
name in its code; so `linecache` learns to find the archive's sources by name, and
`inspect` to ask for them where there is neither file nor module. Up to Python 3.12
the interpreter prints an uncaught exception in C and reads the file itself, and up
to 3.14 one that nobody can catch; so the package is put there when, and only when,
such an exception is about to be printed.

Two read directories, so the files are put there for them: the import system, for
data of namespace packages, and `unittest` when it discovers tests, which would
take no file for no test and call that a success.

`pkg_resources` is part of setuptools; see `pkg_resources_support` next door.
"""

from __future__ import annotations

import os
import sys

from lazyimport import lazy_errors as errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType, TracebackType
    from typing import Any

    from lazyimport.importing.tree import Tree

__all__ = ["Lessons"]

#: lines of an empty file
_EMPTY = ["\n"] if sys.version_info >= (3, 13) else []


class Lessons:
    """Teaches modules to see the files of a tree; `remove` undoes it."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._undo: list[Callable[[], None]] = []

    def teach(self, module: ModuleType) -> None:
        """Change what a module, just imported, looks at."""
        lessons: dict[str, Callable[[ModuleType], None]] = {
            "importlib.abc": _register,
            "importlib.readers": self._teach_readers,  # of Python 3.10
            "importlib.resources.readers": self._teach_readers,
            "inspect": self._teach_inspect,
            "linecache": self._teach_linecache,
            "pkg_resources": self._teach_pkg_resources,
            "threading": self._teach_threading,
            "unittest.loader": self._teach_unittest,
        }
        lesson = lessons.get(getattr(module, "__name__", ""))
        if lesson:  # else somebody's stand-in for it
            lesson(module)

    def remove(self) -> None:
        """Take everything back that is still as it was left."""
        while self._undo:
            self._undo.pop()()

    def _put(
        self, module: Any, name: str, wrap: Callable[[Callable[..., Any]], Any]
    ) -> None:
        before = getattr(module, name)
        ours = wrap(before)
        setattr(module, name, ours)

        def undo() -> None:
            if getattr(module, name) is ours:
                setattr(module, name, before)

        self._undo.append(undo)

    def _precede(self, module: Any, name: str, first: Callable[..., None]) -> None:
        """Have *first* called with the same arguments before what is there."""
        from functools import wraps

        def wrap(before: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(before)
            def both(*args: Any, **kwargs: Any) -> Any:
                first(*args, **kwargs)
                return before(*args, **kwargs)

            return both

        self._put(module, name, wrap)

    def _teach_linecache(self, linecache: ModuleType) -> None:
        self._put(
            linecache, "updatecache", lambda ask: self._updatecache(linecache, ask)
        )

    def _updatecache(
        self, linecache: ModuleType, ask: Callable[..., list[str]]
    ) -> Callable[..., list[str]]:
        tree = self._tree

        def updatecache(
            filename: str, module_globals: dict[str, Any] | None = None
        ) -> list[str]:
            """Return the lines of *filename* and remember them, the archive's too."""
            if not _knows(tree, filename):
                return ask(filename, module_globals)
            lines = _lines(tree, filename)
            if lines is not None:
                # in one step, for other threads; without a time, for it never changes
                linecache.cache[filename] = (len(lines), None, lines, filename)
            return lines or []

        return updatecache

    def _teach_inspect(self, inspect: Any) -> None:
        def wrap(ask: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
            def getsourcefile(object: Any) -> str | None:  # noqa: A002 - as there
                """Return the name of the file that has an object's source, or None."""
                found = ask(object)
                if found is None:
                    filename = inspect.getfile(object)
                    if filename.endswith(".py") and _knows(self._tree, filename):
                        return filename  # type: ignore[no-any-return]
                return found

            getsourcefile.__module__ = inspect.__name__
            return getsourcefile

        self._put(inspect, "getsourcefile", wrap)

    def _teach_pkg_resources(self, pkg_resources: Any) -> None:
        from functools import partial

        from lazyimport.importing import pkg_resources_support as legacy

        tree = self._tree
        try:
            known = pkg_resources.working_set
            legacy.register(pkg_resources)
            self._put(pkg_resources, "normalize_path", partial(legacy.sparing, tree))
            self._undo.append(
                partial(legacy.forget, known, tree.root, dict(known.by_key))
            )
            legacy.activate(pkg_resources, tree.root)
        except Exception:  # noqa: BLE001, S110 - its import is not to fail for ours
            pass  # an odd pkg_resources, or damage, of which other imports will tell

    def _teach_readers(self, readers: Any) -> None:
        from lazyimport.importing.resources import materialize_portions

        def portions(_: object, namespace_path: Any) -> None:
            materialize_portions(self._tree, namespace_path)

        self._precede(readers.NamespaceReader, "__init__", portions)

    def _teach_threading(self, threading: Any) -> None:
        def sources(args: Any) -> None:
            self.write(args.exc_value, args.exc_traceback)

        one = threading.excepthook is threading.__excepthook__
        self._precede(threading, "excepthook", sources)
        if one:
            self._put(threading, "__excepthook__", lambda _: threading.excepthook)
        else:
            self._precede(threading, "__excepthook__", sources)

    def _teach_unittest(self, loader: Any) -> None:
        def folders(_: object, start_dir: str, *__: object, **___: object) -> None:
            folder = _folder_of_tests(self._tree, os.fspath(start_dir))
            if folder is None:
                return
            tops = [folder.partition("/")[0]] if folder else self._tree.archive.tops()
            for top in tops:
                self._tree.prepare(top, wanted=True)

        self._precede(loader.TestLoader, "discover", folders)

    def write(
        self, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Put the files on disk that printing *error* will read."""
        for path in {*_files(traceback), *_files_of(error, set())}:
            if _knows(self._tree, path):
                _written(self._tree, path)


def _folder_of_tests(tree: Tree, start: str) -> str | None:
    """Return the archive's folder that *start*, a path or a module's name, means."""
    folder = tree.relative(os.path.abspath(start))
    if folder is not None or os.path.isdir(start):
        return folder
    stem = start.replace(".", "/")
    module = tree.module(stem)
    if module is not None:
        return module.entry.path.rpartition("/")[0]
    return stem if tree.is_directory(stem) else None


def _register(abc: ModuleType) -> None:
    """Let ``isinstance(loader, importlib.abc.InspectLoader)`` be true, and the like."""
    from lazyimport.importing.finder import (
        ArchiveFinder,
        ArchivePathFinder,
        MissingFinder,
    )
    from lazyimport.importing.loader import ArchiveLoader

    abc.MetaPathFinder.register(ArchiveFinder)
    abc.MetaPathFinder.register(MissingFinder)
    abc.PathEntryFinder.register(ArchivePathFinder)
    abc.ExecutionLoader.register(ArchiveLoader)
    if hasattr(abc, "ResourceLoader"):  # deprecated since Python 3.12
        abc.ResourceLoader.register(ArchiveLoader)


# Whoever asks for lines is about to report another error, which must not be lost to
# damage in the archive: then there are no lines. Importing the module tells of it.


def _knows(tree: Tree, filename: str) -> bool:
    try:
        return tree.at(filename) is not None
    except errors.ArchiveError:
        return False


def _written(tree: Tree, filename: str) -> bool:
    try:
        return tree.write(filename)
    except errors.ArchiveError:
        return False


def _lines(tree: Tree, filename: str) -> list[str] | None:
    """Return the lines as those of a file; `str.splitlines` would see more of them."""
    from importlib.util import decode_source

    entry = tree.at(filename)
    if entry is None:
        return None
    try:
        text = decode_source(tree.read(entry))
    except (SyntaxError, UnicodeDecodeError, errors.ArchiveError):
        return None
    lines = [f"{line}\n" for line in text.split("\n")]
    if text.endswith("\n") or not text:
        lines.pop()
    return lines or _EMPTY


def _files_of(error: BaseException | None, seen: set[int]) -> Iterator[str]:
    """Yield the files that printing *error* with its causes will look at."""
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield from _files(error.__traceback__)
    if isinstance(error, SyntaxError) and error.filename:
        yield error.filename
    yield from _files_of(error.__cause__, seen)
    yield from _files_of(error.__context__, seen)
    for inner in getattr(error, "exceptions", ()):
        if isinstance(inner, BaseException):
            yield from _files_of(inner, seen)


def _files(traceback: TracebackType | None) -> Iterator[str]:
    while traceback is not None:
        yield traceback.tb_frame.f_code.co_filename
        traceback = traceback.tb_next
