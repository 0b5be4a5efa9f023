"""For child processes that activate their archive later than at the start of Python.

Where the wheel is installed, a child with ``LAZYIMPORT_HASH`` is activated before
the first line of its program runs. A program that first wants to count, limit or
refuse something gets the hash in `HASH_FOR_LATER` instead and begins with `SET_HASH`.
"""

from __future__ import annotations

__all__ = ["HASH_FOR_LATER", "SET_HASH"]

#: the variable that holds the hash until `SET_HASH` runs
HASH_FOR_LATER = "HASH_OF_THE_TEST"
SET_HASH = (
    f"import os; os.environ['LAZYIMPORT_HASH'] = os.environ.pop({HASH_FOR_LATER!r})\n"
)
