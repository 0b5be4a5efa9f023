"""Cells: parts of a large file that come, and are kept, each as a whole."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from lazyimport.format.blobs import FRAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lazyimport.delivery.rooms import Part

#: Bytes of a cell of a file that is stored as it is. File systems say of whole blocks
#: whether anything was written there, so a cell is several of them.
CELL = 1 << 18


class Cells:
    """The cells of a file of *size* bytes, in their order.

    They lie in its object from *start* on: frames of these sizes, each of which is
    compressed, or, without *frames*, the file as it is. ``end`` is where they end.
    """

    def __init__(
        self, size: int, start: int = 0, frames: Sequence[int] | None = None
    ) -> None:
        self._size = size
        self._length = CELL if frames is None else FRAME
        #: where each begins in the object, and where the last one ends
        self._bounds = (
            [*range(0, size, CELL), size]
            if frames is None
            else list(accumulate(frames, initial=start))
        )
        self.end = self._bounds[-1]

    def number_at(self, at: int) -> int:
        """Return how many cells end at or before a place in the object."""
        return bisect_right(self._bounds, at) - 1

    def stored(self, first: int, last: int) -> Part:
        """Return where the cells from *first* up to and without *last* are stored."""
        return self._bounds[first], self._bounds[last]

    def place(self, first: int, last: int) -> Part:
        """Return where they lie in the file."""
        return first * self._length, min(last * self._length, self._size)

    def missing(
        self, here: Sequence[Part], size_of: Callable[[int], int]
    ) -> Iterator[Part]:
        """Yield runs of cells that do not lie in what is *here*: first, last, without.

        *size_of* returns for how many bytes are left how many a run has at most.
        """
        bounds = self._bounds
        starts = [start for start, _ in here]
        awaited = []
        for number in range(len(bounds) - 1):
            start, end = self.place(number, number + 1)
            part = bisect_right(starts, start) - 1
            if part < 0 or here[part][1] < end:
                awaited.append(number)
        left = sum(bounds[number + 1] - bounds[number] for number in awaited)
        first = last = -1
        most = 0
        for number in awaited:
            if number != last or bounds[number + 1] - bounds[first] > most:
                if first < last:
                    yield first, last
                first, most = number, size_of(left)
            last = number + 1
            left -= bounds[last] - bounds[number]
        if first < last:
            yield first, last
