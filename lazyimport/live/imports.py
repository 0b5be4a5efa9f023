"""Imports, while live: each is recorded, waits at the gate, finds its generation."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from importlib._bootstrap import _gcd_import  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

from lazyimport.importing import hidden
from lazyimport.live.generations import Generation
from lazyimport.live.state import Live


class Imports:
    """Stands in for ``__import__`` and `importlib.import_module`."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def put_in(self, builtins: ModuleType, importlib: ModuleType) -> None:
        """Take the place of the two functions."""
        live = self._live
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
            if not live.is_ours((globals or {}).get("__name__") if level else name):
                return plain(name, globals, locals, fromlist, level)
            absolute = _absolute(name, globals, level)
            with live.gate, _Importing(live, globals, absolute, fromlist or ()) as old:
                found = old and old.import_(absolute, fromlist or (), level)
                return found or plain(name, globals, locals, fromlist, level)

        @functools.wraps(plain_module)
        def import_module(name: str, package: str | None = None) -> Any:
            scope = sys._getframe(1).f_globals  # noqa: SLF001
            absolute = name
            if isinstance(name, str) and name.startswith(".") and package:
                tail = name.lstrip(".")
                level = len(name) - len(tail)
                absolute = _absolute(tail, {"__package__": package}, level)
            if not live.is_ours(absolute):
                return plain_module(name, package)
            with live.gate, _Importing(live, scope, absolute, "*") as old:
                found = old and old.import_(absolute, "*", 1)
                return found or plain_module(name, package)

        # As the machinery's own, so that warnings are for the line that imports.
        builtins.__import__ = hidden(__import__)  # type: ignore[attr-defined]
        importlib.import_module = hidden(import_module)  # type: ignore[attr-defined]


class _Importing:
    """An import of a module of the archive by code with the globals *scope*.

    As a context it gives the generation that it is for, None for the one that the
    machinery imports.
    """

    def __init__(
        self, live: Live, scope: Any, name: str, fromlist: Sequence[str]
    ) -> None:
        self._live = live
        self._scope = scope
        self._name = name
        self._fromlist = fromlist
        self._before = ""

    def __enter__(self) -> Generation | None:
        live = self._live
        self._before, live.thread.importer = live.thread.importer, self._importer()
        meant = live.generation_of(self._scope)
        self._is_recorded = meant is live.importing
        if not self._is_recorded:
            return meant
        if live.importing is not live.current:
            self._import_packages()
        return None

    def _import_packages(self) -> None:
        """Import packages that are made anew, for modules in them that stay.

        The machinery does not import the package of a module that there is.
        """
        parts = self._name.split(".")
        for end in range(1, len(parts)):
            package = ".".join(parts[:end])
            if package not in sys.modules:
                _gcd_import(package)

    def __exit__(self, *_: object) -> None:
        thread = self._live.thread
        if thread.importer and self._is_recorded:
            self._live.edges.add(thread.importer, self._name, self._fromlist)
        thread.importer = self._before

    def _importer(self) -> str:
        """Return the module of the archive for which something is imported."""
        is_ours = self._live.is_ours
        name = self._scope and self._scope.get("__name__")
        frame: Any = sys._getframe(3)  # noqa: SLF001
        while frame is not None and not is_ours(name):
            name = frame.f_globals.get("__name__")
            frame = frame.f_back
        return str(name) if is_ours(name) else ""


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
