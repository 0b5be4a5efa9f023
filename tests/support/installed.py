"""Copies of the distributions in the environment of the tests, as roots to pack."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def are_installed(names: Iterable[str]) -> bool:
    """Whether all the distributions *names* are installed."""
    try:
        return all(distribution(name) for name in names)
    except PackageNotFoundError:
        return False


def copy_installed(names: Iterable[str], folder: Path) -> list[str]:
    """Copy the distributions *names* and all that they require to *folder*.

    Returns the files of *names* only, relative to *folder*.
    """
    own = []
    rest, seen = [(name, True) for name in names], set()
    while rest:
        name, asked_for = rest.pop(0)
        if canonicalize_name(name) in seen:
            continue
        seen.add(canonicalize_name(name))
        found = distribution(name)
        for file in found.files or ():
            path = Path(os.path.normpath(file))
            if path.parts[0] == ".." or "__pycache__" in path.parts:
                continue
            source = Path(str(found.locate_file(file)))
            if source.is_file():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, folder / path)
                if asked_for:
                    own.append(path.as_posix())
        for text in found.requires or ():
            requirement = Requirement(text)
            if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
                rest.append((requirement.name, False))
    return own
