"""The index: every path and digest of an archive, looked up in place.

``docs/format.md`` sections 3 and 4. `Index` reads it from a buffer without parsing
all of it: a lookup hashes the stem and its folder, proves the one page that can have
it (once), and searches that page. `lazyimport.format.build` makes one.

How much is checked depends on the caller. A lookup stays inside its page and returns
nothing but entries of the stem that it was asked for; `entries` and deltas also
refuse what is not in the one form of section 4.
"""

from __future__ import annotations

from _struct import Struct, error as StructError  # type: ignore[attr-defined]  # noqa: N812
from zlib import crc32

from lazyimport.format import sha256
from lazyimport.format.entries import (
    COUNT,
    DIRECTORY_ITEM,
    VARIANT,
    Entry,
    Variant,
    decode_row,
    first_place,
    place_of,
    stem_of,
)
from lazyimport.lazy import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from mmap import mmap

    from lazyimport.errors import DamagedArchive, MalformedArchive

MAX_ENTRIES = 1 << 26
MAX_VARIANTS = 32
MAX_ROOT = 1 << 28
ALL_MINORS = (1 << 64) - 1

ROOT_MAGIC = b"LZYROOT1"
#          magic, minors, files, directories, pages, slots, variants, reserved
ROOT = Struct("<8sQIIIIB15s")  # 8 + 8 + 4 * 4 + 1 + 15 = 48
START_SIZE = 8  # the first place of a page
PAGE = Struct("<32sIII")  # digest, end, first slot, CRC-32: 44
_ITEM_SIZE = DIRECTORY_ITEM.size
_STEPS = tuple(1 << bit for bit in range(26, -1, -1))  # through MAX_ENTRIES pages
_pack_crc = COUNT.pack


