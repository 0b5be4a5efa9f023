"""Whether an archive runs here: with this Python, on this platform."""

from __future__ import annotations

import re
import sys
from importlib.machinery import EXTENSION_SUFFIXES

from lazyimport.delivery.contents import Contents
from lazyimport.errors import WrongPython

_TAGGED = re.compile(r"\.cpython-[^/]*\.(so|pyd)$")


def require_fit(contents: Contents) -> None:
    """Raise WrongPython if the archive is for another Python or platform.

    Native files with a Python in their names must be for this one.
    """
    hash, minor = contents.index.hash, sys.version_info.minor
    if not contents.index.minors >> minor & 1:
        raise WrongPython(
            f"it is for {contents.runs_on}, and this is 3.{minor}; use an image with "
            "such a Python, or push with another requires-python",
            hash=hash,
        )
    ours = tuple(suffix for suffix in EXTENSION_SUFFIXES if suffix.count(".") > 1)
    for entry in contents.files:
        if _TAGGED.search(entry.path) and not entry.path.endswith(ours):
            raise WrongPython(
                f"{entry.path} is for another Python or platform; push with --platform "
                "and --python of this machine",
                hash=hash,
            )
