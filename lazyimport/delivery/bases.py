"""Bases: the full archives of a store that a new one could be a delta to.

A push asks the store and remembers nothing, so a machine that has never pushed finds
them too. Of a base that is not on this node only the header, the root and the pages
that differ are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from mmap import mmap

from lazyimport.cache.node import NodeCache
from lazyimport.errors import ArchiveError, KeyMissing, StoreMissing
from lazyimport.format.delta import LARGEST_DELTA
from lazyimport.format.entries import Variant
from lazyimport.format.header import HEADER_SIZE, Header
from lazyimport.format.index import MAX_ROOT_HEAD, Index, read_root_head
from lazyimport.format.patch import differing_pages
from lazyimport.registry.layout import archive_key
from lazyimport.stores import Store

#: How many of the newest archives are asked for their bases.
_NEWEST = 8
#: How many bases are worth a closer look.
_TRIED = 2
#: Ranges with no more bytes than this between them are read as one.
_GAP = 4096


@dataclass(frozen=True)
class Base:
    """A full archive of a store: its header there, and its index.

    A ``partial`` index has only the pages that differ from the one that `find_bases`
    was asked for, in ``buffer``.
    """

    header: Header
    index: Index
    buffer: mmap | None

    @property
    def partial(self) -> bool:
        """Whether only some pages of the index are there."""
        return self.buffer is not None


def find_bases(
    index: Index, store: Store, cache: NodeCache, hints: Sequence[str] = ()
) -> Iterator[Base]:
    """Yield archives of *store* that *index* could be a delta to, the likeliest first.

    *hints* are archives to ask about first: they, or their bases. Then come the
    newest of the store. One whose root is damaged is left out, any other damage is
    only found by reading.
    """
    search = _Search(index, store, cache)
    for hint in hints:
        yield from search.look_at([hint])
    try:
        objects = sorted(store.list(archive_key("")), key=lambda item: -item.modified)
    except StoreMissing:
        return  # put() makes the folder, or says that the bucket is missing
    yield from search.look_at(
        [item.key.rpartition("/")[2] for item in objects[:_NEWEST]]
    )


class _Search:
    """The search for bases of one index."""

    def __init__(self, index: Index, store: Store, cache: NodeCache) -> None:
        self._index = index
        self._store = store
        self._cache = cache
        self._seen = {index.hash}

    def look_at(self, hashes: Sequence[str]) -> Iterator[Base]:
        """Yield what serves as a base of *hashes* and what they are deltas to."""
        headers = [h for h in map(self._full_and_alike, hashes) if h is not None]
        bases = [base for base in map(self._open, headers[:_TRIED]) if base]
        bases.sort(key=lambda base: len(differing_pages(base.index, self._index)))
        for base in bases:
            if not base.partial or self._load_pages(base):
                yield base

    def _full_and_alike(self, hash: str) -> Header | None:
        """Return the header of *hash*, or of its base, if one of them may serve."""
        for _ in range(2):  # the archive, then its base
            if hash in self._seen:
                return None
            self._seen.add(hash)
            try:
                head = _read_head(self._store, hash)
            except ArchiveError:
                return None  # something else under that name
            if head is None:
                return None
            header, variants, entries = head
            if header.base is None:
                own = self._index.files + self._index.directories
                alike = (
                    variants == self._index.variants and entries < 2 * own < 4 * entries
                )
                return header if alike and header.hash == hash else None
            hash = header.base
        return None

    def _open(self, header: Header) -> Base | None:
        """Return the base with its root, or with everything if this node has it.

        None if its root is damaged.
        """
        try:
            cached = self._cache.open(header.hash)
        except ArchiveError:
            cached = None
        if cached is not None:
            return Base(header, cached.index, None)
        buffer = mmap(-1, header.slots_at)  # memory is taken where it is written to
        key = archive_key(header.hash)
        root = self._store.read(key, 0, header.pages_at)
        buffer[: len(root)] = root
        what = f"{self._store.url}/{key}"
        sizes = header.root_size, header.pages_size
        try:
            index = Index(buffer, header.hash, HEADER_SIZE, *sizes, what)
        except ArchiveError:
            return None
        return Base(header, index, buffer)

    def _load_pages(self, base: Base) -> bool:
        """Read the pages that differ; return False if that is not worth it."""
        buffer, header = base.buffer, base.header
        assert buffer is not None
        ranges: list[list[int]] = []
        for number in differing_pages(base.index, self._index):
            start, end = base.index.page_place(number)
            if ranges and start - ranges[-1][1] <= _GAP:
                ranges[-1][1] = end
            else:
                ranges.append([start, end])
        if sum(end - start for start, end in ranges) > LARGEST_DELTA * header.size:
            return False
        for start, end in ranges:
            at = header.pages_at
            data = self._store.read(archive_key(header.hash), at + start, at + end)
            buffer[at + start : at + start + len(data)] = data
        return True


def _read_head(
    store: Store, hash: str
) -> tuple[Header, tuple[Variant, ...], int] | None:
    """Return an archive's header, variants and number of entries; None if missing."""
    key = archive_key(hash)
    what = f"{store.url}/{key}"
    try:
        data = store.read(key, 0, HEADER_SIZE + MAX_ROOT_HEAD)
    except (KeyMissing, StoreMissing):
        return None  # put() makes the folder, or says that the bucket is missing
    header = Header.decode(data, what)
    _, files, directories, _, _, variants = read_root_head(
        data[HEADER_SIZE:], header.hash, what
    )
    return header, variants, files + directories