class Index:
    """An index inside *buffer*, believed only as far as it has been proved.

    *hash* is the archive's name: the root must have it. The root lies at
    ``[at, at + root_size)``, the pages right behind it. Opening reads the root
    and nothing else. *what* names the bytes in errors. Raises MalformedArchive
    or DamagedArchive.

    The root is proved by its SHA-256, or by the CRC-32 *check*, where that is given
    because its SHA-256 was proved before.
    """

    __slots__ = (
        "_at",
        "_buffer",
        "_groups",
        "_pages_at",
        "_pages_size",
        "_proved",
        "_records_at",
        "_steps",
        "directories",
        "files",
        "hash",
        "minors",
        "pages",
        "report",
        "sealed",
        "slots",
        "starts",
        "variants",
        "what",
    )

    def __init__(
        self,
        buffer: bytes | mmap,
        hash: str,
        at: int,
        root_size: int,
        pages_size: int,
        what: str = "these bytes",
        check: int | None = None,
    ) -> None:
        root = memoryview(buffer)[at : at + root_size]
        if crc32(root) != check and (actual := sha256(root).hex()) != hash:
            raise errors.DamagedArchive(
                f"{what}: the index of archive {hash} is damaged or another "
                f"archive's (its hash is {actual})",
                hash=hash,
                member="root",
                expected=hash,
                actual=actual,
            )
        head = buffer[at : at + min(root_size, MAX_ROOT_HEAD)]
        counts = read_root_head(head, hash, what)
        self.minors, self.files, self.directories = counts[:3]
        self.pages, self.slots, self.variants = counts[3:]
        self._buffer = buffer
        #: whether the checksum in the root is proof enough of a page
        self.sealed = False
        #: called with damage before it is raised
        self.report: Callable[[DamagedArchive], object] | None = None
        self._at = at
        starts_at = at + root_head_size(len(self.variants))
        self._records_at = starts_at + START_SIZE * self.pages
        self._pages_at = at + root_size
        self._pages_size = pages_size
        #: number of a page -> what `_prove` returns for it
        self._proved: dict[int, tuple[bytes, int, int, int]] = {}
        self._steps = _STEPS[27 - (self.pages - 1).bit_length() :]
        #: folder -> its first page, steps to its others, first place; few have nothing
        self._groups: dict[str, tuple[int, tuple[int, ...], int]] = {}
        self.hash, self.what = hash, what
        if (
            not 0 < self.pages <= self.files + self.directories
            or self._pages_at - self._records_at != PAGE.size * self.pages
        ):
            raise errors.MalformedArchive(
                f"{what}: the root of archive {hash} does not add up", hash=hash
            )
        starts = Struct(f"<{self.pages}Q").unpack_from(buffer, starts_at)
        #: the first place that each page may have, then what is beyond all places
        self.starts: tuple[int, ...] = starts + (1 << 64,) * self.pages

    def variant(self, tag: str, magic: bytes, optimization: int) -> int:
        """Return the number of the variant for such a Python, or -1."""
        wanted = tag, magic, optimization
        for number, known in enumerate(self.variants):
            if (known.tag, known.magic, known.optimization) == wanted:
                return number
        return -1

    def find(self, stem: str) -> list[Entry]:
        """Return the entries whose stem is *stem*: none, or few."""
        try:
            crc = crc32(stem.encode())
        except UnicodeEncodeError:  # no path has a lone surrogate
            return []
        folder = stem.rpartition("/")[0] or stem
        group = self._groups.get(folder)
        number, steps, least = group or (0, self._steps, first_place(folder))
        if steps:  # as `_page_at` does: a call would take as long
            place, starts = least + crc, self.starts
            for step in steps:
                if starts[number + step] <= place:
                    number += step
        items, start, end, first = self._proved.get(number) or self._prove(number)
        needle = _pack_crc(crc)
        found: list[Entry] = []
        source = stem + ".py"  # most entries are one
        at = items.find(needle)
        while at >= 0:
            inside = at % _ITEM_SIZE
            if not inside:
                _, row, slot = DIRECTORY_ITEM.unpack_from(items, at)
                try:
                    entry = decode_row(self._buffer, start + row, end, first + slot)
                except (StructError, ValueError) as error:
                    raise self._malformed(f"page {number}", error) from None
                if entry.path == source or stem_of(entry.path, entry.kind) == stem:
                    found.append(entry)
            at = items.find(needle, at + _ITEM_SIZE - inside)
        if group is None and (found or len(self._groups) < self.directories):
            pages = self.pages_with(least, 32, number)
            steps = _STEPS[27 - (len(pages) - 1).bit_length() :]
            self._groups[folder] = pages[0], steps, least
        return found

    def entry(self, path: str) -> Entry | None:
        """Return the entry at *path* (``""`` is the top directory), or None."""
        stem = stem_of(path)
        for each in (stem,) if stem == path else (stem, path):  # path: of a directory
            for entry in self.find(each):
                if entry.path == path:
                    return entry
        return None

    def entries(self) -> Iterator[Entry]:
        """Yield every entry, in the order of their slots."""
        from lazyimport.format.pages import walk  # no lookup needs it

        pages = map(self.page_entries, range(self.pages))
        try:
            yield from walk(
                pages, self.starts, self.files, self.directories, self.slots
            )
        except ValueError as error:
            raise self._malformed("the whole", error) from None

    @property
    def root(self) -> bytes:
        """The root as it stands."""
        return self._buffer[self._at : self._pages_at]

    @property
    def body(self) -> bytes:
        """All pages as they stand, which need not have been proved."""
        return self._buffer[self._pages_at : self._pages_at + self._pages_size]

    def check(self, stem: str) -> None:
        """Prove the page that everything of *stem* lies in. Raises as `find` does."""
        self._prove(self.page_of(stem))

    def page_of(self, stem: str) -> int:
        """Return the number of the page that everything of *stem* lies in."""
        return self._page_at(place_of(stem))

    def pages_with(self, place: int, bits: int, one: int) -> range:
        """Return the pages of *place* with any last *bits*, of which *one* is known."""
        most = place | (1 << bits) - 1
        first = one if self.starts[one] <= place else self._page_at(place)
        last = one if self.starts[one + 1] > most else self._page_at(most)
        return range(first, last + 1)

    def _page_at(self, place: int) -> int:
        """Return the page that has *place*."""
        number = 0
        for step in self._steps:
            if self.starts[number + step] <= place:
                number += step
        return number

    def page_digest(self, number: int) -> bytes:
        """Return the digest of a page, by the root."""
        return self._record(number)[0]

    def page_place(self, number: int) -> tuple[int, int]:
        """Return where a page begins and ends in the pages section, by the root."""
        start = self._record(number - 1)[1] if number else 0
        return start, self._record(number)[1]

    def page_slots(self, number: int) -> range:
        """Return the slots of a page, by the root."""
        last = number + 1 == self.pages
        end = self.slots if last else self._record(number + 1)[2]
        return range(self._record(number)[2], end)

    def page_bytes(self, number: int) -> bytes:
        """Return the proved bytes of a page."""
        _, start, end, _ = self._prove(number)
        return self._buffer[start:end]

    def page_entries(self, number: int) -> list[Entry]:
        """Return the entries of a page, checked for the one form of section 4."""
        from lazyimport.format.pages import decode_page  # no lookup needs it

        _, start, end, slot = self._prove(number)
        places = self.starts[number : number + 2]
        try:
            return decode_page(self._buffer, start, end, self.variants, slot, places)
        except (StructError, ValueError) as error:
            raise self._malformed(f"page {number}", error) from None

    def _record(self, number: int) -> tuple[bytes, int, int, int]:
        """Return digest, end, first slot and CRC of a page, by the root."""
        return PAGE.unpack_from(self._buffer, self._records_at + number * PAGE.size)

    def _prove(self, number: int) -> tuple[bytes, int, int, int]:
        """Check the digest of a page, once.

        Returns the items of its directory, where it starts and ends in the buffer, and
        the number of its first slot.
        """
        known = self._proved.get(number)
        if known is not None:
            return known
        digest, end, first_slot, crc = self._record(number)
        start = self._record(number - 1)[1] if number else 0
        if not start + COUNT.size <= end <= self._pages_size:
            raise self._malformed(f"page {number}", "it lies outside the pages")
        start += self._pages_at
        end += self._pages_at
        page = self._buffer[start:end]
        if not (self.sealed and crc32(page) == crc) and (
            (actual := sha256(page)) != digest
        ):
            error = errors.DamagedArchive(
                f"{self.what}: page {number} of the index of archive {self.hash} "
                "is damaged",
                hash=self.hash,
                member=f"page {number}",
                expected=digest.hex(),
                actual=actual.hex(),
            )
            if self.report is not None:
                self.report(error)
            raise error
        (count,) = COUNT.unpack_from(page)
        stop = COUNT.size + count * _ITEM_SIZE
        if stop > len(page):
            raise self._malformed(f"page {number}", "its directory exceeds it")
        self._proved[number] = known = page[COUNT.size : stop], start, end, first_slot
        return known

    def _malformed(self, part: str, why: object) -> MalformedArchive:
        return errors.MalformedArchive(
            f"{self.what}: {part} of the index of archive {self.hash} makes no "
            f"sense: {why}",
            hash=self.hash,
        )


