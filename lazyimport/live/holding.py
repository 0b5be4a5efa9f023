"""What objects are made of: the modules of the archive whose objects are among them."""

from __future__ import annotations

import gc
from types import FunctionType, ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from typing import Any

#: How far from a module's globals objects are looked at, and how many of them.
_DEPTH = 5
_MOST = 20_000
_LEAVES = (str, bytes, bytearray, int, float, complex, type(None))


class Holding:
    """Whose objects a module holds, as far as they are among the names *homes*.

    ``homes`` are the modules of functions, classes and instances, and ``modules`` those
    held themselves; ``packages`` are globals, by an import that binds the first part of
    a name. What it has made itself, such as registries, is looked into; functions and
    classes of others are not.
    """

    def __init__(self, module: ModuleType, homes: Container[str]) -> None:
        own = module.__name__
        values: list[Any] = []
        self.packages: set[str] = set()
        for name, value in list(vars(module).items()):
            if not is_module(value):
                if not _is_dunder(name):
                    values.append(value)
            elif value.__name__ == f"{own}.{name}":
                continue  # an import of a submodule puts that there
            elif hasattr(value, "__path__"):
                self.packages.add(value.__name__)
            else:
                values.append(value)
        self.homes, self.modules = homes_among(values, homes, own=own)


def homes_among(
    values: Iterable[Any],
    homes: Container[str],
    own: str = "",
    depth: int = _DEPTH,
    most: int = _MOST,
) -> tuple[set[str], set[str]]:
    """Return the names of modules whose objects are *values* or inside of them.

    And the names of modules that are. Looks as deep as *depth*, and at *most* objects.
    """
    found: set[str] = set()
    modules: set[str] = set()
    seen: set[int] = set()
    level = list(values)
    for _ in range(depth):
        deeper: list[Any] = []
        for one in level:
            kind = type(one)
            if kind in _LEAVES or id(one) in seen:
                continue
            seen.add(id(one))
            if issubclass(kind, (FunctionType, type)):
                found.add(kind.__module__)
                found.add(one.__module__)
                if one.__module__ == own:
                    deeper += _parts(one)
            elif issubclass(kind, ModuleType):
                modules.add(one.__name__)
            else:
                found.add(kind.__module__)
                if gc.is_tracked(one):
                    deeper += gc.get_referents(one)
        level = deeper
        if not level or len(seen) > most:
            break
    return {n for n in found if n in homes}, {n for n in modules if n in homes}


def is_module(one: object) -> bool:
    """Whether *one* is a module; `isinstance` would ask a proxy what it is."""
    return issubclass(type(one), ModuleType)


def _parts(one: Any) -> list[Any]:
    """Return what a function or class has of its own, without its globals and bases."""
    if isinstance(one, type):
        return [*vars(one).values()]
    cells = one.__closure__ or ()
    return [
        *(cell for cell in cells),
        *(one.__defaults__ or ()),
        *vars(one).values(),
    ]


def _is_dunder(name: str) -> bool:
    return name[:2] == "__" == name[-2:]
