"""What a person sees on stderr while something takes its time."""

from __future__ import annotations

import os
import sys
import time

from lazyimport.reporting import Reporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, TextIO

__all__ = ["Notes", "paint"]

_BOLD, _DIM, _YELLOW = "1", "2", "33"
STYLES = {"bold": _BOLD, "dim": _DIM, "warning": _YELLOW}
_SECONDS_BETWEEN = 0.05


def is_terminal(stream: TextIO | None) -> bool:
    """Whether *stream* shows what is written to a person, and can rewrite a line."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, stream: TextIO) -> str:
    """Return *text* in a style, where *stream* shows styles (no-color.org)."""
    if os.environ.get("NO_COLOR") or not is_terminal(stream):
        return text
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m"


class Notes(Reporter):
    """Lines on stderr, and below them at most one that is overwritten: progress.

    Progress shows on a terminal only, so that logs hold no half lines.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._stream = sys.stderr
        self._quiet = quiet
        self._live = not quiet and is_terminal(sys.stderr)
        self._next = 0.0
        self._shown = False

    def progress(self, what: str, done: int, total: int) -> None:
        """Show that *done* of *total* are through; the last one clears the line."""
        if not self._live:
            return
        now = time.monotonic()
        if done >= total:
            self.clear()
        elif now >= self._next:
            self._next = now + _SECONDS_BETWEEN
            text = f"{what} {done} of {total}"
            self._stream.write(f"\r\x1b[K{text[: _columns() - 1]}")
            self._stream.flush()
            self._shown = True

    def step(
        self,
        text: str,
        done: int | None = None,
        total: int | None = None,
        unit: Literal["items", "bytes"] = "items",  # noqa: ARG002
    ) -> None:
        """Show what a call is doing, and how far it is."""
        if done is None or total is None:
            self.wait(text)
        else:
            self.progress(text, done, total)

    def wait(self, what: str) -> None:
        """Show *what* is going on until the next line."""
        if self._live:
            self._stream.write(f"\r\x1b[K{what[: _columns() - 5]} ...")
            self._stream.flush()
            self._shown = True

    def say(self, text: str) -> None:
        """Print a line, unless told to be quiet."""
        if not self._quiet:
            self._print(text)

    def warn(self, text: str) -> None:
        """Print a warning, also when told to be quiet."""
        self._print(paint("warning: ", "warning", self._stream) + text)

    def clear(self) -> None:
        """Remove the line of progress, if there is one."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False

    def _print(self, text: str) -> None:
        if self._stream is not None:
            self.clear()
            print(text, file=self._stream, flush=True)


def _columns() -> int:
    from shutil import get_terminal_size

    return max(get_terminal_size().columns, 20)
