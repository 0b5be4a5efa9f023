"""Edges: which modules of the archive use which, by what they have imported.

An import that failed is an edge too: the module may appear. What functions would import
that have not run yet is read from their bytecode.
"""

from __future__ import annotations

import dis
import sys
from inspect import CO_NEWLOCALS
from types import CodeType, ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from lazyimport.importing.loader import ArchiveLoader

_IMPORT_NAME = dis.opmap["IMPORT_NAME"]


class Edges:
    """Who imports whom, by name.

    ``used`` maps a module to the names that it has imported, ``may_use`` to those that
    its functions import, and ``loaded_by`` to the module whose import has executed it.
    ``since`` is the number of the generation that has done so, ``names`` are all the
    names in its code, and ``modules`` what was executed.
    """

    def __init__(self) -> None:
        self.used: dict[str, set[str]] = {}
        self.may_use: dict[str, set[str]] = {}
        self.loaded_by: dict[str, str] = {}
        self.since: dict[str, int] = {}
        self.names: dict[str, set[str]] = {}
        self.modules: dict[str, ModuleType] = {}

    def add(self, importer: str, name: str, fromlist: Sequence[str] | None) -> None:
        """Note that *importer* has imported *name*, absolute, in a statement."""
        used = self.used.setdefault(importer, set())
        if not fromlist:
            while name:  # the statement binds the first part
                used.add(name)
                name = name.rpartition(".")[0]
            return
        module = sys.modules.get(name)
        for member in fromlist:
            child = f"{name}.{member}"
            found = sys.modules.get(child)
            if found is not None or member not in getattr(module, "__dict__", ()):
                used.add(child)  # it is a module, or may be one some day
            # A submodule is no use of its package, any other name is one.
            if found is None or getattr(module, member, None) is not found:
                used.add(name)

    def see(
        self, loader: ArchiveLoader, body: CodeType, generation: int, importer: str
    ) -> None:
        """Note that a module is executed because *importer* imports it."""
        name = loader.name
        self.loaded_by[name] = importer
        self.since[name] = generation
        if name in sys.modules:  # not where runpy asks for the code
            self.modules[name] = sys.modules[name]
        self.names[name] = names_in(body)
        package = name if loader.is_package() else name.rpartition(".")[0]
        self.may_use[name] = imports_of_functions(body, package)

    def importers(self) -> dict[str, set[str]]:
        """Return by name who uses it, or may."""
        found: dict[str, set[str]] = {}
        for names in (self.used, self.may_use):
            for importer, used in names.items():
                for name in used:
                    found.setdefault(name, set()).add(importer)
        return found

    def replaced(self) -> dict[str, ModuleType]:
        """Return by name the modules that have put something else in their place."""
        now = sys.modules
        return {n: m for n, m in self.modules.items() if now.get(n, m) is not m}

    def of_generation(self, number: int) -> list[str]:
        """Return the names of what that generation has executed."""
        return [name for name, since in self.since.items() if since == number]

    def forget(self, names: Sequence[str]) -> Edges:
        """Take out what *names* have imported; return it."""
        taken = Edges()
        for kept, gone in zip(self._all(), taken._all(), strict=True):
            gone.update((name, kept.pop(name)) for name in names if name in kept)
        return taken

    def update(self, other: Edges) -> None:
        """Add what another one has."""
        for mine, more in zip(self._all(), other._all(), strict=True):
            mine.update(more)

    def _all(self) -> tuple[dict[str, Any], ...]:
        users = self.used, self.may_use, self.loaded_by
        return *users, self.since, self.names, self.modules


def names_in(code: CodeType) -> set[str]:
    """Return the names of globals and attributes in *code*, and the code inside it."""
    names = set(code.co_names)
    for const in code.co_consts:
        if isinstance(const, CodeType):
            names |= names_in(const)
    return names


def imports_of_functions(body: CodeType, package: str) -> set[str]:
    """Return what the functions in a module's *body* import, as absolute names.

    *package* is what relative names are relative to. Of ``from a import b`` both ``a``
    and ``a.b`` are returned: which one is a module, only running it would tell.
    """
    found: set[str] = set()
    for const in body.co_consts:
        if not isinstance(const, CodeType):
            continue
        if const.co_flags & CO_NEWLOCALS:  # a class body runs with the module's
            found |= imports_of(const, package)
        else:
            found |= imports_of_functions(const, package)
    return found


def imports_of(code: CodeType, package: str) -> set[str]:
    """Return what a function imports, and those inside of it."""
    found = imports_of_functions(code, package)
    if _IMPORT_NAME not in code.co_code[::2]:
        return found
    before: list[object] = [None, None]
    for step in dis.get_instructions(code):
        if step.opcode == _IMPORT_NAME:
            level, fromlist = before
            found.update(_absolute(str(step.argval), level, fromlist, package))
        before = [before[1], step.argval]
    return found


def _absolute(
    name: str, level: object, fromlist: object, package: str
) -> Iterator[str]:
    if isinstance(level, int) and level:
        parts = package.split(".")
        parts = parts[: len(parts) - level + 1]
        name = ".".join([*parts, *[name] * bool(name)])
    if isinstance(fromlist, tuple):
        yield name
        yield from (f"{name}.{member}" for member in fromlist)
        return
    while name:
        yield name
        name = name.rpartition(".")[0]