def root_head_size(variants: int) -> int:
    """Return the size of a root without its page records."""
    return ROOT.size + VARIANT.size * variants


MAX_ROOT_HEAD = root_head_size(MAX_VARIANTS)


def read_root_head(
    root: bytes, hash: str, what: str = "these bytes"
) -> tuple[int, int, int, int, int, tuple[Variant, ...]]:
    """Return the minors, files, directories, pages, slots and variants of a root.

    Raises MalformedArchive.
    """
    try:
        magic, minors, files, directories, pages, slots, count, reserved = (
            ROOT.unpack_from(root)
        )
        if magic != ROOT_MAGIC or any(reserved):
            raise ValueError("it does not begin as one")
        if count > MAX_VARIANTS or files + directories > MAX_ENTRIES:
            raise ValueError("it promises more than there may be")
        size = VARIANT.size
        records = [
            root[at : at + size] for at in range(ROOT.size, root_head_size(count), size)
        ]
        if records != sorted(set(records)):
            raise ValueError("its variants are out of order")
        variants = tuple(map(Variant.decode, records))
    except (StructError, ValueError) as error:
        raise errors.MalformedArchive(
            f"{what}: the root of archive {hash} makes no sense: {error}", hash=hash
        ) from None
    return minors, files, directories, pages, slots, variants
