"""Reporting: what a library call shows a person while it is still working.

Library calls return values and never print. What cannot wait for the result goes
to the `Reporter` that they take: warnings, and how far they have come.
"""

from __future__ import annotations

import sys
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

__all__ = ["SILENT", "WARNINGS", "Reporter"]

#: Seconds that a step takes before a line says so, and between two such lines.
_LONG, _BETWEEN = 10.0, 30.0


class Reporter:
    """Receives what a call reports, and shows none of it.

    Subclass it and override what should be shown. Calls may come from any
    thread, and must not raise.
    """

    def warn(self, text: str) -> None:
        """Take *text*, which a person should know although the call goes on."""

    def step(
        self,
        text: str,
        done: int | None = None,
        total: int | None = None,
        unit: Literal["items", "bytes"] = "items",
    ) -> None:
        """Take *text*, what the call is doing now, and how much of it is *done*.

        *total* is None while it is unknown. The step is over
        when *done* reaches *total*, when another one begins, or when the call
        returns or raises.
        """


class Lines(Reporter):
    """Passes warnings to *warn*, and to *say* now and then how far a long step is."""

    def __init__(
        self, warn: Callable[[str], object], say: Callable[[str], object]
    ) -> None:
        self._warn = warn
        self._say = say
        self._text = ""
        self._next = 0.0

    def warn(self, text: str) -> None:
        """Pass *text* on."""
        self._warn(text)

    def step(
        self,
        text: str,
        done: int | None = None,
        total: int | None = None,
        unit: Literal["items", "bytes"] = "items",
    ) -> None:
        """Say how far the step is, unless it is new or that was said lately."""
        now = monotonic()
        if text != self._text:
            self._text, self._next = text, now + _LONG
        elif now >= self._next and done is not None and total and done < total:
            self._next = now + _BETWEEN
            self._say(f"{text}: {100 * done // total} % of {total} {unit}")


class _Warnings(Reporter):
    """Turns warnings into Python's own, at the line that called lazyimport."""

    def warn(self, text: str) -> None:
        from warnings import warn

        # skip_file_prefixes would do the same, from Python 3.12 on
        frame, level = sys._getframe(1), 2  # noqa: SLF001
        while frame.f_back and frame.f_globals.get("__name__", "").startswith(
            "lazyimport"
        ):
            frame, level = frame.f_back, level + 1
        warn(text, RuntimeWarning, stacklevel=level)


#: Reports nothing.
SILENT = Reporter()
#: Issues a RuntimeWarning for each warning, and shows no progress.
WARNINGS = _Warnings()
