"""What ``[tool.lazyimport]`` of a project's pyproject.toml says about packing.

.. code-block:: toml

    [tool.lazyimport]
    exclude = ["notebooks/", "*.csv"]     # gitignore patterns, on archive paths
    include = ["pkg/_version.py"]         # these stay, whatever else drops them
    gitignore = true                      # respect .gitignore files
    roots = ["src"]                       # what is packed if nobody names anything
    python = ["3.11", "3.12"]             # bytecode for these
    optimize = [0]                        # at these levels
    materialize = ["matplotlib"]          # patterns: packages with these are on disk
    in-memory = ["weights"]               # packages that never get any (or in_memory)
    requires-python = ">=3.11"            # default: [project] requires-python
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from lazyimport.errors import PackError
from lazyimport.format.index import ALL_MINORS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Config:
    """How to pack; the docstring of the module explains each field."""

    roots: tuple[str, ...] = ()  # absolute
    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    gitignore: bool = True
    python: tuple[str, ...] = ()
    optimize: tuple[int, ...] = (0,)
    materialize: tuple[str, ...] = ()
    in_memory: tuple[str, ...] = ()
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
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except (OSError, ValueError) as error:
        issues = [f"cannot be read: {error}"]
        values: dict[str, object] = {}
    else:
        values, issues = _values(document)
        roots, outside = _roots_below(folder, values.get("roots", ()))
        values["roots"] = roots
        issues += outside
    if issues:
        lines = tuple(f"{path}: {issue}" for issue in issues)
        raise PackError("\n".join(lines), issues=lines)
    return Config(**values)  # type: ignore[arg-type]


def _values(document: dict[str, object]) -> tuple[dict[str, object], list[str]]:
    """Return the arguments of `Config`, and everything that is wrong."""
    issues: list[str] = []
    tool = _table(document, "tool", "[tool]", issues)
    project = _table(document, "project", "[project]", issues)
    table = _table(tool, "lazyimport", "[tool.lazyimport]", issues)
    values: dict[str, object] = {}
    for key, value in table.items():
        form = _KEYS.get(key.replace("_", "-"))
        if form is None:
            known = ", ".join(sorted(_KEYS))
            issues.append(f"[tool.lazyimport] {key}: no such key (there are {known})")
            continue
        is_valid, expected = form
        if is_valid(value):
            fixed = tuple(value) if isinstance(value, list) else value
            values[key.replace("-", "_")] = fixed
        else:
            issues.append(f"[tool.lazyimport] {key} must be {expected}, not {value!r}")
    declared = project.get("requires-python")
    if declared is not None and not _is_specifier(declared):
        if "requires_python" not in values:
            issues.append(f"[project] requires-python must be {_SPECIFIER}")
    elif declared is not None:
        values.setdefault("requires_python", declared)
    return values, issues


def _roots_below(folder: str, names: Any) -> tuple[tuple[str, ...], list[str]]:
    """Return the paths of *names*, and what is wrong with those not below *folder*.

    Whoever writes a tree would have other files of this machine packed.
    """
    roots = {name: os.path.join(folder, name) for name in names}
    inside = os.path.realpath(folder)
    outside = [
        f"[tool.lazyimport] roots: {name} is not below {folder}; name it as an argument"
        for name, root in roots.items()
        if os.path.commonpath([inside, os.path.realpath(root)]) != inside
    ]
    return tuple(roots.values()), outside


def _table(
    document: dict[str, object], key: str, shown: str, issues: list[str]
) -> dict[str, object]:
    value = document.get(key, {})
    if isinstance(value, dict):
        return value
    issues.append(f"{shown} must be a table")
    return {}


def _is_strings(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, str) and item for item in value
    )


def _is_versions(value: object) -> bool:
    return _is_strings(value) and all(
        re.fullmatch(r"3\.\d+(\.\d+)?", version)
        for version in value  # type: ignore[attr-defined]
    )


def _is_levels(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(type(item) is int and item in {0, 1, 2} for item in value)
    )


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_specifier(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        SpecifierSet(value)
    except InvalidSpecifier:
        return False
    return True


_STRINGS = (_is_strings, "a list of strings")
_SPECIFIER = 'a version specifier such as ">=3.10"'
_KEYS: dict[str, tuple[Callable[[object], bool], str]] = {
    "roots": _STRINGS,
    "exclude": _STRINGS,
    "include": _STRINGS,
    "gitignore": (_is_bool, "true or false"),
    # Not a path: whoever writes a tree would have a program of theirs run here.
    "python": (
        _is_versions,
        'a list of versions such as "3.11"; name a path with --python',
    ),
    "optimize": (_is_levels, "a list of 0, 1 or 2"),
    "materialize": _STRINGS,
    "in-memory": _STRINGS,
    "requires-python": (_is_specifier, _SPECIFIER),
}
