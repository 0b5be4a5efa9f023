"""How often a robustness test repeats: a few times, or many when that is asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from random import Random

__all__ = ["FULL", "FUZZ_SECONDS", "fuzz", "scaled"]

FULL = os.environ.get("LAZYIMPORT_TEST_FULL", "") not in {"", "0"}
#: For how long each fuzzing test runs; 0 for so many rounds as it says itself.
FUZZ_SECONDS = float(os.environ.get("LAZYIMPORT_TEST_FUZZ_SECONDS") or 0)
_SEED = os.environ.get("LAZYIMPORT_TEST_FUZZ_SEED", "")


def scaled(small: int, full: int) -> int:
    """Return *full* if ``LAZYIMPORT_TEST_FULL=1`` is set, else *small*."""
    return full if FULL else small


def fuzz(name: str, count: int, once: Callable[[Random], object]) -> None:
    """Call *once* again and again, with a source of chance that differs each time.

    That is *count* times, the same in each run; or for so long as
    ``LAZYIMPORT_TEST_FUZZ_SECONDS`` says, and other ones in each run. If a round
    fails, its seed is printed; ``LAZYIMPORT_TEST_FUZZ_SEED`` repeats that one alone.
    """
    end = time.monotonic() + FUZZ_SECONDS
    run = os.urandom(4).hex() if FUZZ_SECONDS else name
    number = 0
    while time.monotonic() < end if FUZZ_SECONDS else number < count:
        seed = _SEED or f"{run}-{number}"
        try:
            once(Random(seed))
        except BaseException:
            print(f"LAZYIMPORT_TEST_FUZZ_SEED={seed}")
            raise
        number += 1
        if _SEED:
            return
