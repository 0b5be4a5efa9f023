"""What differs between two indexes, and an index with such a difference applied.

Both compare pages by their digests and decode only those that differ, so a
change of one file costs the same in a tree of ten files and of a million.
"""

from __future__ import annotations

from lazyimport.format.build import join_pages, make_page, rank
from lazyimport.format.entries import COUNT, DIRECTORY, FILE, check_path, stem_of
from lazyimport.format.pages import divide

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence, Set as AbstractSet

    from lazyimport.format.build import Page
    from lazyimport.format.entries import Entry
    from lazyimport.format.index import Index
    from lazyimport.format.pages import Placed


class Patch:
    """How one archive becomes another: its new or changed entries, and removed paths.

    ``known`` are digests of members that the first one has: those found while
    comparing, not all.
    """

    __slots__ = ("changed", "known", "removed")

    def __init__(
        self,
        changed: Sequence[Entry],
        removed: Collection[str] = (),
        known: AbstractSet[bytes] = frozenset(),
    ) -> None:
        self.changed = changed
        self.removed = removed
        self.known = known


def differing_pages(old: Index, new: Index) -> Sequence[int]:
    """Return the pages of *old* that *new* does not have."""
    known = {new.page_digest(number) for number in range(new.pages)}
    return [n for n in range(old.pages) if old.page_digest(n) not in known]


def difference(old: Index, new: Index) -> Patch:
    """Return the patch that turns *old* into *new*.

    Raises DamagedArchive or MalformedArchive for a page that is not what it must be.
    """
    rows: dict[str, bytes] = {}
    known: set[bytes] = set()
    for number in differing_pages(old, new):
        for entry in old.page_entries(number):
            rows[entry.path] = entry.row()
            known.update(digest for _, _, digest in entry.members())
    changed = [
        entry
        for number in differing_pages(new, old)
        for entry in new.page_entries(number)
        if rows.pop(entry.path, None) != entry.row()
    ]
    return Patch(changed, rows, known)


def patched(old: Index, patch: Patch, minors: int) -> Index:
    """Return *old* with *patch* applied, for the Pythons of *minors*.

    Raises ValueError for a path that *old* does not have or an archive may not,
    DamagedArchive or MalformedArchive for a damaged page.
    """
    pages = _Pages(old)
    for path in patch.removed:
        if not pages.remove(path):
            raise ValueError(f"there is no {path!r} to remove")
    for entry in patch.changed:
        pages.remove(check_path(entry.path))
    for entry in patch.changed:
        pages.add(entry)
    return pages.index(minors)


class _Pages:
    """The pages of an index, some of them opened and changed."""

    def __init__(self, old: Index) -> None:
        self._old = old
        self._opened: dict[int, dict[str, Entry]] = {}
        #: numbers of files and of directories
        self._counts = [old.files, old.directories]

    def remove(self, path: str) -> bool:
        """Take out the file or directory at *path*; whether there was one."""
        for kind in (FILE, DIRECTORY):  # they need not lie in one page
            entry = self._open(stem_of(path, kind)).pop(path, None)
            if entry is not None:
                self._counts[entry.kind] -= 1
                return True
        return False

    def add(self, entry: Entry) -> None:
        """Put in an entry whose path is free."""
        self._open(stem_of(entry.path, entry.kind))[entry.path] = entry
        self._counts[entry.kind] += 1

    def index(self, minors: int) -> Index:
        """Return the index that the pages give."""
        old, (files, directories) = self._old, self._counts
        pages = (self._page(start, page) for start, page in divide(self._placed()))
        return join_pages(pages, files, directories, old.variants, minors, old.what)

    def _placed(self) -> list[Placed]:
        """Return what the pages have, in order: opened ones by entry, others whole."""
        placed: list[Placed] = []
        for number in range(self._old.pages):
            if number in self._opened:
                ranked = rank(self._opened[number].values())
                placed += [(item[0], 1, item) for item in ranked]
            else:
                (count,) = COUNT.unpack_from(self._old.page_bytes(number))
                placed.append((self._old.starts[number], count, number))
        return placed

    def _page(self, start: int, placed: Sequence[Placed]) -> Page:
        """Return the page that begins at *start*, as it was if that is possible."""
        old, ranked = self._old, []
        for *_, what in placed:
            if not isinstance(what, int):
                ranked.append(what)
            elif len(placed) == 1:
                data, slots = old.page_bytes(what), len(old.page_slots(what))
                return start, data, old.page_digest(what), slots
            else:
                ranked += rank(old.page_entries(what))
        return make_page(start, ranked)

    def _open(self, stem: str) -> dict[str, Entry]:
        number = self._old.page_of(stem)
        if number not in self._opened:
            entries = self._old.page_entries(number)
            self._opened[number] = {entry.path: entry for entry in entries}
        return self._opened[number]
