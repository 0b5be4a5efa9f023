"""How projects lay out their sources, and what is packed by default."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from itertools import islice

from lazyimport.errors import PackError
from lazyimport.packing.config import read_config
from lazyimport.regular import open_regular

PROJECT = ("pyproject.toml", "setup.py", "setup.cfg")
_SOME = 200
#: Bytes that are read of a source.
_LARGEST = 1 << 20
_IMPORTS_SRC = re.compile(rb"^[ \t]*(?:from|import)[ \t]+src\b", re.MULTILINE)


def choose_roots(roots: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Return the paths of *roots*, or what is packed if there are none.

    That is what ``[tool.lazyimport] roots`` of the nearest pyproject.toml names, else
    the ``src`` of a project here that has its packages there, else the current
    directory. Raises PackError for a bad pyproject.toml.
    """
    places = [os.fspath(root) for root in roots]
    if not places:
        places = list(read_config(".").roots)
        for place in places:
            if not os.path.lexists(place):
                what = f"[tool.lazyimport] roots names {place}"
                raise PackError(f"{what}, where there is no file and no folder")
    if places:
        return places
    src = source_folder(".")
    files = (
        os.path.join(folder, name)
        for folder, _, names in os.walk(src)
        for name in names
        if name.endswith(".py")
    )
    return ["."] if imports_src(files) else [src]


def source_folder(project: str) -> str:
    """Return ``src`` in *project* if that has its packages there, else *project*."""
    src = os.path.join(project, "src")
    if is_project(project) and os.path.isdir(src) and not is_package(src):
        return src
    return project


def source_folders(paths: Collection[str]) -> dict[str, str]:
    """Return each ``src`` of a project among the archive's *paths*, with a name in it.

    That of the project at the top, or else those of projects further down, if no
    package is at the top: in a repository that has several.
    """
    found: dict[str, str] = {}
    for path in sorted(paths):
        project, slash, below = f"/{path}".partition("/src/")
        project, name = project[1:], below.partition("/")[0].removesuffix(".py")
        if slash and path.endswith(".py") and name != "__init__":
            marks = (f"{project}/{mark}" for mark in PROJECT)
            if not project or any(mark in paths for mark in marks):
                found.setdefault(f"{project}/src".lstrip("/"), name)
    if "src" in found:
        return {"src": found["src"]}
    at_top = (path.partition("/")[2] == "__init__.py" for path in paths)
    return {} if any(at_top) else found


def is_package(folder: str) -> bool:
    """Whether *folder* is a package, and not a namespace or a folder of packages."""
    return os.path.isfile(os.path.join(folder, "__init__.py"))


def is_project(folder: str) -> bool:
    """Whether *folder* is the top of a project that can be installed."""
    return any(os.path.isfile(os.path.join(folder, name)) for name in PROJECT)


def imports_src(files: Iterable[str]) -> bool:
    """Whether any of the sources *files* imports from a package ``src``.

    Looks into some of them: where that is usual, many do.
    """
    for path in islice(files, _SOME):
        try:
            with open(path, "rb", opener=open_regular) as file:
                if _IMPORTS_SRC.search(file.read(_LARGEST)):
                    return True
        except OSError:
            pass  # packing it reports that
    return False
