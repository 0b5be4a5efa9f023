"""Outgoing: a file that is uploaded, of which somebody is told how far it is."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, BinaryIO

    from lazyimport.reporting import Reporter


class _Stopped(Exception):
    """What is sent beside this has failed."""


class Outgoing:
    """A file to upload: all of *data*, a seekable binary file, unless *is_stopped*."""

    def __init__(
        self,
        data: BinaryIO,
        text: str,
        reporter: Reporter,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._data = data
        self._text = text
        self._reporter = reporter
        self._is_stopped = is_stopped
        self._total = data.seek(0, os.SEEK_END)

    def read(self, size: int = -1) -> bytes:
        """Read as the file does, and report how far it has been read."""
        if self._is_stopped():
            raise _Stopped
        data = self._data.read(size)
        self._reporter.step(self._text, self._data.tell(), self._total, "bytes")
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)
