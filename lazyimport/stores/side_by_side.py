"""Calls side by side: requests of which none depends on the answer to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def side_by_side(*calls: Callable[[], Any], at_once: int = 16) -> list[Any]:
    """Return what each of *calls* returns, so many *at_once*, each in a thread.

    All have ended on return. Raises what the first of them raises.
    """
    if len(calls) < 2:
        return [call() for call in calls]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(len(calls), at_once)) as pool:
        return [each.result() for each in [pool.submit(call) for call in calls]]
