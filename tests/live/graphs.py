"""Random trees of modules that use each other in all the ways that there are.

Version after version some modules change, come or go. Each module has ``value()``,
which depends on what it has imported, and ``late()``, which imports when it is called.
"""

from __future__ import annotations

import random

Files = dict[str, str]

#: how a module uses another one: what its body has, and what that contributes
_USES = {
    "from": ("from {parent} import {tail} as {alias}", "{alias}.value()"),
    "import": ("import {name}", "{name}.value()"),
    "import as": ("import {name} as {alias}", "{alias}.value()"),
    "name": ("from {name} import value as {alias}", "{alias}()"),
    "star": ("from {name} import *", "star_{tail}"),
    "class": ("from {name} import Thing as {alias}", "{alias}.made_by"),
    "base": (
        "from {name} import Thing as {alias}\nclass Sub{alias}({alias}): pass",
        "Sub{alias}().tell()",
    ),
    "enum": ("from {name} import Color as {alias}", "{alias}.RED.value"),
    "data": ("from {name} import Point as {alias}", "{alias}().x"),
    "cache": (
        (
            "import functools\nfrom {name} import Thing as {alias}\n"
            "@functools.lru_cache\ndef cached_{alias}(): return {alias}.made_by"
        ),
        "cached_{alias}()",
    ),
    "dispatch": (
        (
            "from {registry} import show\nfrom {name} import Thing as {alias}\n"
            "@show.register\ndef _show_{alias}(one: {alias}): return one.made_by"
        ),
        "show({alias}())",
    ),
    "register": (
        (
            "from {registry} import ITEMS\nfrom {name} import value as {alias}\n"
            "ITEMS[__name__ + '/{name}'] = {alias}"
        ),
        "ITEMS[__name__ + '/{name}']()",
    ),
    "abc": (
        (
            "from {registry} import Base\nfrom {name} import Thing as {alias}\n"
            "Base.register({alias})"
        ),
        "isinstance({alias}(), Base)",
    ),
    "guarded": (
        (
            "try:\n    from {parent} import {tail} as {alias}\n"
            "except ImportError:\n    {alias} = None"
        ),
        "{alias} and {alias}.value()",
    ),
    "dynamic": (
        "import importlib\n{alias} = importlib.import_module('{name}')",
        "{alias}.value()",
    ),
}
_LATE = {
    "from": ("from {parent} import {tail}", "{tail}.value()"),
    "import": ("import {name}", "{name}.value()"),
    "import as": ("import {name} as {alias}", "{alias}.value()"),
    "name": ("from {name} import value as {alias}", "{alias}()"),
    "dynamic": ("import importlib", "importlib.import_module('{name}').value()"),
}
_BODY = """
import dataclasses, enum
V = {version}
star_{tail} = V
__all__ = ["star_{tail}"]
class Thing:
    made_by = V
    def tell(self): return V
class Color(enum.Enum):
    RED = V
@dataclasses.dataclass
class Point:
    x: int = V
{imports}
def value(): return (V, {values})
def late():
{late_imports}
    return (V, {late_values})
"""
_REGISTRY = """
import abc, functools
ITEMS = {}
class Base(abc.ABC): pass
@functools.singledispatch
def show(one): return 'nobody'
def value(): return 0
def late(): return 0
"""


class Graph:
    """Modules in packages of three kinds, and who uses whom."""

    def __init__(self, seed: int, size: int = 10) -> None:
        self.random = random.Random(seed)
        folders = ["g", "g.sub", "g.space", "g.sub.deep"]
        self.names = [
            f"{self.random.choice(folders)}.m{number}" for number in range(size)
        ]
        self.versions = dict.fromkeys(self.names, 0)
        self.exports = {"g": "", "g.sub": "", "g.sub.deep": ""}
        self.uses = {name: self._some(_USES, self._before(name)) for name in self.names}
        self.late = {name: self._some(_LATE, self.names, 2) for name in self.names}
        for package in self.exports:
            inside = [n for n in self.names if n.rpartition(".")[0] == package]
            if inside and self.random.random() < 0.4:
                self.exports[package] = self.random.choice(inside)

    def _before(self, name: str) -> list[str]:
        return self.names[: self.names.index(name)]

    def _some(
        self, kinds: dict[str, tuple[str, str]], names: list[str], most: int = 3
    ) -> list[tuple[str, str]]:
        count = min(self.random.randint(0, most), len(names))
        chosen = self.random.sample(names, count)
        return [(self.random.choice(list(kinds)), name) for name in chosen]

    def change(self) -> None:
        """Make the next version."""
        for name in self.random.sample(self.names, self.random.randint(1, 2)):
            self.versions[name] += 1
            if self.random.random() < 0.4:
                self.uses[name] = self._some(_USES, self._before(name))
            if self.random.random() < 0.4:
                self.late[name] = self._some(_LATE, self.names, 2)

    def users_of(self, names: set[str]) -> set[str]:
        """Return *names*, and all that may have to do with them."""
        found = {*names, "g.main"}
        registered = {"dispatch", "register", "abc"}
        while True:
            more = {
                package for package, export in self.exports.items() if export in found
            }
            for user in self.names:
                uses = self.uses[user] + self.late[user]
                kinds = {kind for kind, _ in self.uses[user]}
                used = {part for _, name in uses for part in (name, *_packages(name))}
                if used & found or (kinds & registered and "g.registry" in found):
                    more.add(user)
                if user in found and kinds & registered:
                    more.add("g.registry")
            if more <= found:
                return found
            found |= more

    def files(self) -> Files:
        """Return the files of this version."""
        files = {"g/registry.py": _REGISTRY}
        for package, export in self.exports.items():
            text = f"from {export} import value as exported\n" if export else ""
            files[package.replace(".", "/") + "/__init__.py"] = text
        for name in self.names:
            files[name.replace(".", "/") + ".py"] = self._source(name)
        order = self.random.sample(self.names, len(self.names))
        files["g/main.py"] = "import g.registry\n" + "".join(
            f"import {name}\n" for name in order
        )
        return files

    def _source(self, name: str) -> str:
        imports, values = self._spelled(_USES, self.uses[name])
        late_imports, late_values = self._spelled(_LATE, self.late[name])
        return _BODY.format(
            version=f"{self.versions[name]}",
            tail=name.rpartition(".")[2],
            imports="\n".join(imports),
            values="".join(f"{value}, " for value in values),
            late_imports="\n".join(f"    {line}" for line in ["pass", *late_imports]),
            late_values="".join(f"{value}, " for value in late_values),
        )

    def _spelled(
        self, kinds: dict[str, tuple[str, str]], uses: list[tuple[str, str]]
    ) -> tuple[list[str], list[str]]:
        imports, values = [], []
        for number, (kind, name) in enumerate(uses):
            parent, _, tail = name.rpartition(".")
            words = {
                "name": name,
                "parent": parent,
                "tail": tail,
                "alias": f"u{number}",
            }
            words["registry"] = "g.registry"
            imports.append(kinds[kind][0].format(**words))
            values.append(kinds[kind][1].format(**words))
        return imports, values


def _packages(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]
