"""Where the modules of an unpacked container are, and how it wants to be packed.

A **wheel** is laid out as it would be installed: what is in ``NAME.data/purelib``
and ``platlib`` goes to the top, its scripts, headers and data stay behind,
``*.dist-info`` stays, and its ``Requires-Python`` holds.

Anything else is taken as if the container itself were on ``sys.path``, with two
exceptions for archives of a whole project:

1. One single folder at the top, as GitHub and ``python -m build`` make it, is
   left out if no import statement can name it (``shop-1.2``), or if it is a
   project (a ``pyproject.toml``, ``setup.py`` or ``setup.cfg`` in it) and no package.
2. A project's ``src/`` is taken in place of the project if it is no package.

A *subdirectory* is taken as it is, without any of this.

``[tool.lazyimport]`` of a project's pyproject.toml counts, and ``.gitignore``
files do not: what somebody put into a container was meant to be there.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from typing import NamedTuple

from lazyimport.errors import PackError
from lazyimport.packing.config import Config, read_config

__all__ = ["Layout", "find_layout"]

_PROJECT = ("pyproject.toml", "setup.py", "setup.cfg")
_JUNK = "__MACOSX"  # what the Finder puts beside the files


class Layout(NamedTuple):
    """``roots`` to be packed as one tree, absolute, and the ``config`` for it."""

    roots: tuple[str, ...]
    config: Config


def find_layout(folder: str, suffix: str, subdirectory: str, what: str) -> Layout:
    """Return the layout of the container unpacked in *folder*, which may change.

    *suffix* is that of the container and *what* its name in messages. Raises
    PackError for a *subdirectory* that is not there, or a bad pyproject.toml.
    """
    shutil.rmtree(os.path.join(folder, _JUNK), ignore_errors=True)
    if subdirectory:
        top = project = os.path.join(folder, subdirectory)
        if not os.path.isdir(top):
            there = ", ".join(sorted(os.listdir(folder))[:5])
            raise PackError(
                f"{what} has no folder {subdirectory!r}; at its top are: {there}"
            )
    elif suffix == ".whl":
        return _wheel(folder, what)
    else:
        project = _without_top(folder)
        top = _without_src(project)
    config = Config()
    if os.path.isfile(os.path.join(project, "pyproject.toml")):
        config = read_config(project)
    _drop_init(top)
    return Layout((top,), replace(config, gitignore=False))


def _without_top(folder: str) -> str:
    names = os.listdir(folder)
    top = os.path.join(folder, names[0]) if len(names) == 1 else ""
    if not os.path.isdir(top):
        return folder
    if names[0].isidentifier() and (_is_package(top) or not _is_project(top)):
        return folder
    return top


def _without_src(project: str) -> str:
    src = os.path.join(project, "src")
    if _is_project(project) and os.path.isdir(src) and not _is_package(src):
        return src
    return project


def _wheel(folder: str, what: str) -> Layout:
    roots = [folder]
    config = Config(gitignore=False)
    for number, name in enumerate(sorted(os.listdir(folder))):
        place = os.path.join(folder, name)
        if name.endswith(".data"):
            aside = f"{folder}.{number}"
            os.rename(place, aside)
            kinds = (os.path.join(aside, kind) for kind in ("purelib", "platlib"))
            roots += filter(os.path.isdir, kinds)
        elif name.endswith(".dist-info"):
            requires = _requires_python(os.path.join(place, "METADATA"), what)
            config = replace(config, requires_python=requires)
    for root in roots:
        _drop_init(root)
    return Layout(tuple(roots), config)


def _requires_python(metadata: str, what: str) -> str | None:
    from email.parser import BytesHeaderParser

    try:
        with open(metadata, "rb") as file:
            value = BytesHeaderParser().parse(file)["Requires-Python"]
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise PackError(
            f"{what} is no wheel: it has no METADATA in its .dist-info"
        ) from None
    return str(value) if value else None


def _drop_init(top: str) -> None:
    # On sys.path it would be nobody's; to the packer it says that top is a package.
    path = os.path.join(top, "__init__.py")
    if os.path.lexists(path):
        os.unlink(path)


def _is_package(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, "__init__.py"))


def _is_project(folder: str) -> bool:
    return any(os.path.isfile(os.path.join(folder, name)) for name in _PROJECT)
