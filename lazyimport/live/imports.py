"""Imports, while live: each is recorded, waits at the gate, finds its generation."""

from __future__ import annotations

import functools
import sys

from lazyimport.importing.moving import entry_of
from lazyimport.live.generations import Generation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Any

    from lazyimport.live.generations import Generation
    from lazyimport.live.state import Live


class Imports:
    """Stands in for ``__import__`` and `importlib.import_module`."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def put_in(self, builtins: ModuleType, importlib: ModuleType) -> None:
        """Take the place of the two functions."""
        plain = builtins.__import__
        plain_module = importlib.import_module

        @functools.wraps(plain)
        def __import__(  # noqa: A001, N807 - what it stands for is called so
            name: str,
            globals: Any = None,  # noqa: A002
            locals: Any = None,  # noqa: A002
            fromlist: Any = (),
            level: int = 0,
        ) -> Any:
            if self._is_plain(name, globals, level):
                return plain(name, globals, locals, fromlist, level)
            absolute = _absolute(name, globals, level)
            with self._live.gate:
                generation = self._generation(globals)
                if generation is not None:
                    found = generation.import_(absolute, fromlist or (), level)
                    if found is not None:
                        return found
                importer = self._importer(globals)
                before = absolute in sys.modules
                try:
                    return plain(name, globals, locals, fromlist, level)
                finally:
                    self._note(importer, absolute, fromlist, before=before)

        @functools.wraps(plain_module)
        def import_module(name: str, package: str | None = None) -> Any:
            scope = sys._getframe(1).f_globals  # noqa: SLF001
            absolute = name
            if isinstance(name, str) and name.startswith(".") and package:
                level = len(name) - len(name.lstrip("."))
                absolute = _absolute(name[level:], {"__package__": package}, level)
            if self._is_plain(absolute, scope, 0):
                return plain_module(name, package)
            with self._live.gate:
                generation = self._generation(scope)
                if generation is not None:
                    found = generation.import_(absolute, ("*",), 1)
                    if found is not None:
                        return found
                importer = self._importer(scope)
                before = absolute in sys.modules
                try:
                    return plain_module(name, package)
                finally:
                    self._note(importer, absolute, ("*",), before=before)

        builtins.__import__ = __import__  # type: ignore[attr-defined]
        importlib.import_module = import_module  # type: ignore[attr-defined]

    def _is_plain(self, name: object, scope: Any, level: int) -> bool:
        """Whether an import is none of the archive's modules."""
        if level:
            name = scope and scope.get("__name__")
        return not self._live.is_ours(name)

    def _generation(self, scope: dict[str, Any] | None) -> Generation | None:
        """Return the generation that an import is for, None for the machinery's."""
        meant = self._live.generation_of(scope)
        return None if meant is self._live.importing else meant

    def _importer(self, scope: dict[str, Any] | None) -> str:
        """Return the module of the archive for which something is imported."""
        name = scope and scope.get("__name__")
        frame: Any = sys._getframe(2)  # noqa: SLF001
        while frame is not None and not self._live.is_ours(name):
            name = frame.f_globals.get("__name__")
            frame = frame.f_back
        return name if isinstance(name, str) and self._live.is_ours(name) else ""

    def _note(
        self, importer: str, name: str, fromlist: Sequence[str], *, before: bool
    ) -> None:
        edges = self._live.edges
        if importer:
            edges.add(importer, name, fromlist)
        if not before:
            self._note_loaded(importer, name)
        for member in fromlist or ():
            self._note_loaded(importer, f"{name}.{member}")

    def _note_loaded(self, importer: str, name: str) -> None:
        loaded_by = self._live.edges.loaded_by
        while name and name not in loaded_by:
            if entry_of(sys.modules.get(name)) is not None:
                loaded_by[name] = importer
            name = name.rpartition(".")[0]


def _absolute(name: str, scope: Any, level: int) -> str:
    if not level:
        return name
    package = scope.get("__package__")
    if package is None:
        package = scope["__name__"]
        if "__path__" not in scope:
            package = package.rpartition(".")[0]
    parts = package.split(".")
    parts = parts[: max(len(parts) - level + 1, 0)]
    return ".".join([*parts, *[name] * bool(name)])
