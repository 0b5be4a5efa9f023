"""Children that are given their archive by their own first line.

Where the wheel is installed, a child with ``LAZYIMPORT_HASH`` is activated before
its first line, which is too late for one that wants to count, limit or refuse.
"""

from __future__ import annotations

__all__ = ["HASH", "LATE"]

#: variable that names the archive
HASH = "HASH_OF_THE_TEST"
LATE = f"import os; os.environ['LAZYIMPORT_HASH'] = os.environ.pop({HASH!r})\n"
