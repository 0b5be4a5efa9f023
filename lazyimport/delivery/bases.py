"""Bases: the full archives of a store that a new one could be a delta to.

A push asks the store and remembers nothing, so a machine that has never pushed finds
them too. Of a base that is not on this node only the header, the root and the pages
that differ are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from mmap import mmap

from lazyimport.cache.node import NodeCache
from lazyimport.delivery.proofs import Stored
from lazyimport.errors import ArchiveError, KeyMissing
from lazyimport.format.archive import Archive
from lazyimport.format.delta import LARGEST_DELTA
from lazyimport.format.entries import Variant
from lazyimport.format.index import Index, read_root_head
from lazyimport.format.patch import differing_pages
from lazyimport.format.sections import HEADER_SIZE, Header
from lazyimport.registry.layout import archive_key
from lazyimport.stores import Store
from lazyimport.stores.side_by_side import side_by_side

#: How many of the newest archives are asked for their bases.
_NEWEST = 8
#: How many bases are worth a closer look.
_TRIED = 2
#: Bytes of the first look into an archive: with the root of 4,000 files.
_HEAD = 8192
#: Ranges with no more bytes than this between them are read as one.
_GAP = 4096


@dataclass(frozen=True)
class Base:
    """A full archive of a store, perhaps not proved, and its index.

    A ``partial`` index has only the pages that differ from the one that `find_bases`
    was asked for.
    """

    stored: Stored
    index: Index
    partial: bool


def find_bases(
    index: Index, archives: Mapping[str, Stored], store: Store, cache: NodeCache
) -> Iterator[Base]:
    """Yield those of *archives* that *index* could be a delta to, the likeliest first.

    The newest of them are looked at, and their bases; all are in *store*. One whose
    root is damaged is left out, any other damage is only found by reading.
    """
    search = _Search(index, archives, store, cache)
    newest = sorted(archives.values(), key=lambda stored: -stored.item.modified)
    wanted = dict.fromkeys(stored.base or stored.hash for stored in newest[:_NEWEST])
    alike = side_by_side(*(partial(search.full_and_alike, hash) for hash in wanted))
    full = list(dict.fromkeys(filter(None, alike)))[:_TRIED]
    opened = side_by_side(*(partial(search.open, stored) for stored in full))
    bases = [base for base in opened if base is not None]

    def distance(base: Base) -> tuple[bool, int]:
        return not base.stored.proved, len(differing_pages(base.index, index))

    for base in sorted(bases, key=distance):
        if not base.partial or search.load_pages(base):
            yield base


class _Search:
    def __init__(
        self,
        index: Index,
        archives: Mapping[str, Stored],
        store: Store,
        cache: NodeCache,
    ) -> None:
        self._index = index
        self._archives = archives
        self._store = store
        self._cache = cache
        #: by hash, of bases that this node does not have
        self._headers: dict[str, Header] = {}
        self._beginnings: dict[str, bytes] = {}
        self._buffers: dict[str, mmap] = {}

    def full_and_alike(self, hash: str) -> Stored | None:
        """Return the archive *hash*, or its base, if one of them may serve."""
        for _ in range(2):  # the archive, then its base
            stored = self._archives.get(hash)
            if stored is None or hash == self._index.hash:
                return None
            cached = self._cached(hash)
            if cached is not None and stored.proved:  # and so a full one
                return stored if self._alike(*_shape(cached.index)) else None
            try:
                data = self._store.read(archive_key(hash), 0, _HEAD)
                header, variants, entries = _decode_head(data)
            except (ArchiveError, KeyMissing):
                return None  # something else under that name
            if header.base is None:
                self._headers[hash], self._beginnings[hash] = header, data
                whole = header.hash == hash and header.size == stored.item.size
                return stored if whole and self._alike(variants, entries) else None
            hash = header.base
        return None

    def _alike(self, variants: tuple[Variant, ...], entries: int) -> bool:
        wanted, own = _shape(self._index)
        return variants == wanted and entries < 2 * own < 4 * entries

    def _cached(self, hash: str) -> Archive | None:
        try:
            return self._cache.open(hash)
        except ArchiveError:
            return None

    def open(self, stored: Stored) -> Base | None:
        """Return the base with its root, or with everything if this node has it.

        None if its root is damaged.
        """
        cached = self._cached(stored.hash)
        if cached is not None:
            return Base(stored, cached.index, partial=False)
        header = self._headers[stored.hash]
        # memory is taken where it is written to
        buffer = self._buffers[stored.hash] = mmap(-1, header.slots_at)
        key = archive_key(stored.hash)
        root = self._beginnings[stored.hash]
        if len(root) < header.pages_at:
            root += self._store.read(key, len(root), header.pages_at)
        root = root[: header.pages_at]
        buffer[: len(root)] = root
        what = f"{self._store.url}/{key}"
        sizes = header.root_size, header.pages_size
        try:
            index = Index(buffer, stored.hash, HEADER_SIZE, *sizes, what)
        except ArchiveError:
            return None
        return Base(stored, index, partial=True)

    def load_pages(self, base: Base) -> bool:
        """Read the pages that differ; return False if that is not worth it."""
        buffer = self._buffers[base.stored.hash]
        at = self._headers[base.stored.hash].pages_at
        key = archive_key(base.stored.hash)
        ranges: list[list[int]] = []
        for number in differing_pages(base.index, self._index):
            start, end = base.index.page_place(number)
            if ranges and start - ranges[-1][1] <= _GAP:
                ranges[-1][1] = end
            else:
                ranges.append([start, end])
        if sum(end - start for start, end in ranges) > (
            LARGEST_DELTA * base.stored.item.size
        ):
            return False

        def load(start: int, end: int) -> None:
            data = self._store.read(key, at + start, at + end)
            buffer[at + start : at + start + len(data)] = data

        side_by_side(*(partial(load, *place) for place in ranges))
        return True


def _shape(index: Index) -> tuple[tuple[Variant, ...], int]:
    return index.variants, index.files + index.directories


def _decode_head(data: bytes) -> tuple[Header, tuple[Variant, ...], int]:
    header = Header.decode(data)
    _, files, directories, _, _, variants = read_root_head(
        data[HEADER_SIZE:], header.hash
    )
    return header, variants, files + directories
