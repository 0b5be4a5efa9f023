"""Where a command finds modules: the standard library's in the standard library.

With ``python -m lazyimport`` the current directory comes first in `sys.path`, and what
PYTHONPATH names always does. A ``types.py`` there would be taken for Python's.
"""

from __future__ import annotations

import os
import sys

_moved: list[str] = []


def prefer_standard_library() -> None:
    """Put what comes before the standard library in `sys.path` behind it."""
    home = os.path.dirname(os.__file__)
    if home not in sys.path:
        return  # as in a program that has Python in it
    first = last = sys.path.index(home)
    while last < len(sys.path) and sys.path[last] in {home, f"{home}/lib-dynload"}:
        last += 1
    _moved[:] = sys.path[:first]
    sys.path[:] = sys.path[first:last] + _moved + sys.path[last:]


def search_as_python() -> None:
    """Put `sys.path` back, for a program that is run."""
    rest = list(sys.path)
    for path in _moved:
        if path in rest:
            rest.remove(path)
    sys.path[:] = _moved + rest
    _moved.clear()
