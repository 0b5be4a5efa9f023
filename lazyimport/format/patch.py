"""What differs between two indexes, and an index with such a difference applied.

Both compare pages by their digests and decode only those that differ, so a
change of one file costs the same in a tree of ten files and of a million.
"""

from __future__ import annotations

from lazyimport.format.digest import sha256
from lazyimport.format.image import (
    IndexImage,
    build_index,
    encode_page,
    encode_root_head,
    rank,
)
from lazyimport.format.index import (
    DIRECTORY,
    FILE,
    PAGE,
    Index,
    check_path,
    pages_for,
    stem_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lazyimport.format.index import Entry

__all__ = ["Patch", "difference", "differing_pages", "image_of", "index_of", "patched"]


class Patch:
    """How one archive becomes another: entries that are new or other, paths gone.

    ``known`` are digests of members that the first one holds: those found while
    comparing, not all.
    """

    __slots__ = ("changed", "known", "removed")

    def __init__(
        self,
        changed: Iterable[Entry],
        removed: Iterable[str] = (),
        known: Iterable[bytes] = (),
    ) -> None:
        self.changed = list(changed)
        self.removed = list(removed)
        self.known = set(known)


def differing_pages(old: Index, new: Index) -> list[int] | None:
    """Return which pages differ; None where the two have not as many."""
    if old.pages != new.pages:
        return None
    return [
        number
        for number in range(new.pages)
        if old.page_digest(number) != new.page_digest(number)
    ]


def difference(old: Index, new: Index) -> Patch:
    """Return the patch that makes *new* of *old*.

    Raises DamagedArchive or MalformedArchive for a page that is not what it must be.
    """
    pages = differing_pages(old, new)
    rows: dict[str, bytes] = {}
    known: set[bytes] = set()
    for entry in _entries_of(old, pages):
        rows[entry.path] = entry.row()
        known.update(digest for _, _, digest in entry.members())
    entries = list(_entries_of(new, pages))
    changed = [entry for entry in entries if rows.get(entry.path) != entry.row()]
    return Patch(changed, rows.keys() - {entry.path for entry in entries}, known)


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
    if pages_for(pages.entries + len(patch.changed)) != old.pages:
        gone = {*patch.removed, *(entry.path for entry in patch.changed)}
        kept = [entry for entry in old.entries() if entry.path not in gone]
        return index_of(
            build_index([*kept, *patch.changed], old.variants, minors), old.what
        )
    for entry in patch.changed:
        pages.add(entry)
    return pages.index(minors)


def index_of(image: IndexImage, what: str = "these bytes") -> Index:
    """Return *image* as it is read."""
    root, pages = image.root, image.pages
    return Index(root + pages, image.hash, 0, len(root), len(pages), what)


def image_of(index: Index) -> IndexImage:
    """Return the whole of *index*, every entry of it decoded."""
    entries = list(index.entries())
    members = [
        (size, digest) for entry in entries for _, size, digest in entry.members()
    ]
    body = b"".join(map(index.page_bytes, range(index.pages)))
    return IndexImage(index.root, body, entries, members)


def _entries_of(index: Index, pages: Sequence[int] | None) -> Iterable[Entry]:
    if pages is None:
        return index.entries()
    return (entry for number in pages for entry in index.page_entries(number))


class _Pages:
    """The pages of an index, some of them opened and changed."""

    def __init__(self, old: Index) -> None:
        self._old = old
        self._opened: dict[int, dict[str, Entry]] = {}
        self._files, self._directories = old.files, old.directories

    @property
    def entries(self) -> int:
        """Number of entries."""
        return self._files + self._directories

    def remove(self, path: str) -> bool:
        """Take out the file or directory at *path*; whether there was one."""
        for kind in (FILE, DIRECTORY):  # they need not lie in one page
            entry = self._open(stem_of(path, kind)).pop(path, None)
            if entry is not None:
                self._count(entry, -1)
                return True
        return False

    def add(self, entry: Entry) -> None:
        """Put in an entry whose path is free."""
        self._open(stem_of(entry.path, entry.kind))[entry.path] = entry
        self._count(entry, 1)

    def index(self, minors: int) -> Index:
        """Return the index that the pages give."""
        records, body = [], []
        end = slots = 0
        old = self._old
        for number in range(old.pages):
            if number in self._opened:
                data, owned = encode_page(rank(self._opened[number].values()))
                digest, count = sha256(data), len(owned)
            else:
                data, digest = old.page_bytes(number), old.page_digest(number)
                count = old.page_slots(number)
            end += len(data)
            records.append(PAGE.pack(digest, end, slots))
            body.append(data)
            slots += count
        head = encode_root_head(
            self._files, self._directories, old.variants, minors, old.pages, slots
        )
        root = head + b"".join(records)
        pages = b"".join(body)
        hash = sha256(root).hex()
        return Index(root + pages, hash, 0, len(root), len(pages), old.what)

    def _open(self, stem: str) -> dict[str, Entry]:
        number = self._old.page_of(stem)
        if number not in self._opened:
            entries = self._old.page_entries(number)
            self._opened[number] = {entry.path: entry for entry in entries}
        return self._opened[number]

    def _count(self, entry: Entry, change: int) -> None:
        if entry.is_directory:
            self._directories += change
        else:
            self._files += change
