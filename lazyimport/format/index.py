"""The index: every path and digest of an archive, looked up in place.

``docs/format.md`` sections 3 and 4. `Index` reads it out of a buffer without
parsing it first: a lookup hashes the stem, proves the one page that can hold
it (once), and searches that page. `lazyimport.format.image` makes one.

How much is checked follows from what is at stake. A lookup stays inside its
page and gives nothing but entries of the stem it was asked for; `entries`
and a delta also refuse whatever is not in the one form of section 4.
"""

from __future__ import annotations

from _struct import Struct, error as StructError  # type: ignore[attr-defined]  # noqa: N812
from zlib import crc32

from lazyimport import lazy_errors as errors
from lazyimport.format.digest import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from mmap import mmap

    from lazyimport.errors import DamagedArchive, MalformedArchive

__all__ = [
    "DIRECTORY",
    "EXECUTABLE",
    "FILE",
    "LOOKS_AT_FILES",
    "MAX_ENTRIES",
    "MAX_MEMBER",
    "Code",
    "Entry",
    "Index",
    "Variant",
    "check_path",
    "parse_listing",
    "stem_of",
]

FILE, DIRECTORY = 0, 1
EXECUTABLE, LOOKS_AT_FILES = 1, 2  # flags of a file
LOOKS, HAS_DATA, NATIVE, CONFIGURED, IN_MEMORY = 1, 2, 4, 8, 16  # of a directory

MAX_PATH = 4096
MAX_ENTRIES = 1 << 26
MAX_VARIANTS = 32
MAX_MEMBER = 1 << 40
MAX_ROOT = 1 << 28
ENTRIES_PER_PAGE = 32
ALL_MINORS = (1 << 64) - 1
KNOWN_FLAGS = (
    EXECUTABLE | LOOKS_AT_FILES,
    LOOKS | HAS_DATA | NATIVE | CONFIGURED | IN_MEMORY,
)

MODULE_SUFFIXES = (".py", ".pyc", ".so", ".pyd")
#: More digests than this are looked up in one walk over all entries.
_SEARCHES = 64

ROOT_MAGIC = b"LZYROOT1"
#          magic, minors, files, directories, pages, slots, variants, reserved
ROOT = Struct("<8sQIIIIB15s")  # 8 + 8 + 4 * 4 + 1 + 15 = 48
_VARIANT = Struct("<24s4sB3s")  # tag, magic, optimization, reserved: 32
PAGE = Struct("<32sII")  # digest, end, first slot: 40
_DIGEST_SIZE = 32
COUNT = Struct("<I")
DIRECTORY_ITEM = Struct("<III")  # crc, row offset, slot offset: 12
_ROW = Struct("<BBHIQ32s")  # kind, flags, path size, variants, size, digest: 48
CODE = Struct("<I32s")  # size, digest: 36
_pack_crc = COUNT.pack


class Variant:
    """One kind of bytecode: the Python and optimization it is for."""

    __slots__ = ("magic", "optimization", "tag")

    def __init__(self, tag: str, magic: bytes, optimization: int = 0) -> None:
        self.tag = tag
        self.magic = magic
        self.optimization = optimization

    def encode(self) -> bytes:
        """Return the 32 bytes of the record; ValueError if they cannot hold it."""
        tag = self.tag.encode("ascii")
        if not (
            0 < len(tag) <= 24
            and self.tag.isprintable()
            and len(self.magic) == 4
            and self.optimization in {0, 1, 2}
        ):
            raise ValueError(f"not a variant: {self!r}")
        return _VARIANT.pack(tag, self.magic, self.optimization, b"")

    @classmethod
    def decode(cls, data: bytes) -> Variant:
        """Return the variant whose record is *data*; ValueError if none is."""
        tag, magic, optimization, _ = _VARIANT.unpack(data)
        variant = cls(tag.rstrip(b"\0").decode("ascii"), magic, optimization)
        if variant.encode() != data:
            raise ValueError("an unreadable bytecode variant")
        return variant

    @property
    def python(self) -> str:
        """The Python that this is for, as people call it: ``3.11``, ``3.11 -OO``."""
        name, _, digits = self.tag.partition("-")
        minor = digits[1:] if name == "cpython" and digits[:1] == "3" else ""
        python = f"3.{minor}" if minor.isdigit() else self.tag
        return f"{python} -{'O' * self.optimization}" if self.optimization else python

    def _key(self) -> tuple[str, bytes, int]:
        return self.tag, self.magic, self.optimization

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Variant):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Variant({self.tag!r}, {self.magic!r}, {self.optimization})"

    def __str__(self) -> str:
        return self.tag + (f"-O{self.optimization}" if self.optimization else "")


