"""The program of the demo: a small shop, and the libraries it stands on.

The shop is written here; the libraries are the pure-Python packages that are
installed beside lazyimport, copied as they are.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Application"]

#: Packages that the shop uses where they are there; the first three always are.
USED = ("packaging", "cachetools", "pathspec", "jinja2", "pygments", "click", "attr")
#: Modules enough to be a real application; more would only take longer.
ENOUGH = 400
#: Packages of the standard library to take a copy of where nothing is installed.
STANDARD = ("asyncio", "email", "encodings", "html", "http", "json", "xml", "unittest")
_INERT = (".py", ".pyi", ".pyx", ".pxd", "py.typed", ".c", ".h")
_NATIVE = (".so", ".pyd", ".dylib", ".dll")
_NEVER = {"demo_app", "lazyimport", "ray", "test", "tests"}

_SHOP = {
    "__init__.py": '''\
"""A shop that sells licences of libraries."""
''',
    "pricing.py": '''\
"""What things cost."""

from cachetools import LRUCache, cached

DISCOUNT = {discount}  # per cent

LIST_PRICES = {{"starter": 40, "team": 120, "company": 900}}


@cached(LRUCache(maxsize=64))
def price(licence: str, count: int) -> int:
    """Return the price of *count* licences, less the discount."""
    return LIST_PRICES[licence] * count * (100 - DISCOUNT) // 100
''',
    "releases.py": '''\
"""Which release a licence is for."""

from packaging.specifiers import SpecifierSet
from packaging.version import Version

RELEASES = [Version(text) for text in ("1.9", "2.0", "2.1.3", "2.2rc1", "3.0")]


def newest(wanted: str) -> str:
    """Return the newest release that *wanted* allows."""
    return str(max(SpecifierSet(wanted).filter(RELEASES)))
''',
    "parcels.py": '''\
"""Which files are delivered."""

from pathspec import GitIgnoreSpec

KEPT_BACK = GitIgnoreSpec.from_lines(["*.pyc", "internal/"])


def parcel(files: list[str]) -> list[str]:
    """Return those of *files* that a customer gets."""
    return [file for file in files if not KEPT_BACK.match_file(file)]
''',
    "tills.py": '''\
"""The till: it remembers what was sold."""

from demo_app.pricing import price


class Till:
    """An actor: its sum lives in one process and grows there."""

    def __init__(self) -> None:
        self.sum = 0

    def sell(self, licence: str, count: int) -> int:
        """Sell, and return the sum so far."""
        self.sum += price(licence, count)
        return self.sum
''',
    "orders.py": '''\
"""An order from end to end."""

from demo_app import receipts
from demo_app.parcels import parcel
from demo_app.pricing import price
from demo_app.releases import newest

FILES = ["shop/core.py", "shop/core.pyc", "internal/keys.py", "README"]


def order(licence: str, count: int) -> dict[str, object]:
    """Return what the customer sees."""
    lines = {
        "licence": licence,
        "release": newest(">=2,<3"),
        "files": len(parcel(FILES)),
        "price": price(licence, count),
    }
    return {**lines, "receipts": receipts.print_all(lines)}
''',
    "receipts/__init__.py": '''\
"""Receipts, in every form that there is a library for."""

import importlib

FORMS = {forms}


def print_all(lines: dict[str, object]) -> dict[str, str]:
    """Return the receipt in each form."""
    return {{
        form: importlib.import_module(f"demo_app.receipts.{{form}}").receipt(lines)
        for form in FORMS
    }}
''',
    "receipts/plain.py": '''\
"""Plain text."""


def receipt(lines: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in lines.items())
''',
}
#: Forms of receipts by the library that they need.
_RECEIPTS = {
    "jinja2": '''\
"""A web page, by jinja2."""

from jinja2 import Template

PAGE = Template("<ul>{% for n, v in lines.items() %}<li>{{ n }}: {{ v }}{% endfor %}</ul>")


def receipt(lines: dict[str, object]) -> str:
    return PAGE.render(lines=lines)
''',
    "pygments": '''\
"""Coloured JSON, by pygments."""

import json

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers.data import JsonLexer


def receipt(lines: dict[str, object]) -> str:
    return highlight(json.dumps(lines), JsonLexer(), HtmlFormatter())
''',
    "click": '''\
"""For a terminal, by click."""

from click import style


def receipt(lines: dict[str, object]) -> str:
    return ", ".join(f"{name} {style(value, bold=True)}" for name, value in lines.items())
''',
    "attr": '''\
"""As an object, by attrs."""

import attr

Receipt = attr.make_class("Receipt", ["licence", "release", "files", "price"])


def receipt(lines: dict[str, object]) -> str:
    return repr(Receipt(**lines))
''',
}


class Application:
    """The program, which exists in *folder* only between `write` and `remove`.

    ``modules`` counts its Python files; ``libraries`` names the packages taken
    along, those that it uses first.
    """

    #: the line that is edited, and where it is
    EDITED = "demo_app/pricing.py"

    def __init__(self, folder: str, stamp: str) -> None:
        self.folder = folder
        self._stamp = stamp
        self._sources = dict(_choose())
        self.libraries = [name for name in USED if name in self._sources]
        self.libraries += [
            os.path.basename(name) for name in self._sources if name not in USED
        ]

    @staticmethod
    def line(discount: int) -> str:
        """Return the line that says how much is taken off."""
        return f"DISCOUNT = {discount}"

    def write(self, discount: int) -> None:
        """Put the program into the folder."""
        for name, source in self._sources.items():
            _copy(source, f"{self.folder}/{name}")
        receipts = {
            f"by_{library}": text
            for library, text in _RECEIPTS.items()
            if library in self._sources
        }
        shop = dict(_SHOP)
        shop["pricing.py"] = shop["pricing.py"].format(discount=discount)
        shop["receipts/__init__.py"] = shop["receipts/__init__.py"].format(
            forms=repr(["plain", *receipts])
        )
        shop.update((f"receipts/{form}.py", text) for form, text in receipts.items())
        # No two runs share a hash: what one put into a bucket, it may remove again.
        shop["stamp.py"] = f'"""This run of the demo."""\n\nSTAMP = "{self._stamp}"\n'
        for name, text in shop.items():
            path = f"{self.folder}/demo_app/{name}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)

    def edit(self, before: int, after: int) -> None:
        """Change the one line, as an editor would."""
        path = f"{self.folder}/{self.EDITED}"
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace(self.line(before), self.line(after)))

    def remove(self) -> None:
        """Remove the program: from now on only archives have it."""
        shutil.rmtree(self.folder)


def _choose() -> Iterator[tuple[str, str]]:
    """Yield (name, folder) of the packages to take along."""
    found = dict(_installed())
    for name in USED:
        if name in found:
            yield name, found[name]
    count = sum(len(_modules(found[name])) for name in USED if name in found)
    pure: list[tuple[bool, int, str]] = []
    for name, folder in found.items():
        kind = _kind(folder)
        if name not in USED and kind != "native":
            pure.append((kind == "data", -len(_modules(folder)), name))
    # Pure code before packages with data files, large before small.
    for _, modules, name in sorted(pure):
        if count >= ENOUGH:
            return
        count -= modules
        yield name, found[name]
    if count < ENOUGH // 2:  # next to nothing is installed here
        standard = sysconfig.get_path("stdlib")
        for name in STANDARD:
            if os.path.isdir(f"{standard}/{name}"):
                yield f"demo_app/standard/{name}", f"{standard}/{name}"


def _installed() -> Iterator[tuple[str, str]]:
    """Yield (name, folder) of the packages installed beside lazyimport."""
    import packaging

    folders = [os.path.dirname(os.path.dirname(packaging.__file__))]
    folders += [p for p in sys.path if p.endswith(("site-packages", "dist-packages"))]
    for folder in dict.fromkeys(map(os.path.realpath, folders)):
        for name in sorted(os.listdir(folder)):
            if (
                name.isidentifier()
                and not name.startswith("__")
                and name not in _NEVER
                and name not in sys.stdlib_module_names
                and os.path.isfile(f"{folder}/{name}/__init__.py")
            ):
                yield name, f"{folder}/{name}"


def _kind(folder: str) -> str:
    """Return ``native``, ``data`` or ``pure`` for what a package's folder holds."""
    kind = "pure"
    for _, names in _walk(folder):
        for name in names:
            if name.endswith(_NATIVE) or ".so." in name:
                return "native"
            if not name.endswith(_INERT):
                kind = "data"
    return kind


def _modules(folder: str) -> list[str]:
    return [
        f"{place}/{name}"
        for place, names in _walk(folder)
        for name in names
        if name.endswith(".py")
    ]


def _walk(folder: str) -> Iterator[tuple[str, list[str]]]:
    for place, folders, names in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if name not in {"__pycache__", "site-packages", "dist-packages", "test"}
        ]
        yield place, [name for name in names if not name.endswith(".pyc")]


def _copy(source: str, target: str) -> None:
    for place, names in _walk(source):
        into = target + place[len(source) :]
        os.makedirs(into, exist_ok=True)
        for name in names:
            if not name.endswith(_NATIVE):
                shutil.copyfile(f"{place}/{name}", f"{into}/{name}")
