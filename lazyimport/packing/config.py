"""What ``[tool.lazyimport]`` of a project's pyproject.toml says about packing.

.. code-block:: toml

    [tool.lazyimport]
    exclude = ["notebooks/", "*.csv"]     # gitignore patterns, on archive paths
    include = ["pkg/_version.py"]         # these stay, whatever else drops them
    gitignore = true                      # heed .gitignore files
    python = ["3.11", "3.12"]             # bytecode for these
    optimize = [0]                        # at these levels
    materialize = ["matplotlib"]          # packages that need real files
    in-memory = ["weights"]               # packages that never get any (or in_memory)
    requires-python = ">=3.11"            # default: [project] requires-python
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from lazyimport.errors import PackError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Config", "read_config"]

OPTIMIZATIONS = (0, 1, 2)


@dataclass(frozen=True)
class Config:
    """How to pack; the module's docstring has the meaning of each field."""

    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    gitignore: bool = True
    python: tuple[str, ...] = ()
    optimize: tuple[int, ...] = (0,)
    materialize: tuple[str, ...] = ()
    in_memory: tuple[str, ...] = ()
    requires_python: str | None = None


def read_config(start_dir: str | os.PathLike[str]) -> Config:
    """Return the configuration in the nearest pyproject.toml from *start_dir* up.

    Without such a file, the defaults. Raises PackError with every key that is not
    known or has a value of the wrong type.
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
        raise _error(path, [f"cannot be read: {error}"]) from error
    return _config(path, document)


def _config(path: str, document: dict[str, object]) -> Config:
    issues: list[str] = []
    tables: list[dict[str, object]] = []
    for name, value in (
        ("tool", document.get("tool", {})),
        ("project", document.get("project", {})),
    ):
        tables.append(value if isinstance(value, dict) else {})
        if not isinstance(value, dict):
            issues.append(f"[{name}] must be a table")
    tool, project = tables
    table = tool.get("lazyimport", {})
    if not isinstance(table, dict):
        issues.append("[tool.lazyimport] must be a table")
        table = {}
    values: dict[str, object] = {}
    for key, value in table.items():
        form = _KEYS.get(key.replace("_", "-"))
        if form is None:
            known = ", ".join(sorted(_KEYS))
            issues.append(f"[tool.lazyimport] {key}: no such key (there are {known})")
            continue
        holds, expected = form
        if holds(value):
            fixed = tuple(value) if isinstance(value, list) else value
            values[key.replace("-", "_")] = fixed
        else:
            issues.append(f"[tool.lazyimport] {key} must be {expected}, not {value!r}")
    declared = project.get("requires-python")
    if "requires_python" not in values and declared is not None:
        if _is_specifier(declared):
            values["requires_python"] = declared
        else:
            issues.append(f"[project] requires-python must be {_SPECIFIER}")
    if issues:
        raise _error(path, issues)
    return Config(**values)  # type: ignore[arg-type]


def _error(path: str, issues: list[str]) -> PackError:
    lines = tuple(f"{path}: {issue}" for issue in issues)
    return PackError("\n".join(lines), issues=lines)


def _is_strings(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, str) and item for item in value
    )


def _is_levels(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(type(item) is int and item in OPTIMIZATIONS for item in value)
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
    "exclude": _STRINGS,
    "include": _STRINGS,
    "gitignore": (_is_bool, "true or false"),
    "python": _STRINGS,
    "optimize": (_is_levels, "a list of 0, 1 or 2"),
    "materialize": _STRINGS,
    "in-memory": _STRINGS,
    "requires-python": (_is_specifier, _SPECIFIER),
}
