"""The import protocol over an open archive; never the network.

Here are the names of the import machinery, how to look like a part of it, to watch it
and to change it.

`importlib.machinery` and `importlib.util` re-export what the interpreter has loaded
anyway, but bring importlib, warnings and more along: a millisecond in every process
that starts with an archive.

CPython trims the frames of its frozen import machinery from a traceback
(``remove_importlib_frames`` in ``Python/import.c``): all of them for an ImportError,
else those that end in ``_call_with_frames_removed``. Our frames between an ``import``
and a module that fails must not show either, so those functions pretend to be the
machinery's.
"""

from __future__ import annotations

import os
import sys
from _frozen_importlib import (  # type: ignore[attr-defined]
    BuiltinImporter,
    FrozenImporter,
    ModuleSpec,
    # CPython looks for the function by its name in the traceback.
    _call_with_frames_removed as without_frames,
)
from _frozen_importlib_external import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    MAGIC_NUMBER,
    SOURCE_SUFFIXES,
    FileFinder,
    FileLoader,
    PathFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from _imp import _fix_co_filename  # type: ignore[attr-defined]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType
    from typing import Any, TypeVar

    Function = TypeVar("Function", bound=Callable[..., Any])

__all__ = [
    "BYTECODE_SUFFIXES",
    "EXTENSION_SUFFIXES",
    "MAGIC_NUMBER",
    "SOURCE_SUFFIXES",
    "BuiltinImporter",
    "Changes",
    "FileFinder",
    "FileLoader",
    "FrozenImporter",
    "ImportWatcher",
    "ModuleSpec",
    "PathFinder",
    "SourceFileLoader",
    "SourcelessFileLoader",
    "finders_behind",
    "hidden",
    "running_python",
    "without_frames",
]


def hidden(function: Function) -> Function:
    """Let the frames of *function* be trimmed like those of the machinery."""
    _fix_co_filename(function.__code__, "<frozen importlib._bootstrap_external>")
    return function


def finders_behind(finder: object) -> list[Any] | None:
    """Return what follows *finder* on ``sys.meta_path``; None if it is not there."""
    finders: list[Any] = list(sys.meta_path)
    return finders[finders.index(finder) + 1 :] if finder in finders else None


def running_python() -> tuple[str, bytes, int]:
    """Return (cache tag, magic number, optimization) of this interpreter."""
    return sys.implementation.cache_tag or "", MAGIC_NUMBER, sys.flags.optimize


class ImportWatcher:
    """Calls functions with the modules they watch, whenever one has been executed.

    While anything is watched this is the first finder on ``sys.meta_path``: it lets
    the others find the module, and stands in for the loader until that has run.
    """

    def __init__(self) -> None:
        self._watched: dict[str, list[Callable[[ModuleType], None]]] = {}

    def watch(self, name: str, then: Callable[[ModuleType], None]) -> None:
        """Call *then* with the module *name*: now, too, if it is imported already."""
        self._watched.setdefault(name, []).append(then)
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        if sys.modules.get(name) is not None:
            __import__(name)  # another thread may be in the middle of it
            then(sys.modules[name])

    def unwatch(self, then: Callable[[ModuleType], None]) -> None:
        """Never call *then* again."""
        for name, functions in list(self._watched.items()):
            functions[:] = [function for function in functions if function != then]
            if not functions:
                del self._watched[name]
        if not self._watched and self in sys.meta_path:
            sys.meta_path.remove(self)

    def watches(self, name: str) -> bool:
        """Return whether any function watches the module *name*."""
        return name in self._watched

    @hidden
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the spec of a watched module, or None."""
        if fullname not in self._watched:
            return None
        for finder in finders_behind(self) or ():
            ask = getattr(finder, "find_spec", None)  # a finder of PEP 302 has none
            spec: ModuleSpec | None = ask and ask(fullname, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Watch(spec.loader, self._executed)  # type: ignore[assignment]
                return spec
        return None

    def _executed(self, module: ModuleType) -> None:
        for then in list(self._watched.get(module.__name__, ())):
            then(module)


class _Watch:
    """Loads a module with its own loader, then calls *then* with it."""

    def __init__(self, loader: Any, then: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._then = then

    @hidden
    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._then(module)

    def __getattr__(self, name: str) -> object:
        """Answer as the loader does: ``python -m inspect`` asks it for code."""
        if name == "_loader":  # of a copy that is being made
            raise AttributeError(name)
        return getattr(self._loader, name)


class Changes:
    """Changes the interpreter, and undoes what nobody else has changed since."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def undo(self) -> None:
        """Undo every change, the last one first."""
        while self._undo:
            self._undo.pop()()

    def at_undo(self, function: Callable[[], None]) -> None:
        """Have *function* called to undo a change that was made elsewhere."""
        self._undo.append(function)

    def insert(self, items: list[Any], place: int, item: object) -> None:
        """Insert *item* into a list such as ``sys.path``."""

        def undo() -> None:
            while item in items:
                items.remove(item)

        items.insert(place, item)
        self._undo.append(undo)

    def set_variable(self, name: str, value: str | None) -> None:
        """Set an environment variable, or remove it if *value* is None."""
        before = os.environ.get(name)
        if before == value:
            return

        def undo() -> None:
            if os.environ.get(name) == value:
                _set_variable(name, before)

        _set_variable(name, value)
        self._undo.append(undo)

    def replace(self, owner: Any, name: str, value: object) -> None:
        """Replace an attribute of a module or class."""
        before = getattr(owner, name)

        def undo() -> None:
            if getattr(owner, name) is value:
                setattr(owner, name, before)

        setattr(owner, name, value)
        self._undo.append(undo)

    def precede(
        self, owner: Any, name: str, first: Callable[..., None], twin: str = ""
    ) -> None:
        """Have *first* called before a function, with the same arguments.

        *twin* is a second name, as that of ``sys.__excepthook__``. If both stand for
        one function they still do: code that puts the original back, or asks whether
        it is in place, must find ours.
        """
        before = getattr(owner, name)

        @hidden
        def both(*args: Any, **kwargs: Any) -> Any:
            first(*args, **kwargs)
            return before(*args, **kwargs)

        # as functools.wraps does, which is too heavy for a start
        for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
            if hasattr(before, attribute):
                setattr(both, attribute, getattr(before, attribute))
        both.__wrapped__ = before  # type: ignore[attr-defined]
        self.replace(owner, name, both)
        if twin and getattr(owner, twin) is before:
            self.replace(owner, twin, both)
        elif twin:
            self.precede(owner, twin, first)


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
