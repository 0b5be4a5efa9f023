"""What a library call reports, shown on stderr while it takes its time."""

from __future__ import annotations

import sys
from threading import Lock

from lazyimport.cli import console
from lazyimport.reporting import Reporter
from lazyimport.values import escaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from rich.progress import Progress as Bar


class Progress(Reporter):
    """Prints warnings as lines; on a terminal, shows below them how far a step is.

    A context manager: with its end the step disappears, and lines stay. With
    *quiet*, only warnings and the end show.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._live = not quiet and console.is_live(sys.stderr)
        self._bar: Bar | None = None
        self._shown: tuple[object, ...] = ()
        self._lock = Lock()

    def say(self, text: str) -> None:
        """Print a line, unless quiet."""
        if not self.quiet:
            self._clear()
            console.say(text)

    def conclude(self, text: str) -> None:
        """Print what came of it, also when quiet."""
        self._clear()
        console.say(text)

    def warn(self, text: str) -> None:
        """Print a warning, also when quiet."""
        self._clear()
        console.warn(text)

    def step(
        self,
        text: str,
        done: int | None = None,
        total: int | None = None,
        unit: Literal["items", "bytes"] = "items",
    ) -> None:
        """Show *text* and how much is done, until another step or a line comes."""
        if not self._live:
            return
        shown = text, total, unit
        over = done is not None and done == total
        with self._lock:
            if over or shown != self._shown:
                self._stop()
            if not over:
                self._shown = shown
                self._bar = self._bar or _start_bar(*shown)
                self._bar.update(self._bar.task_ids[0], completed=done or 0)

    def _clear(self) -> None:
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()


def _start_bar(text: str, total: int | None, unit: str) -> Bar:
    """Show a bar: text, how much, and for bytes the rate; then the time.

    That is the time left, or the time so far while the total is unknown.
    """
    from rich import progress

    columns = [
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=30),
    ]
    if unit == "bytes":
        columns += [progress.DownloadColumn(), progress.TransferSpeedColumn()]
    elif total is not None:
        columns.append(progress.MofNCompleteColumn())
    left = progress.TimeRemainingColumn(compact=True)
    columns.append(progress.TimeElapsedColumn() if total is None else left)
    bar = progress.Progress(
        *columns, console=console.console(sys.stderr), transient=True
    )
    bar.add_task(escaped(text), total=total)
    bar.start()
    return bar