class Code:
    """Where the bytecode of one variant is: slot number, size, digest."""

    __slots__ = ("digest", "size", "slot")

    def __init__(self, size: int, digest: bytes, slot: int = -1) -> None:
        self.size = size
        self.digest = digest
        self.slot = slot


class Entry:
    """A file or directory of the archive.

    ``size`` and ``digest`` are those of the file's bytes, or of a directory's
    listing. ``slot`` is the number of its first slot, -1 while it has none.
    ``variants`` is the bit set of the bytecode that it has; ``packed_codes``
    their sizes and digests as they stand in the row.
    """

    __slots__ = (
        "digest",
        "flags",
        "kind",
        "packed_codes",
        "path",
        "size",
        "slot",
        "variants",
    )

    def __init__(
        self,
        path: str,
        size: int,
        digest: bytes,
        kind: int = FILE,
        flags: int = 0,
        variants: int = 0,
        packed_codes: bytes = b"",
        slot: int = -1,
    ) -> None:
        self.path = path
        self.size = size
        self.digest = digest
        self.kind = kind
        self.flags = flags
        self.variants = variants
        self.packed_codes = packed_codes
        self.slot = slot

    @property
    def is_directory(self) -> bool:
        """Whether the entry is a directory."""
        return self.kind == DIRECTORY

    def with_codes(self, codes: dict[int, Code]) -> Entry:
        """Return the entry with bytecode by number of variant."""
        bits = sum(1 << number for number in codes)
        packed = b"".join(CODE.pack(c.size, c.digest) for _, c in sorted(codes.items()))
        return Entry(
            self.path, self.size, self.digest, self.kind, self.flags, bits, packed
        )

    def code(self, variant: int) -> Code | None:
        """Return the bytecode of *variant*, or None if the entry has none."""
        if variant < 0 or not self.variants >> variant & 1:
            return None
        before = (self.variants & (1 << variant) - 1).bit_count()
        size, digest = CODE.unpack_from(self.packed_codes, before * CODE.size)
        return Code(size, digest, self.slot + 1 + before)

    def codes(self) -> Iterator[tuple[int, Code]]:
        """Yield (number of the variant, bytecode), lowest first."""
        for variant in range(self.variants.bit_length()):
            code = self.code(variant)
            if code is not None:
                yield variant, code

    def members(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield (slot number, size, digest) of everything the entry owns."""
        yield self.slot, self.size, self.digest
        if self.packed_codes:
            codes = CODE.iter_unpack(self.packed_codes)
            for slot, (size, digest) in enumerate(codes, self.slot + 1):
                yield slot, size, digest

    def row(self) -> bytes:
        """Return the entry as a row of a page."""
        path = self.path.encode()
        head = _ROW.pack(
            self.kind, self.flags, len(path), self.variants, self.size, self.digest
        )
        return head + path + self.packed_codes

    @property
    def slots(self) -> int:
        """Number of slots the entry owns."""
        return 1 + self.variants.bit_count()

    def __repr__(self) -> str:
        kind = "directory" if self.kind else "file"
        return f"<{kind} {self.path!r} {self.size} bytes {self.digest.hex()[:12]}>"


def check_path(path: str) -> str:
    """Return *path* if an archive may hold it; ValueError with the reason if not."""
    if len(path.encode()) > MAX_PATH:
        raise ValueError(f"path longer than {MAX_PATH} bytes: {path[:80]!r}...")
    if "\0" in path or "\\" in path:
        raise ValueError(f"NUL or backslash in path {path!r}")
    framed = f"/{path}/"
    if path and ("//" in framed or "/./" in framed or "/../" in framed):
        raise ValueError(f"empty, '.' or '..' component in path {path!r}")
    return path


def stem_of(path: str, kind: int = FILE) -> str:
    """Return the stem that decides the page of *path*: format.md section 4."""
    if kind == DIRECTORY or not path.endswith(MODULE_SUFFIXES):
        return path
    name_at = path.rfind("/") + 1
    dot = path.find(".", name_at)
    if dot == name_at:
        return path
    if path.startswith("__init__.", name_at):
        return path[: max(name_at - 1, 0)]
    return path[:dot]


def parse_listing(data: bytes | memoryview) -> list[tuple[str, int]]:
    """Return the (name, kind) pairs of a listing; MalformedArchive if it is none."""
    try:
        items = bytes(data).decode().split("\0")
        if items.pop():
            raise ValueError("its last name is cut")
        children = [(item[1:], "fd".index(item[:1] or "?")) for item in items]
        last = ""
        for name, _ in children:
            # Code points have the order of their UTF-8 bytes.
            if name <= last or "/" in name:
                raise ValueError(f"{name!r} is no name, or not in its place")
            last = check_path(name)
    except ValueError as error:
        raise errors.MalformedArchive(
            f"an unreadable directory listing: {error}"
        ) from None
    return children


def pages_for(entries: int) -> int:
    """Return the number of pages that an index of so many entries has."""
    return 1 << max((entries - 1) // ENTRIES_PER_PAGE, 0).bit_length()


class Index:
    """An index inside *buffer*, believed only as far as it has been proved.

    *hash* is the archive's name: the root must have it. The root lies at
    ``[at, at + root_size)``, the pages right behind it. Opening reads the root
    and nothing else. *what* names the bytes in errors. Raises MalformedArchive
    or DamagedArchive.
    """

    __slots__ = (
        "_buffer",
        "_mask",
        "_pages_at",
        "_pages_size",
        "_proved",
        "_records_at",
        "directories",
        "files",
        "hash",
        "minors",
        "report",
        "slots",
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
    ) -> None:
        actual = sha256(memoryview(buffer)[at : at + root_size]).hex()
        if actual != hash:
            raise errors.DamagedArchive(
                f"{what}: the index of archive {hash} is damaged or another "
                f"archive's (its hash is {actual})",
                hash=hash,
                member="root",
                expected=hash,
                actual=actual,
            )
        head = buffer[at : at + min(root_size, MAX_ROOT_HEAD)]
        self.minors, self.files, self.directories, pages, self.slots, self.variants = (
            read_root_head(head, hash, what)
        )
        self._buffer = buffer
        #: told of damage before it is raised
        self.report: Callable[[DamagedArchive], object] | None = None
        self._mask = pages - 1
        self._records_at = at + root_head_size(len(self.variants))
        self._pages_at = at + root_size
        self._pages_size = pages_size
        #: number of a page -> what `_prove` says of it
        self._proved: dict[int, tuple[int, int, int, int]] = {}
        self.hash = hash
        self.what = what
        if (
            pages != pages_for(self.files + self.directories)
            or self._pages_at - self._records_at != PAGE.size * pages
        ):
            raise errors.MalformedArchive(
                f"{what}: the root of archive {hash} does not add up", hash=hash
            )

    def variant(self, tag: str, magic: bytes, optimization: int) -> int:
        """Return the number of the variant for such a Python, or -1."""
        wanted = Variant(tag, magic, optimization)
        for number, variant in enumerate(self.variants):
            if variant == wanted:
                return number
        return -1

    def find(self, stem: str) -> list[Entry]:
        """Return the entries whose stem is *stem*: none, or few."""
        key = stem.encode("utf-8", "surrogatepass")
        crc = crc32(key)
        number = crc & self._mask
        start, stop, end, first_slot = self._proved.get(number) or self._prove(number)
        found: list[Entry] = []
        buffer = self._buffer
        needle = _pack_crc(crc)
        items = at = start + COUNT.size
        while True:
            at = buffer.find(needle, at, stop)
            if at < 0:
                return found
            inside = (at - items) % DIRECTORY_ITEM.size
            if not inside:
                _, row, slot = DIRECTORY_ITEM.unpack_from(buffer, at)
                try:
                    entry = _decode_row(buffer, start + row, end, first_slot + slot)
                except (StructError, ValueError) as error:
                    raise self._malformed(number, error) from None
                if stem_of(entry.path, entry.kind) == stem:
                    found.append(entry)
            at += DIRECTORY_ITEM.size - inside

    def entry(self, path: str) -> Entry | None:
        """Return the entry at *path* (``""`` is the top directory), or None."""
        for kind in (FILE, DIRECTORY):
            for entry in self.find(stem_of(path, kind)):
                if entry.path == path and entry.kind == kind:
                    return entry
        return None

    def entries(self) -> Iterator[Entry]:
        """Yield every entry, in the order of their slots."""
        files = directories = slots = 0
        for number in range(self._mask + 1):
            for entry in self.page_entries(number, slots):
                slots += entry.slots
                directories += entry.kind
                files += 1 - entry.kind
                yield entry
        if (files, directories, slots) != (self.files, self.directories, self.slots):
            raise errors.MalformedArchive(
                f"{self.what}: the pages of archive {self.hash} do not add up",
                hash=self.hash,
            )

    @property
    def pages(self) -> int:
        """Number of pages."""
        return self._mask + 1

    @property
    def root(self) -> bytes:
        """The root as it stands."""
        root_at = self._records_at - root_head_size(len(self.variants))
        return self._buffer[root_at : self._pages_at]

    def page_of(self, stem: str) -> int:
        """Return the number of the page that everything of *stem* lies in."""
        return crc32(stem.encode("utf-8", "surrogatepass")) & self._mask

    def page_digest(self, number: int) -> bytes:
        """Return what the root says that the page *number* has as its digest."""
        at = self._records_at + number * PAGE.size
        return self._buffer[at : at + _DIGEST_SIZE]

    def page_place(self, number: int) -> tuple[int, int]:
        """Return where, in the pages section, the root says that a page lies."""
        at = self._records_at + number * PAGE.size
        start = PAGE.unpack_from(self._buffer, at - PAGE.size)[1] if number else 0
        return start, PAGE.unpack_from(self._buffer, at)[1]

    def page_slots(self, number: int) -> int:
        """Return how many slots the root says that a page has."""
        at = self._records_at + number * PAGE.size
        first: int = PAGE.unpack_from(self._buffer, at)[2]
        end: int = self.slots
        if number < self._mask:
            end = PAGE.unpack_from(self._buffer, at + PAGE.size)[2]
        return end - first

    def page_bytes(self, number: int) -> bytes:
        """Return the proved bytes of a page."""
        start, _, end, _ = self._prove(number)
        return self._buffer[start:end]

    def page_entries(self, number: int, first_slot: int = -1) -> Iterator[Entry]:
        """Yield the entries of a page, all that section 4 says of them checked.

        *first_slot* is the number that its slots must begin with, if it is known.
        """
        start, _, end, first = self._prove(number)
        try:
            if first_slot not in {-1, first}:
                raise ValueError("its slots do not follow those before")
            for entry in decode_rows(
                self._buffer, start, end, self.variants, self._mask, number
            ):
                entry.slot += first
                yield entry
        except (StructError, ValueError) as error:
            raise self._malformed(number, error) from None

    def perhaps(self, digests: set[bytes]) -> set[bytes]:
        """Return *digests* without those that are surely not in here.

        Few are searched for; of many all are returned, for a walk over the entries
        is faster.
        """
        if len(digests) > _SEARCHES:
            return digests
        return {digest for digest in digests if self.mentions(digest)}

    def mentions(self, digest: bytes) -> bool:
        """Whether the bytes of *digest* stand in the pages, of a member most likely."""
        end = self._pages_at + self._pages_size
        return self._buffer.find(digest, self._pages_at, end) >= 0

    def _prove(self, number: int) -> tuple[int, int, int, int]:
        """Check the digest of a page, once.

        Returns where it starts, its directory stops and it ends, all in the
        buffer, and the number of its first slot.
        """
        known = self._proved.get(number)
        if known is not None:
            return known
        record = self._records_at + number * PAGE.size
        digest, end, first_slot = PAGE.unpack_from(self._buffer, record)
        start = 0
        if number:
            start = PAGE.unpack_from(self._buffer, record - PAGE.size)[1]
        if not start + COUNT.size <= end <= self._pages_size:
            raise self._malformed(number, "it lies outside the pages")
        start += self._pages_at
        end += self._pages_at
        actual = sha256(memoryview(self._buffer)[start:end])
        if actual != digest:
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
        (count,) = COUNT.unpack_from(self._buffer, start)
        stop = start + COUNT.size + count * DIRECTORY_ITEM.size
        if stop > end:
            raise self._malformed(number, "its directory reaches beyond it")
        self._proved[number] = known = (start, stop, end, first_slot)
        return known

    def _malformed(self, page: int, why: object) -> MalformedArchive:
        return errors.MalformedArchive(
            f"{self.what}: page {page} of the index of archive {self.hash} makes no "
            f"sense: {why}",
            hash=self.hash,
        )


def root_head_size(variants: int) -> int:
    """Return the size of a root without its page records."""
    return ROOT.size + _VARIANT.size * variants


MAX_ROOT_HEAD = root_head_size(MAX_VARIANTS)


def read_root_head(
    root: bytes,
    hash: str,
    what: str = "these bytes",
) -> tuple[int, int, int, int, int, tuple[Variant, ...]]:
    """Return minors, files, directories, pages, slots and variants of a root."""
    try:
        magic, minors, files, directories, pages, slots, count, reserved = (
            ROOT.unpack_from(root)
        )
        if magic != ROOT_MAGIC or any(reserved):
            raise ValueError("it does not begin as one")
        if count > MAX_VARIANTS or files + directories > MAX_ENTRIES:
            raise ValueError("it promises more than there may be")
        size = _VARIANT.size
        records = [
            root[at : at + size] for at in range(ROOT.size, root_head_size(count), size)
        ]
        if records != sorted(set(records)):
            raise ValueError("its variants are not in order")
        variants = tuple(map(Variant.decode, records))
    except (StructError, ValueError) as error:
        raise errors.MalformedArchive(
            f"{what}: the root of archive {hash} makes no sense: {error}", hash=hash
        ) from None
    return minors, files, directories, pages, slots, variants


def decode_rows(
    buffer: bytes | mmap,
    start: int,
    end: int,
    variants: Sequence[Variant],
    mask: int = 0,
    number: int = 0,
) -> Iterator[Entry]:
    """Yield the entries of the page at ``[start, end)``, all that it MUST be.

    Slots are counted from 0. *mask* and *number* say which stems belong here.
    Raises struct.error or ValueError.
    """
    (count,) = COUNT.unpack_from(buffer, start)
    items = start + COUNT.size
    row = items + count * DIRECTORY_ITEM.size
    if row > end:
        raise ValueError("its directory reaches beyond it")
    slots = 0
    last = (-1, 0, b"")
    for at in range(items, row, DIRECTORY_ITEM.size):
        crc, offset, slot = DIRECTORY_ITEM.unpack_from(buffer, at)
        if start + offset != row or slot != slots:
            raise ValueError("a row is not where it should be")
        entry = _decode_row(buffer, row, end, slot)
        path = entry.path.encode()
        here = (crc, entry.kind, path)
        if here <= last or crc & mask != number:
            raise ValueError("its entries are not in order")
        if crc != crc32(stem_of(entry.path, entry.kind).encode()):
            raise ValueError("an entry under a stem that is not its own")
        if entry.flags & ~KNOWN_FLAGS[entry.kind] or entry.variants >> len(variants):
            raise ValueError("an entry with unknown flags or variants")
        if entry.variants and (entry.kind or not path.endswith(b".py")):
            raise ValueError("bytecode of what is no source")
        if not (path or entry.kind):
            raise ValueError("a file of the top directory's path")
        check_path(entry.path)
        last = here
        slots += entry.slots
        row += _ROW.size + len(path) + len(entry.packed_codes)
        yield entry
    if row != end:
        raise ValueError("something follows its last row")


def _decode_row(buffer: bytes | mmap, at: int, end: int, slot: int) -> Entry:
    """Return the entry whose row is at *at*; struct.error or ValueError if none."""
    kind, flags, length, variants, size, digest = _ROW.unpack_from(buffer, at)
    path_at = at + _ROW.size
    codes_at = path_at + length
    stop = codes_at + variants.bit_count() * CODE.size if variants else codes_at
    if stop > end or kind > DIRECTORY or size > MAX_MEMBER:
        raise ValueError("a row reaches beyond what there may be")
    path = buffer[path_at:codes_at].decode()
    return Entry(path, size, digest, kind, flags, variants, buffer[codes_at:stop], slot)
