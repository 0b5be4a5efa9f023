"""How often a robustness test repeats: a few times, or many when that is asked for."""

from __future__ import annotations

import os

__all__ = ["FULL", "scaled"]

FULL = os.environ.get("LAZYIMPORT_TEST_FULL", "") not in {"", "0"}


def scaled(small: int, full: int) -> int:
    """Return *full* if ``LAZYIMPORT_TEST_FULL=1`` is set, else *small*."""
    return full if FULL else small
