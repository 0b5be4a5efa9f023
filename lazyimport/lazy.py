"""What is imported when somebody asks for it: the names of packages, and some modules.

For modules that every worker loads at its start, where nothing has gone wrong yet::

    from lazyimport.lazy import errors

    raise errors.SettingsError(...)
"""

from __future__ import annotations

import gc
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from lazyimport import errors

    Function = TypeVar("Function", bound=Callable[..., Any])

__all__ = ["Later", "errors", "exports", "traced"]


def exports(
    package: dict[str, Any], **names: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the functions ``__getattr__`` and ``__dir__`` of a package.

    *package* are its globals, and *names*, by module, the names that it has from
    there, with spaces between.
    """
    here = package["__name__"]
    homes = {n: f"{here}.{module}" for module in names for n in names[module].split()}

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {here!r} has no attribute {name!r}")
        value = package[name] = _import(homes[name], name)
        return value

    return find, lambda: sorted({*package, *homes})


def _import(module: str, name: str) -> Any:
    """Return what a module of ours calls *name*."""
    collects = gc.isenabled()
    gc.disable()  # what our modules make stays
    try:
        # not importlib.import_module: it would bring importlib.util and more along
        return getattr(__import__(module, fromlist=[name]), name)
    finally:
        if collects:
            gc.enable()


def traced(name: str) -> Callable[[Function], Function]:
    """Make each call of a function a span, see `lazyimport.tracing`."""

    def decorate(function: Function) -> Function:
        def call(*arguments: Any, **options: Any) -> Any:
            if "opentelemetry.trace" not in sys.modules:
                return function(*arguments, **options)
            in_span = _import("lazyimport.tracing", "call")
            return in_span(name, function, arguments, options)

        # functools is not loaded where a process starts
        call.__wrapped__ = function  # type: ignore[attr-defined]
        for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(call, attribute, getattr(function, attribute))
        return call  # type: ignore[return-value]

    return decorate


class Later:
    """The *module* of ours, imported when somebody asks for something in it."""

    def __init__(self, module: str) -> None:
        self._module = f"lazyimport.{module}"

    def __getattr__(self, name: str) -> object:
        value = self.__dict__[name] = _import(self._module, name)
        return value


if not TYPE_CHECKING:
    errors = Later("errors")
