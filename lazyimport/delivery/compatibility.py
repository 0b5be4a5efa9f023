"""Whether an archive is for the Python and the platform that is to run it."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import MAGIC_NUMBER
from typing import NamedTuple

from lazyimport.delivery.contents import Contents
from lazyimport.errors import WrongPython

_TAGGED = re.compile(r"\.cpython-[^/]*\.(so|pyd)$")


class Python(NamedTuple):
    """A Python that is to run archives, *where* for people.

    ``suffixes`` are those of native modules that it loads; ``tag`` and ``magic``, in
    hex digits, are of the bytecode that it reads.
    """

    where: str
    minor: int
    tag: str
    magic: str
    suffixes: Sequence[str]

    def has_bytecode(self, contents: Contents) -> bool:
        """Return whether the archive has bytecode, so that no node compiles it."""
        level, magic = sys.flags.optimize, bytes.fromhex(self.magic)
        return contents.index.variant(self.tag, magic, level) >= 0


def this_python(where: str = "this machine") -> Python:
    """Return the Python of this process."""
    tag, minor = str(sys.implementation.cache_tag), sys.version_info.minor
    return Python(where, minor, tag, MAGIC_NUMBER.hex(), EXTENSION_SUFFIXES)


def require_fit(contents: Contents, python: Python | None = None) -> None:
    """Raise WrongPython if the archive is for another Python or platform.

    That is *python*, by default this one. Native files with a Python in their names
    must be for it.
    """
    python = python or this_python()
    hash, minor = contents.index.hash, python.minor
    if not contents.index.minors >> minor & 1:
        raise WrongPython(
            f"it is for {contents.runs_on}, and {python.where} has Python 3.{minor}; use "
            "an image with such a Python, or push with another requires-python",
            hash=hash,
        )
    theirs = tuple(suffix for suffix in python.suffixes if suffix.count(".") > 1)
    for entry in contents.files:
        if _TAGGED.search(entry.path) and not entry.path.endswith(theirs):
            raise WrongPython(
                f"{entry.path} is for another Python or platform than that of "
                f"{python.where} ({theirs[0]}); push with its --platform and --python",
                hash=hash,
            )
