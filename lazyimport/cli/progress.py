"""What a library call reports, shown on stderr while it takes its time."""

from __future__ import annotations

import sys
from threading import Lock

from lazyimport.cli import console
from lazyimport.reporting import Reporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from rich.progress import Progress as Bar, TaskID


class Progress(Reporter):
    """Prints warnings as lines; on a terminal, shows below them how far a step is.

    A context manager: with its end the step disappears, and lines stay. With
    *quiet*, only warnings show.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live = not quiet and console.is_live(sys.stderr)
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._text = ""
        self._lock = Lock()

    def say(self, text: str) -> None:
        """Print a line, unless told to be quiet."""
        if not self._quiet:
            self._clear()
            console.say(text)

    def warn(self, text: str) -> None:
        """Print a warning, also when told to be quiet."""
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
        with self._lock:
            if done is not None and done == total:
                self._remove()
            else:
                self._show(text, done, total, unit)

    def _show(self, text: str, done: int | None, total: int | None, unit: str) -> None:
        if self._bar is None:
            self._bar = _make_bar()
            self._bar.start()
        if self._task is None or text != self._text:
            self._remove()
            self._text = text
            shown = console.escaped(text)
            self._task = self._bar.add_task(
                shown, total=total, completed=done or 0, unit=unit
            )
        else:
            self._bar.update(self._task, total=total, completed=done or 0, unit=unit)

    def _remove(self) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.remove_task(self._task)
        self._task = None

    def _clear(self) -> None:
        with self._lock:
            self._remove()
            if self._bar is not None:
                self._bar.stop()
            self._bar = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()


def _make_bar() -> Bar:
    """Return a bar: text, how much, and for bytes the rate; then the time."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.text import Text

    class Amount(ProgressColumn):
        """How much of a task is done, in bytes with their rate, or in numbers."""

        def __init__(self) -> None:
            super().__init__()
            self._bytes = DownloadColumn(), TransferSpeedColumn()
            self._items = MofNCompleteColumn()

        def render(self, task: Task) -> Text:
            if task.fields["unit"] == "bytes":
                return Text("  ").join(column.render(task) for column in self._bytes)
            return self._items.render(task) if task.total else Text()

    class Time(TimeRemainingColumn):
        """The time left; the time so far while nobody knows how much there is."""

        def render(self, task: Task) -> Text:
            if task.total is not None:
                return super().render(task)
            return Text(f"{task.elapsed or 0:.1f} s", style="progress.elapsed")

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        Amount(),
        Time(compact=True),
        console=console.console(sys.stderr),
        transient=True,
    )
