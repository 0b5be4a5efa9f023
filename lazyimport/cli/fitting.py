"""Fitting: what a table shows of its cells in a narrow window, the least loss first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

#: Between two columns; the shortest cell that is cut.
_GAP, _SHORTEST = 2, 12
#: Characters of the lines into which the last column is broken: usually, and at least.
_LAST, _LEAST = 16, 8
#: With less room than this, sentences of the last column go below their rows.
_BESIDE = 30
_TIME = re.compile(r"\d{4}-\d\d-\d\d")
#: Cells without a text.
EMPTY = {"", "-"}
#: What is shortened, in this order: hashes, times, hashes again.
_SHORTER = (
    (re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28,52}\b"), r"\1"),
    (re.compile(r"\b(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\dZ"), r"\1 \2"),
    (re.compile(r"\b([0-9a-f]{8})[0-9a-f]{4}\b"), r"\1"),
)


class Cells(NamedTuple):
    """A table: its *header*, which may be empty, *rows*, and columns flush *right*.

    *notes* go below the rows, one below each, if there are any.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[int]
    notes: Sequence[str] = ()

    def widths(self) -> list[int]:
        """Return how many characters each column takes."""
        lines = [self.header, *self.rows] if self.header else self.rows
        return [max(map(len, column)) for column in zip(*lines, strict=True)]

    def excess(self, width: int, last: int = _LAST) -> int:
        """Return by how many characters it is too wide, if *last* do for the last."""
        *widths, longest = self.widths()
        longest = longest if self.notes else min(longest, last)
        return sum(widths) + _GAP * len(widths) + longest - width

    def fits(self, width: int) -> bool:
        """Return whether it fits *width*, its last column broken into lines."""
        return self.excess(width, _LEAST) <= 0

    def fitted(self, width: int) -> Cells:
        """Return what fits *width*, or comes nearest: empty columns may be gone."""
        found = self
        for shorten in (
            lambda cells: cells.shortened(0),
            Cells.without_empty,
        ):
            if found.excess(width) > 0:
                found = shorten(found)
        found = found.split(width)
        for shorten in (
            lambda cells: cells.shortened(1),
            lambda cells: cells.shortened(2),
            lambda cells: cells.cut(width),
        ):
            if found.excess(width) > 0:
                found = shorten(found)
        return found

    def shortened(self, step: int) -> Cells:
        """Return the table with one step of what is shortened in its cells."""
        pattern, short = _SHORTER[step]
        rows = [[pattern.sub(short, cell) for cell in row] for row in self.rows]
        return self._replace(rows=rows)

    def split(self, width: int) -> Cells:
        """Return the table with sentences of its last column as notes, if too long."""
        room, last = min(_BESIDE, width), [row[-1] for row in self.rows]
        is_long = any(len(cell) > room and " " in cell for cell in last)
        if not is_long or self.excess(width, room) <= 0:
            return self
        rows = [row[:-1] for row in self.rows]
        return self._replace(header=self.header[:-1], rows=rows, notes=last)

    def without_empty(self) -> Cells:
        """Return the table without columns that have no text."""
        columns = zip(*self.rows, strict=True)
        kept = [number for number, column in enumerate(columns) if {*column} - EMPTY]
        header = [self.header[number] for number in kept] if self.header else ()
        rows = [[row[number] for number in kept] for row in self.rows]
        right = [new for new, old in enumerate(kept) if old in self.right]
        return self._replace(header=header, rows=rows, right=right)

    def cut(self, width: int) -> Cells:
        """Return the table with its widest columns cut in the middle of cells."""
        widths = self.widths()[: None if self.notes else -1]
        least = [
            max(_SHORTEST, len(name)) for name in self.header or [""] * len(widths)
        ]
        for row in self.rows:
            for number, cell in enumerate(row[: len(widths)]):
                if _TIME.match(cell):
                    least[number] = len(cell)
        excess = self.excess(width)
        while excess > 0 and widths:
            widest = max(range(len(widths)), key=lambda n: widths[n] - least[n])
            if widths[widest] <= least[widest]:
                break
            widths[widest] -= 1
            excess -= 1
        rows = [[*map(_cut, row, widths), *row[len(widths) :]] for row in self.rows]
        return self._replace(rows=rows)


def _cut(cell: str, width: int) -> str:
    if len(cell) <= width:
        return cell
    tail = (width - 1) // 2
    return f"{cell[: width - 1 - tail]}…{cell[-tail:]}"
