"""Blobs that come: the large files of archives, from a store into the node cache.

Each comes once for the node, over several connections, into a file of its final size.
What a killed process left of it is proved with the rest at the end.
"""

from __future__ import annotations

import os
import tempfile
import threading
from _struct import error as StructError  # type: ignore[attr-defined]  # noqa: N812
from contextlib import nullcontext
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap

from lazyimport.cache.arriving import begin_blob, finish_blob, reserved
from lazyimport.cache.blobs import find_blob, missing_blob
from lazyimport.cache.growth import Growing
from lazyimport.cache.node import NodeCache
from lazyimport.cache.room import require_space
from lazyimport.delivery.cells import Cells
from lazyimport.delivery.pieces import piece_size
from lazyimport.delivery.rooms import FileRoom, MemoryRoom, require_memory
from lazyimport.delivery.running_digest import RunningDigest
from lazyimport.delivery.transfer import bring
from lazyimport.errors import DamagedArchive, KeyMissing, MemberMissing, StoreError
from lazyimport.format.blobs import FRAME, frames_in, table_size
from lazyimport.format.codec import decompress
from lazyimport.registry.layout import blob_key
from lazyimport.registry.opening import store_of
from lazyimport.reporting import SILENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from lazyimport.delivery.feeds import Data, Piece
    from lazyimport.delivery.line import Share
    from lazyimport.delivery.rooms import Part
    from lazyimport.format.blobs import Blob
    from lazyimport.reporting import Reporter
    from lazyimport.settings import Settings
    from lazyimport.stores import ReadStore

    #: is called with how many bytes are there
    Tell: TypeAlias = Callable[[int], object]


def bring_blob(
    store: ReadStore,
    blob: Blob,
    cache: NodeCache,
    connections: int,
    tell: Tell,
    share: Share | None = None,
) -> int:
    """Bring *blob* into *cache*, unless it is there; return the bytes that came.

    *tell* is called with how much of it is there; *share* is its part of the line, if
    others come, too. The lock of its digest must be held.

    Raises StoreError, KeyMissing if the store does not have it, DamagedArchive if it
    has something else under that name, CacheError, and OSError if the disk refuses.
    """
    found = find_blob(cache, blob)
    if found is not None:
        found.close()
        return 0
    moved = 0
    while True:
        with begin_blob(cache, blob) as file:
            room = FileRoom(file.fileno(), blob.size)
            room.reserve()
            coming = _Coming(store, blob, room, tell)
            try:
                resumed = coming.bring(connections, share)
            except (KeyMissing, DamagedArchive):
                os.ftruncate(file.fileno(), 0)  # room that nothing comes to take
                raise
            moved += coming.moved
            if coming.holds():
                finish_blob(cache, blob, file)
                return moved
            os.ftruncate(file.fileno(), 0)  # of no use to the next attempt
        if not resumed:
            raise coming.damaged()


def fetch_blob(
    settings: Settings,
    hash: str,
    blob: Blob,
    reporter: Reporter,
    *,
    held: bool = False,
    share: Share | None = None,
) -> int:
    """Bring *blob* of the archive *hash* into the node cache; return what came of it.

    If another process is bringing it, its transfer is waited for. The lock of its
    digest is *held*, or taken here. *reporter* is told how far it is; *share* is as
    for `bring_blob`.

    Raises StoreError, CacheError, MemberMissing if the store does not have it, and
    DamagedArchive if it has something else under its name.
    """
    cache = NodeCache(settings.cache_dir)
    if _is_here(cache, blob):
        return 0
    store = store_of(settings)
    text = f"fetching {blob.path} of {hash[:12]} from {store.url}"

    def tell(done: int) -> None:
        reporter.step(text, done, blob.size, "bytes")

    lock = nullcontext() if held else cache.lock(blob.name, settings.timeout)
    try:
        missing = blob.size - reserved(cache, blob)
        require_space(cache, missing, settings.cache_limit)
        with lock, Growing(cache.path, missing):
            return bring_blob(store, blob, cache, settings.connections, tell, share)
    except OSError as error:
        what = f"{blob.path} of archive {hash}"
        raise cache.refused(what, error, blob.size) from error
    except KeyMissing:
        raise missing_blob(cache, blob, hash, store.url) from None
    except DamagedArchive as error:
        error.hash = hash
        raise
    except StoreError as error:
        text = (
            f"{blob.path} of archive {hash} is not in the node cache {cache.path}, "
            f"and cannot be fetched: {error}"
        )
        raise error.with_text(text) from error.__cause__


def read_blob(
    store: ReadStore, blob: Blob, settings: Settings, reporter: Reporter = SILENT
) -> mmap:
    """Return *blob* from *store* in memory; *reporter* is told how far it is.

    Raises StoreError, KeyMissing if the store does not have it, DamagedArchive, or
    CacheError if it needs more memory than there is.
    """
    require_memory(blob.path, blob.size, settings.cache_dir)
    buffer = mmap(-1, blob.size, MAP_PRIVATE | MAP_ANONYMOUS)
    text = f"fetching {blob.path} from {store.url}"

    def tell(done: int) -> None:
        reporter.step(text, done, blob.size, "bytes")

    coming = _Coming(store, blob, MemoryRoom(buffer), tell)
    coming.bring(settings.connections)
    if not coming.holds():
        raise coming.damaged()
    return buffer


