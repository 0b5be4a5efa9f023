"""Entries: the files and directories of an archive, as values and as rows of a page.

``docs/format.md`` section 4. `Entry.row` and `decode_row` are each other's inverse.
"""

from __future__ import annotations

from _struct import Struct
from zlib import crc32

from lazyimport.lazy import errors
from lazyimport.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from mmap import mmap

FILE, DIRECTORY = 0, 1
EXECUTABLE, LOOKS_AT_FILES, ON_DEMAND = 1, 2, 4  # flags of a file
LOOKS, HAS_DATA, NATIVE, CONFIGURED, IN_MEMORY = 1, 2, 4, 8, 16  # of a directory
KNOWN_FLAGS = (
    EXECUTABLE | LOOKS_AT_FILES | ON_DEMAND,
    LOOKS | HAS_DATA | NATIVE | CONFIGURED | IN_MEMORY,
)
MODULE_SUFFIXES = (".py", ".pyc", ".so", ".pyd")
MAX_PATH = 4096
MAX_MEMBER = 1 << 40
#: What no path has, between slashes: see `check_path`.
_ODD = ("\\", "//", "/./", "/../")

VARIANT = Struct("<24s4sB3s")  # tag, magic, optimization, reserved: 32
COUNT = Struct("<I")
DIRECTORY_ITEM = Struct("<III")  # crc, row offset, slot offset: 12
ROW = Struct("<BBHIQ32s")  # kind, flags, path size, variants, size, digest: 48
CODE = Struct("<I32s")  # size, digest: 36
_ROW_SIZE, _CODE_SIZE = ROW.size, CODE.size
_new = object.__new__


class Variant(Value):
    """One kind of bytecode: the Python and optimization it is for."""

    __slots__ = ("tag", "magic", "optimization")  # noqa: RUF023 - as they are passed

    tag: str
    magic: bytes
    optimization: int

    def __init__(self, tag: str, magic: bytes, optimization: int = 0) -> None:
        self._set(tag=tag, magic=magic, optimization=optimization)

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
        return VARIANT.pack(tag, self.magic, self.optimization, b"")

    @classmethod
    def decode(cls, data: bytes) -> Variant:
        """Return the variant whose record is *data*; ValueError if there is none."""
        tag, magic, optimization, _ = VARIANT.unpack(data)
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

    def __str__(self) -> str:
        return self.tag + (f"-O{self.optimization}" if self.optimization else "")


class Code:
    """Bytecode of one variant: its size, its digest and the number of its slot."""

    __slots__ = ("digest", "size", "slot")

    def __init__(self, size: int, digest: bytes, slot: int = -1) -> None:
        self.size = size
        self.digest = digest
        self.slot = slot


