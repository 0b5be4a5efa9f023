"""Feeds: files to download into, which pass on what comes of pieces of an object."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeAlias

    from lazyimport.stores import ReadStore

    Data: TypeAlias = bytes | memoryview
    #: The key of an object, and where a piece of it begins and ends.
    Piece: TypeAlias = tuple[str, int, int]
    #: Takes the next bytes of a piece, and where they lie in the object: see `bring`.
    Take: TypeAlias = Callable[[Piece, int, Data], object]

#: Bytes of a piece that are taken at once, at least: a kill loses them, calls cost.
PART = 1 << 18


class Enough(Exception):
    """Nothing more is needed of what a store sends."""


class Feed:
    """A file to download *piece* into from *at* on, which lets *take* take it."""

    def __init__(self, piece: Piece, at: int, take: Take) -> None:
        self._piece = piece
        self._take = take
        #: where what is held begins, and where it ends
        self._at = self._end = at
        self._held: list[Data] = []

    def run(self, store: ReadStore) -> None:
        """Download the rest of the piece."""
        out: Any = self
        key, _, end = self._piece
        try:
            store.download(key, out, self._at, end)
        except Enough:
            if self._end < end:  # another connection was faster
                raise
        if self._held:
            self._pass_on()
        if self._end < end:
            self._take(self._piece, self._end, b"")

    def write(self, data: Data) -> int:
        """Take what comes next, up to the end of the piece."""
        part = data[: self._piece[2] - self._end]
        if not part:  # an answer that does not end
            raise Enough
        self._held.append(part)
        self._end += len(part)
        if self._end - self._at >= PART:
            self._pass_on()
        return len(data)

    def _pass_on(self) -> None:
        held = self._held
        self._take(self._piece, self._at, held[0] if len(held) == 1 else b"".join(held))
        self._held = []
        self._at = self._end


class Stream:
    """A file to download into, which cuts what comes into pieces."""

    def __init__(self, pieces: Sequence[Piece], take: Take) -> None:
        self._pieces = list(reversed(pieces))
        self._take = take
        self._at = pieces[0][1]

    def run(self, store: ReadStore, key: str) -> None:
        """Download the object *key* until all pieces have come."""
        out: Any = self
        try:
            store.download(key, out, self._at)
        except Enough:
            return
        for piece in reversed(self._pieces):
            self._take(piece, max(self._at, piece[1]), b"")

    def write(self, data: Any) -> int:
        """Take what comes next."""
        view, stop = memoryview(data), self._at + len(data)
        while self._pieces and self._pieces[-1][1] < stop:
            piece = self._pieces[-1]
            low, high = max(piece[1], self._at), min(piece[2], stop)
            self._take(piece, low, view[low - self._at : high - self._at])
            if high < piece[2]:
                break
            self._pieces.pop()
        self._at = stop
        if not self._pieces:
            raise Enough
        return len(data)
