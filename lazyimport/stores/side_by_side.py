"""Calls side by side: requests of which none depends on the answer to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def side_by_side(
    *calls: Callable[[], Any],
    at_once: int = 16,
    stop: Callable[[], object] = lambda: None,
) -> list[Any]:
    """Return what each of *calls* returns; *at_once* of them run at a time, in threads.

    After the first error no other call begins, and *stop* is called, which may tell
    those that run to end. The error is raised when all have ended.
    """
    if len(calls) < 2:
        return [call() for call in calls]
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    with ThreadPoolExecutor(min(len(calls), at_once)) as pool:
        try:
            running = [pool.submit(call) for call in calls]
            wait(running, return_when=FIRST_EXCEPTION)
            return [each.result() for each in running if each.done()]
        except BaseException:  # Ctrl-C, too
            stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
