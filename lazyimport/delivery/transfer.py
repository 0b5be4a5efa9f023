"""Transfers: files that report how many bytes of an archive have come or gone."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

from lazyimport.errors import ArchiveError
from lazyimport.format.header import HEADER_SIZE, Header
from lazyimport.reporting import Reporter


class Incoming:
    """A file to download an archive into, whose header says how large it is."""

    def __init__(self, out: BinaryIO, text: str, reporter: Reporter) -> None:
        self._out = out
        self._text = text
        self._reporter = reporter
        self._head = b""
        self._done = 0
        self._total: int | None = None

    def write(self, data: Any) -> int:
        """Write *data*, and report it."""
        self._out.write(data)
        missing = HEADER_SIZE - len(self._head)
        if missing:
            self._head += bytes(memoryview(data)[:missing])
            self._total = _size_of(self._head)
        self._done += len(data)
        self._reporter.step(self._text, self._done, self._total, "bytes")
        return len(data)


class Outgoing:
    """A file to upload: all of *data*, a seekable binary file."""

    def __init__(self, data: BinaryIO, text: str, reporter: Reporter) -> None:
        self._data = data
        self._text = text
        self._reporter = reporter
        self._total = data.seek(0, os.SEEK_END)

    def read(self, size: int = -1) -> bytes:
        """Read as the file does, and report how far it has been read."""
        data = self._data.read(size)
        self._reporter.step(self._text, self._data.tell(), self._total, "bytes")
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)


def _size_of(head: bytes) -> int | None:
    """Return the size of the archive that begins with *head*; None if it is none."""
    try:
        return Header.decode(head).size if len(head) == HEADER_SIZE else None
    except ArchiveError:
        return None  # whoever reads it says so
