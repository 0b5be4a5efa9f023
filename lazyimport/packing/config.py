"""What ``[tool.lazyimport]`` of a project's pyproject.toml says."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from lazyimport.errors import PackError
from lazyimport.format.index import ALL_MINORS
from lazyimport.regular import open_regular

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Bytes of the largest pyproject.toml that is read.
_LARGEST = 1 << 20


@dataclass(frozen=True)
class Config:
    """How to pack, and what; docs/settings.md explains each field."""

    store: str | None = None
    manifest: str | None = None  # absolute
    app: str | None = None
    set_key: str | None = None
    check: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()  # absolute
    profile: tuple[str, ...] = ()  # absolute
    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    gitignore: bool = True
    python: tuple[str, ...] = ()
    optimize: tuple[int, ...] = (0,)
    materialize: tuple[str, ...] = ()
    in_memory: tuple[str, ...] = ()
    on_demand: tuple[str, ...] = ()
    requires_python: str | None = None
    follow_links: bool = False  # no file says so: it could bring in files of anybody

    def minors(self) -> int:
        """Return the bits of format.md section 3 for requires-python.

        Raises PackError.
        """
        if not self.requires_python:
            return ALL_MINORS
        try:
            allowed = SpecifierSet(self.requires_python)
        except InvalidSpecifier:
            raise PackError(
                f"requires-python is no version specifier: {self.requires_python!r}"
            ) from None
        # a minor version counts if any of its releases does
        return sum(
            1 << minor
            for minor in range(64)
            if any(f"3.{minor}.{micro}" in allowed for micro in range(100))
        )


def read_config(start_dir: str | os.PathLike[str]) -> Config:
    """Return the configuration in the nearest pyproject.toml from *start_dir* up.

    Without such a file, returns the defaults. Raises PackError with every key that
    is unknown or has a value of the wrong type.
    """
    folder = os.path.abspath(start_dir)
    while not os.path.isfile(path := os.path.join(folder, "pyproject.toml")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return Config()
        folder = parent
    try:
        with open(path, "rb", opener=open_regular) as file:
            text = file.read(_LARGEST + 1)
        if len(text) > _LARGEST:
            raise ValueError(f"it has more than {_LARGEST:,} bytes")
        document = tomllib.loads(text.decode())
    except (OSError, ValueError, RecursionError) as error:
        issues, values = [f"cannot be read: {error}"], dict[str, Any]()
    else:
        values, issues = _values(document, folder)
    if issues:
        lines = tuple(f"{path}: {issue}" for issue in issues)
        raise PackError("\n".join(lines), issues=lines)
    return Config(**values)


def _values(document: dict[str, Any], folder: str) -> tuple[dict[str, Any], list[str]]:
    issues: list[str] = []
    values: dict[str, Any] = {}

    def take(shown: str, key: str, value: object) -> None:
        is_valid, expected = _KEYS[key]
        if is_valid(value):
            fixed = tuple(value) if isinstance(value, list) else value
            values[key.replace("-", "_")] = fixed
        else:
            issues.append(f"{shown} must be {expected}, not {value!r}")

    def table(place: dict[str, Any], name: str, shown: str) -> dict[str, Any]:
        found = place.get(name, {})
        if isinstance(found, dict):
            return found
        issues.append(f"[{shown}] must be a table")
        return {}

    ours = table(table(document, "tool", "tool"), "lazyimport", "tool.lazyimport")
    for key, value in ours.items():
        name, shown = key.replace("_", "-"), f"[tool.lazyimport] {key}"
        if name in _KEYS:
            take(shown, name, value)
        else:
            near = get_close_matches(name, _KEYS, 1)
            known = f"did you mean {near[0]}?" if near else f"there are {_NAMES}"
            issues.append(f"{shown}: no such key; {known}")
    declared = table(document, "project", "project").get("requires-python")
    if declared is not None and "requires_python" not in values:
        take("[project] requires-python", "requires-python", declared)

    for key in ("roots", "profile", "manifest"):
        if key in values:
            names = [values[key]] if key == "manifest" else values[key]
            issues += _outside(folder, key, names)
            paths = tuple(os.path.join(folder, name) for name in names)
            values[key] = paths[0] if key == "manifest" else paths
    return values, issues


def _outside(folder: str, key: str, names: Iterable[str]) -> Iterator[str]:
    """Yield what is wrong with paths that do not lie below *folder*.

    Whoever writes a tree would have other files of this machine packed, or changed.
    """
    inside = os.path.realpath(folder)
    for name in names:
        if "\0" in name:
            yield f"[tool.lazyimport] {key}: {name!r} is no path: it has a NUL in it"
            continue
        path = os.path.realpath(os.path.join(folder, name))
        if os.path.commonpath([inside, path]) != inside:
            yield (
                f"[tool.lazyimport] {key}: {name} is not below {folder}; name it as an "
                "argument"
            )


def _is_list(value: object, pattern: str) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, str) and re.fullmatch(pattern, item, re.DOTALL)
        for item in value
    )


def _is_specifier(value: object) -> bool:
    try:
        return isinstance(value, str) and SpecifierSet(value) is not None
    except InvalidSpecifier:
        return False


_STRING = (lambda value: isinstance(value, str) and value != ""), "a string"
_STRINGS = (lambda value: _is_list(value, ".+")), "a list of strings"
_KEYS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "store": (
        lambda value: (
            isinstance(value, str)
            and re.fullmatch(r"[a-z0-9]+://[!-~]+", value) is not None
        ),
        "the URL of a store",
    ),
    "manifest": _STRING,
    "app": _STRING,
    "set-key": _STRING,
    "check": _STRINGS,
    "roots": _STRINGS,
    "profile": _STRINGS,
    "exclude": _STRINGS,
    "include": _STRINGS,
    "gitignore": (lambda value: isinstance(value, bool), "true or false"),
    # Not a path: whoever writes a tree would have a program of theirs run here.
    "python": (
        lambda value: _is_list(value, r"3\.\d+(\.\d+)?"),
        'a list of versions such as "3.11"; name a path with --python',
    ),
    "optimize": (
        lambda value: (
            isinstance(value, list)
            and bool(value)
            and all(type(level) is int and 0 <= level <= 2 for level in value)
        ),
        "a list of 0, 1 or 2",
    ),
    "materialize": _STRINGS,
    "in-memory": _STRINGS,
    "on-demand": _STRINGS,
    "requires-python": (_is_specifier, 'a version specifier such as ">=3.10"'),
}
_NAMES = ", ".join(sorted(_KEYS))
