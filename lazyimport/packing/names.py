"""Names that no archive may have, and names that some file systems confuse."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

_UNUSUAL = re.compile(r"[^ -\[\]-~]")  # a backslash, a control character, not ASCII
_FORBIDDEN = re.compile(r"[\\\x00-\x1f\x7f-\x9f]")


def forbidden_in(name: str) -> str:
    """Return what is wrong with *name*, "" if nothing is; it may be a whole path."""
    if not _UNUSUAL.search(name):
        return ""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    if _FORBIDDEN.search(name):
        return "has a backslash or a control character in it"
    return ""


def directories_of(paths: Iterable[str]) -> set[str]:
    """Return the directories that *paths* lie in, up to the top, which is ``""``."""
    found = {""}
    for path in paths:
        directory = path.rpartition("/")[0]
        while directory not in found:
            found.add(directory)
            directory = directory.rpartition("/")[0]
    return found


def collisions(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of *paths* that differ only in case or in the form of accents.

    The second one of a pair comes later in *paths*. Only names in the same directory
    are compared: what lies in two directories that collide does too.
    """
    first: dict[str, str] = {}
    for path in paths:
        directory, slash, name = path.rpartition("/")
        if not name.isascii():
            name = unicodedata.normalize("NFC", name)
        other = first.setdefault(directory + slash + name.casefold(), path)
        if other != path:
            yield other, path
