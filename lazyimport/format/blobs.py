"""Blobs: large files that lie beside an archive, each under its digest.

The slot of such a member says so in place of an offset. ``docs/format.md`` section 5.
"""

from __future__ import annotations

from _struct import Struct

from lazyimport.format.sections import BLOB, SLOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lazyimport.format.entries import Entry
    from lazyimport.format.index import Index

#: Bytes in a frame of a compressed blob; the last one has the rest.
FRAME = 4 << 20
_MAGIC = 0x184D2A50
_SKIPPABLE = Struct("<II")
#: what the slot of a blob begins with
MARK = SLOT.pack(BLOB, 0, 0)[:8]


class Blob:
    """A member that is an object of its own: its *digest* and *size*; *path* names it.

    It is *compressed* in stores, never in a node cache. The file is *executable*, or is
    fetched *on_demand*.
    """

    __slots__ = ("compressed", "digest", "executable", "on_demand", "path", "size")

    def __init__(
        self,
        digest: bytes,
        size: int,
        path: str = "",
        *,
        compressed: bool = False,
        executable: bool = False,
        on_demand: bool = False,
    ) -> None:
        self.digest = digest
        self.size = size
        self.path = path
        self.compressed = compressed
        self.executable = executable
        self.on_demand = on_demand

    @classmethod
    def of(cls, entry: Entry, *, compressed: bool) -> Blob:
        """Return the blob that a file of an archive is."""
        return cls(
            entry.digest,
            entry.size,
            entry.path,
            compressed=compressed,
            executable=entry.executable,
            on_demand=entry.on_demand,
        )

    @property
    def name(self) -> str:
        """Its digest in hex digits."""
        return self.digest.hex()

    @property
    def slot(self) -> bytes:
        """The slot that refers to it."""
        return SLOT.pack(BLOB, 0 if self.compressed else self.size, 0)


def table_of(frames: Sequence[int]) -> bytes:
    """Return what a compressed blob begins with: the sizes of its *frames*.

    It is a skippable frame (RFC 8878, section 3.1.2), so any zstd opens the object.
    """
    return _SKIPPABLE.pack(_MAGIC, 4 * len(frames)) + b"".join(
        size.to_bytes(4, "little") for size in frames
    )


def table_size(size: int) -> int:
    """Return the size of the table of a compressed blob of *size* bytes."""
    return _SKIPPABLE.size + 4 * (-(-size // FRAME))


def frames_in(table: bytes) -> list[int]:
    """Return the sizes of frames that a table has. Raises ValueError if it is none."""
    beginning = _SKIPPABLE.pack(_MAGIC, max(len(table) - _SKIPPABLE.size, 0))
    if not table.startswith(beginning):
        raise ValueError("it does not begin with a table of its frames")
    ends = range(_SKIPPABLE.size, len(table), 4)
    sizes = [int.from_bytes(table[at : at + 4], "little") for at in ends]
    if any(not 0 < size <= 2 * FRAME for size in sizes):
        raise ValueError("its table makes no sense")
    return sizes


#: An archive that refers to none.
NONE: Mapping[bytes, Blob] = {}


def find_blobs(index: Index, slots: bytes) -> dict[bytes, Blob]:
    """Return the blobs of the archive of *index*, whose section of slots is *slots*.

    Costs next to nothing where there are none. Raises ArchiveError.
    """
    if MARK not in slots:
        return {}
    rows = SLOT.iter_unpack(slots)
    numbers = [number for number, (at, *_) in enumerate(rows) if at == BLOB]
    return blobs_in(_entries_with(index, set(numbers)), slots)


def _entries_with(index: Index, slots: set[int]) -> Iterator[Entry]:
    """Yield the entries whose first slot is one of *slots*."""
    from bisect import bisect_right  # few archives have any

    def first_slot(page: int) -> int:
        return index.page_slots(page).start

    pages = {bisect_right(range(index.pages), s, key=first_slot) - 1 for s in slots}
    for page in sorted(pages):
        for entry in index.page_entries(page):
            if entry.slot in slots:
                yield entry


def kept(blobs: Mapping[bytes, Blob], index: Index) -> dict[bytes, Blob]:
    """Return those of *blobs*, which a base has, that are in *index* as well."""
    from lazyimport.format.folders import perhaps  # few archives have any

    found = {}
    for digest, blob in blobs.items():
        entry = index.entry(blob.path)
        if entry is not None and entry.digest == digest:
            found[digest] = Blob.of(entry, compressed=blob.compressed)
    moved = perhaps(index, blobs.keys() - found.keys())
    for entry in index.entries() if moved else ():
        if entry.digest in moved:
            blob = blobs[entry.digest]
            found[entry.digest] = Blob.of(entry, compressed=blob.compressed)
    return found


def blobs_in(entries: Iterable[Entry], slots: bytes) -> dict[bytes, Blob]:
    """Return the blobs among *entries*, by digest."""
    found: dict[bytes, Blob] = {}
    for entry in entries if MARK in slots else ():
        slot = slots[entry.slot * SLOT.size : (entry.slot + 1) * SLOT.size]
        if slot.startswith(MARK) and len(slot) == SLOT.size:
            raw = SLOT.unpack(slot)[1] == entry.size
            found[entry.digest] = Blob.of(entry, compressed=not raw)
    return found