class Entry:
    """A file or directory of the archive.

    ``size`` and ``digest`` are those of the file's bytes, or of a directory's
    listing. ``slot`` is the number of its first slot, -1 while it has none.
    ``variants`` is the bit set of the variants that it has bytecode of, and
    ``packed_codes`` their sizes and digests as they stand in the row.
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

    @property
    def executable(self) -> bool:
        """Whether the entry is a file that can be executed."""
        return self.kind == FILE and bool(self.flags & EXECUTABLE)

    @property
    def on_demand(self) -> bool:
        """Whether the entry is a file that stays in the store until it is needed."""
        return self.kind == FILE and bool(self.flags & ON_DEMAND)

    def with_codes(self, codes: dict[int, Code]) -> Entry:
        """Return the entry with bytecode, which is given by number of variant."""
        bits = sum(1 << number for number in codes)
        packed = b"".join(CODE.pack(c.size, c.digest) for _, c in sorted(codes.items()))
        return Entry(
            self.path, self.size, self.digest, self.kind, self.flags, bits, packed
        )

    def code(self, variant: int) -> Code | None:
        """Return the bytecode of a variant, or None if the entry has none."""
        member = self.code_member(variant)
        return member and Code(member[1], member[2], member[0])

    def code_member(self, variant: int) -> tuple[int, int, bytes] | None:
        """Return slot number, size and digest of the bytecode of a variant, or None."""
        bits = self.variants
        if variant < 0 or not bits >> variant & 1:
            return None
        before = (bits & (1 << variant) - 1).bit_count()
        size, digest = CODE.unpack_from(self.packed_codes, before * CODE.size)
        return self.slot + 1 + before, size, digest

    def codes(self) -> Iterator[tuple[int, Code]]:
        """Yield the number of each variant and its bytecode, lowest first."""
        for variant in range(self.variants.bit_length()):
            code = self.code(variant)
            if code is not None:
                yield variant, code

    def members(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield the slot number, size and digest of each member the entry has."""
        yield self.slot, self.size, self.digest
        codes = CODE.iter_unpack(self.packed_codes)
        for slot, (size, digest) in enumerate(codes, self.slot + 1):
            yield slot, size, digest

    def row(self) -> bytes:
        """Return the entry as a row of a page."""
        path = self.path.encode()
        head = ROW.pack(
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


def each_member(entries: Iterable[Entry]) -> Iterator[tuple[int, int, bytes, Entry]]:
    """Yield what `Entry.members` does for each of *entries*, and the entry itself.

    A call for each would cost more than the rest.
    """
    unpack = CODE.iter_unpack
    for entry in entries:
        first = entry.slot
        yield first, entry.size, entry.digest, entry
        if entry.variants:
            codes = unpack(entry.packed_codes)
            for slot, (size, digest) in enumerate(codes, first + 1):
                yield slot, size, digest, entry


def check_path(path: str) -> str:
    """Return *path* if an archive may have it; ValueError with the reason if not."""
    if len(path.encode()) > MAX_PATH:
        raise ValueError(f"path longer than {MAX_PATH} bytes: {path[:80]!r}...")
    if "\0" in path or "\\" in path:
        raise ValueError(f"NUL or backslash in path {path!r}")
    framed = f"/{path}/"
    if path and ("//" in framed or "/./" in framed or "/../" in framed):
        raise ValueError(f"empty, '.' or '..' component in path {path!r}")
    return path


def check_paths(paths: Sequence[str]) -> None:
    """Raise as `check_path` does for one of *paths*, unless it is only too long.

    Nearly always none is odd, which a look at all of them as one text shows.
    """
    framed = "/\0/".join(["", *paths, ""])
    if framed.count("\0") > len(paths) + 1 or any(map(framed.__contains__, _ODD)):
        for path in paths:
            check_path(path)


def stem_of(path: str, kind: int = FILE) -> str:
    """Return the stem, which decides the place of the entry at *path*."""
    if kind == DIRECTORY or not path.endswith(MODULE_SUFFIXES):
        return path
    folder, slash, name = path.rpartition("/")
    stem = name.partition(".")[0]
    if stem == "__init__":
        return folder
    return folder + slash + stem if stem else path


def folder_of(stem: str) -> str:
    """Return the folder by which *stem* has its place; its own if it is at the top."""
    return stem.rpartition("/")[0] or stem


def first_place(folder: str) -> int:
    """Return the least place that a stem in a folder may have."""
    own = top = crc32(folder.encode())
    if "/" in folder:
        top = crc32(folder.partition("/")[0].encode())
    return (top & 0xFFFF0000 | own >> 16) << 32


def place_of(stem: str) -> int:
    """Return the place of *stem* in the order of an index: 64 bits."""
    folder = stem.rpartition("/")[0] or stem
    return first_place(folder) | crc32(stem.encode())


def listing_of(children: Iterable[tuple[str, int]]) -> bytes:
    """Return the listing that names *children*, given as (name, kind)."""
    named = sorted((name.encode(), b"fd"[kind : kind + 1]) for name, kind in children)
    return b"".join(letter + name + b"\0" for name, letter in named)


def listings(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield the listing of each directory that something of all *entries* is in."""
    children: dict[str, list[tuple[str, int]]] = {}
    for entry in entries:
        if entry.path:
            folder, _, name = entry.path.rpartition("/")
            children.setdefault(folder, []).append((name, entry.kind))
    return map(listing_of, children.values())


def parse_listing(data: bytes | memoryview) -> list[tuple[str, int]]:
    """Return the (name, kind) pairs of a listing. Raises MalformedArchive."""
    try:
        items = bytes(data).decode().split("\0")
        if items.pop():
            raise ValueError("its last name is cut")
        children = [(item[1:], "fd".index(item[:1] or "?")) for item in items]
        last = ""
        for name, _ in children:
            # Code points have the order of their UTF-8 bytes.
            if name <= last or "/" in name:
                raise ValueError(f"{name!r} is not a name, or is out of order")
            last = check_path(name)
    except ValueError as error:
        raise errors.MalformedArchive(
            f"an unreadable directory listing: {error}"
        ) from None
    return children


def decode_row(buffer: bytes | mmap, at: int, end: int, slot: int) -> Entry:
    """Return the entry whose row begins at *at*. Raises struct.error or ValueError."""
    kind, flags, length, variants, size, digest = ROW.unpack_from(buffer, at)
    path_at = at + _ROW_SIZE
    codes_at = stop = path_at + length
    if variants:
        stop += variants.bit_count() * _CODE_SIZE
    if stop > end or kind > DIRECTORY or size > MAX_MEMBER:
        raise ValueError("a row exceeds its page or a limit")
    entry = _new(Entry)  # calling it takes ten times as long, for each module
    entry.path = buffer[path_at:codes_at].decode()
    entry.size, entry.digest, entry.kind, entry.flags = size, digest, kind, flags
    entry.variants, entry.packed_codes = variants, buffer[codes_at:stop]
    entry.slot = slot
    return entry


def top_of(path: str) -> str:
    """Return the directory at the top in which the file *path* lies, or ``""``."""
    top, inside, _ = path.partition("/")
    return top if inside else ""