def obtain_blob_here(
    settings: Settings, hash: str, blob: Blob, reporter: Reporter
) -> mmap:
    """Return *blob*, which the archive *hash* needs, from the cache or the store.

    This process reaches the store: see `lazyimport.delivery.blobs_wanted` for one that
    must not. It comes into the node cache, or in the mode ``memory`` into that. Raises
    as `fetch_blob` does.
    """
    cache = NodeCache(settings.cache_dir)
    try:
        return cache.read_blob(blob)
    except MemberMissing:
        if settings.store is None:
            raise missing_blob(cache, blob, hash) from None
    if settings.cache_mode != "memory":
        fetch_blob(settings, hash, blob, reporter)
        return cache.read_blob(blob)
    store = store_of(settings)
    try:
        return read_blob(store, blob, settings, reporter)
    except KeyMissing:
        raise missing_blob(cache, blob, hash, store.url) from None


def prove_blob(
    store: ReadStore, blob: Blob, cache: NodeCache, connections: int, tell: Tell
) -> None:
    """Read all of *blob* from *store*, which lies on the disk of *cache* meanwhile.

    Raises StoreError, KeyMissing, DamagedArchive or OSError.
    """
    with tempfile.TemporaryFile(dir=cache.scratch_folder()) as file:
        coming = _Coming(store, blob, FileRoom(file.fileno(), blob.size), tell)
        coming.bring(connections)
        if not coming.holds():
            raise coming.damaged()


def _is_here(cache: NodeCache, blob: Blob) -> bool:
    try:
        cache.open_blob(blob).close()
    except MemberMissing:
        return False
    return True


class _Coming:
    """A blob on its way into *room*."""

    def __init__(
        self, store: ReadStore, blob: Blob, room: FileRoom | MemoryRoom, tell: Tell
    ) -> None:
        self._store = store
        self._blob = blob
        self._room = room
        self._tell = tell
        self._key = blob_key(blob.name, compressed=blob.compressed)
        self._lock = threading.Lock()
        self._digest = RunningDigest(room, 0, blob.size)
        #: what has come of a cell, by the piece in which it comes
        self._held: dict[Piece, list[Data]] = {}
        self.moved = self._done = 0

    def bring(self, connections: int, share: Share | None = None) -> bool:
        """Bring what is missing; return whether anything was there already."""
        cells = self._find_cells()
        pieces: list[Piece] = []
        here: list[Part] = []
        there = 0
        behind = share.behind if share else 0
        size_of = piece_size(connections, behind)
        for first, last in cells.missing(self._room.parts(), size_of):
            start, end = cells.stored(first, last)
            # One byte more than there is, to see that none follows.
            pieces.append((self._key, start, end + (end == cells.end)))
            missing, end = cells.place(first, last)
            here.append((there, missing))
            there = end
        here = [part for part in (*here, (there, self._blob.size)) if part[0] < part[1]]
        self._arrived(sum(end - start for start, end in here))

        def take(piece: Piece, at: int, data: Data) -> None:
            self._take(cells, piece, at, data)

        def hash_here() -> None:
            for start, end in here:
                self._digest.add(start, end)

        turns, asked = (share.turns, share.asked) if share else (None, bool)
        bring(self._store, pieces, connections, take, None, hash_here, turns, asked)
        return bool(here)

    def holds(self) -> bool:
        """Return whether all that has come is the blob."""
        return self._digest.digest() == self._blob.digest

    def damaged(self, why: str = "") -> DamagedArchive:
        """Return the error for other bytes than those of the blob."""
        blob, url, actual = self._blob, self._store.url, self._digest.digest().hex()
        return DamagedArchive(
            f"{url}/{self._key} is not {blob.path}, by whose SHA-256 it is called: "
            f"{why or f'its own is {actual}'}; mend it from a machine that has it: "
            f"lazyimport verify --store {url} --repair",
            member=blob.path,
            expected=blob.name,
            actual=actual,
        )

    def _find_cells(self) -> Cells:
        size = self._blob.size
        if not self._blob.compressed:
            return Cells(size)
        table = self._store.read(self._key, 0, table_size(size))
        self.moved += len(table)
        try:
            sizes = frames_in(table)
            if len(sizes) != -(-size // FRAME):
                raise ValueError("its table of frames is cut short")
        except (ValueError, StructError) as error:
            raise self.damaged(str(error)) from error
        return Cells(size, len(table), sizes)

    def _take(self, cells: Cells, piece: Piece, at: int, data: Data) -> None:
        """Write the cells that end in *data*, which lies at *at* of the object."""
        end = at + len(data)
        if end > cells.end or (not data and at < cells.end):
            raise self.damaged("it is shorter or longer than it should be")
        with self._lock:
            self.moved += len(data)
        held = self._held.setdefault(piece, [])
        begin = at - sum(map(len, held))
        held.append(data)
        first, last = cells.number_at(begin), cells.number_at(end)
        if first == last:
            return
        content = memoryview(b"".join(held))
        start, end = cells.stored(first, last)
        held[:] = [bytes(content[end - start :])]
        for part, place in self._parts(cells, first, last, content[: end - start]):
            self._room.write(place, part)
            self._digest.add(place, place + len(part), part)
            self._arrived(len(part))

    def _parts(
        self, cells: Cells, first: int, last: int, content: memoryview
    ) -> Iterator[tuple[Data, int]]:
        """Yield what lies in the file of cells that have come, and where."""
        if not self._blob.compressed:
            yield content, cells.place(first, last)[0]
            return
        origin = cells.stored(first, last)[0]
        for number in range(first, last):
            start, end = cells.stored(number, number + 1)
            at, until = cells.place(number, number + 1)
            try:
                part = decompress(content[start - origin : end - origin], until - at)
            except DamagedArchive as error:
                raise self.damaged(str(error)) from error
            yield part, at

    def _arrived(self, size: int) -> None:
        with self._lock:
            self._done += size
            self._tell(self._done)
