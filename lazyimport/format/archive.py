"""The archive: header, index, slots, members, notes. ``docs/format.md``.

`Archive` reads one from any buffer (bytes or a memory map) and proves what it
hands out. `lazyimport.format.writer` makes them.
"""

from __future__ import annotations

from _struct import Struct
from zlib import crc32

from lazyimport import lazy_errors as errors
from lazyimport.format.digest import sha256
from lazyimport.format.index import MAX_ROOT, Code, Entry, Index, parse_listing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from mmap import mmap

    from lazyimport.errors import DamagedArchive

__all__ = [
    "HEADER_SIZE",
    "VERSION",
    "Archive",
    "Header",
    "Members",
    "decode_notes",
    "open_header",
    "top_of",
]

MAGIC = b"\x89LZY\r\n\x1a\n"
VERSION = 1
DELTA = 1
MAX_NOTES = 1 << 20
IN_BASE = (1 << 64) - 1

# magic, version, flags, reserved; hash, base; sizes of the five sections; warm
_HEADER = Struct("<8sHH4s32s32sQQQQIQ")  # 16 + 2 * 32 + 4 * 8 + 4 + 8 = 124
_CHECK = Struct("<I")
SLOT = Struct("<QQ")  # offset, stored size: 16
HEADER_SIZE = _HEADER.size + _CHECK.size  # 128


class Header:
    """The first 128 bytes: what an object is and how long its sections are.

    ``hash`` and ``base`` are hex digits; ``base`` is None unless the object is
    a delta. Sizes are in bytes.
    """

    __slots__ = (
        "base",
        "hash",
        "members_size",
        "notes_size",
        "pages_size",
        "root_size",
        "slots_size",
        "warm",
    )

    def __init__(
        self,
        hash: str,
        *,
        base: str | None = None,
        root_size: int,
        pages_size: int,
        slots_size: int,
        members_size: int = 0,
        notes_size: int = 0,
        warm: int = 0,
    ) -> None:
        self.hash = hash
        self.base = base
        self.root_size = root_size
        self.pages_size = pages_size
        self.slots_size = slots_size
        self.members_size = members_size
        self.notes_size = notes_size
        self.warm = warm

    @property
    def pages_at(self) -> int:
        """Offset of the pages section."""
        return HEADER_SIZE + self.root_size

    @property
    def slots_at(self) -> int:
        """Offset of the slots section, which is the size of header and index."""
        return self.pages_at + self.pages_size

    @property
    def members_at(self) -> int:
        """Offset of the members section."""
        return self.slots_at + self.slots_size

    @property
    def notes_at(self) -> int:
        """Offset of the notes."""
        return self.members_at + self.members_size

    @property
    def size(self) -> int:
        """Size of the whole object."""
        return self.notes_at + self.notes_size

    def encode(self) -> bytes:
        """Return the 128 bytes."""
        head = _HEADER.pack(
            MAGIC,
            VERSION,
            DELTA if self.base else 0,
            b"",
            bytes.fromhex(self.hash),
            bytes.fromhex(self.base) if self.base else b"",
            self.root_size,
            self.pages_size,
            self.slots_size,
            self.members_size,
            self.notes_size,
            self.warm,
        )
        return head + _CHECK.pack(crc32(head))

    @classmethod
    def decode(cls, data: bytes, what: str = "these bytes") -> Header:
        """Return the header that *data* begins with; *what* names it in errors.

        Raises MalformedArchive, or UnsupportedArchive for a newer version.
        """
        if data[: len(MAGIC)] != MAGIC:
            raise errors.MalformedArchive(f"{what}: not a lazyimport archive")
        if len(data) < HEADER_SIZE:
            raise errors.MalformedArchive(f"{what}: cut short inside the header")
        _, version, flags, zero, name, base, *sizes = _HEADER.unpack_from(data)
        if version > VERSION:
            raise errors.UnsupportedArchive(
                f"{what}: written in archive format {version}, and this lazyimport "
                f"reads up to {VERSION}; install a newer ray-lazyimport in the image "
                "or push with the older one",
                version=version,
            )
        (check,) = _CHECK.unpack_from(data, _HEADER.size)
        if check != crc32(data[: _HEADER.size]):
            raise errors.MalformedArchive(f"{what}: the header is damaged")
        root, pages, slots, members, notes, warm = sizes
        if (
            version != VERSION
            or flags & ~DELTA
            or any(zero)
            or bool(flags & DELTA) != any(base)
            or root > MAX_ROOT
            or pages >= 1 << 32
            or slots % SLOT.size
            or notes > MAX_NOTES
            or warm > members
        ):
            raise errors.MalformedArchive(f"{what}: the header makes no sense")
        return cls(
            name.hex(),
            base=base.hex() if flags & DELTA else None,
            root_size=root,
            pages_size=pages,
            slots_size=slots,
            members_size=members,
            notes_size=notes,
            warm=warm,
        )


class Archive:
    """An archive in a buffer, which must stay as it is while this lives.

    *hash* is the name it must prove to have; *what* names the bytes in errors
    (a path or URL). Opening reads header and root only, whatever the size.
    Raises MalformedArchive, DamagedArchive or UnsupportedArchive.
    """

    __slots__ = ("_buffer", "_members", "hash", "header", "index", "repair", "what")

    #: told of damage, gives the same archive from sound bytes, or raises
    repair: Callable[[DamagedArchive], Archive] | None

    def __init__(
        self,
        buffer: bytes | mmap,
        hash: str,
        what: str = "these bytes",
    ) -> None:
        header = open_header(buffer, hash, what)
        if header.base is not None:
            raise errors.MalformedArchive(
                f"{what}: a delta, to be read with its base {header.base}", hash=hash
            )
        self._buffer = buffer
        self.header = header
        self.hash = hash
        self.what = what
        self.repair = None
        self.index = Index(
            buffer, hash, HEADER_SIZE, header.root_size, header.pages_size, what
        )
        if self.index.slots * SLOT.size != header.slots_size:
            raise errors.MalformedArchive(f"{what}: the slots do not add up", hash=hash)
        self._members = Members(buffer, header, what)

    def content(self, entry: Entry) -> bytes | memoryview:
        """Return the proved bytes of a file, or the listing of a directory.

        A member stored raw comes as a read-only view without a copy.
        """
        return self.member(entry.slot, entry.size, entry.digest, entry.path)

    def directory(self, path: str) -> Entry | None:
        """Return the entry of the directory *path* (``""`` is the top), or None."""
        for entry in self.index.find(path):
            if entry.is_directory and entry.path == path:
                return entry
        return None

    def children(self, path: str) -> list[tuple[str, int]]:
        """Return (name, kind) of what lies in the directory *path*, sorted by name."""
        entry = self.directory(path)
        return [] if entry is None else parse_listing(self.content(entry))

    def tops(self) -> list[str]:
        """Return the directories at the top, after ``""`` for the files there."""
        return ["", *(name for name, kind in self.children("") if kind)]

    def flags(self, top: str) -> int:
        """Return the flags of a directory at the top: format.md section 7."""
        entry = self.directory(top)
        return 0 if entry is None else entry.flags

    def files_under(self, path: str) -> Iterator[Entry]:
        """Yield the files in the directory *path* and below; of ``""`` only its own."""
        folders = [path]
        while folders:
            folder = folders.pop()
            for name, kind in self.children(folder):
                inner = f"{folder}/{name}" if folder else name
                if kind:
                    if folder:
                        folders.append(inner)
                elif (entry := self.index.entry(inner)) is not None:
                    yield entry

    def bytecode(self, entry: Entry, code: Code) -> bytes | memoryview:
        """Return the proved bytecode *code* of *entry*: what marshal reads."""
        return self.member(code.slot, code.size, code.digest, entry.path)

    def member(
        self, slot: int, size: int, digest: bytes, path: str
    ) -> bytes | memoryview:
        """Return the proved bytes of the member in *slot*; *path* names it."""
        try:
            return self._members.read(slot, size, digest, path)
        except errors.DamagedArchive as error:
            self._heal(error)
            return self._members.read(slot, size, digest, path)

    def _heal(self, error: DamagedArchive) -> None:
        """Go on with sound bytes, or raise *error*."""
        if self.repair is None:
            raise error
        sound = self.repair(error)
        self._buffer = sound._buffer  # noqa: SLF001
        self._members = sound._members  # noqa: SLF001
        self.header = sound.header

    def stored(self, slot: int) -> tuple[int, int]:
        """Return (offset in the members section, stored size) of *slot*.

        Raises DamagedArchive if the archive has no such slot.
        """
        return self._members.stored(slot)

    def sections(self) -> tuple[bytes, bytes, bytes]:
        """Return copies of the root, the pages and the notes, as they stand."""
        header = self.header
        return (
            self._buffer[HEADER_SIZE : header.pages_at],
            self._buffer[header.pages_at : header.slots_at],
            self._buffer[header.notes_at : header.size],
        )

    @property
    def notes(self) -> dict[str, object]:
        """What the packer noted for people; empty if it cannot be read."""
        return decode_notes(self.raw_notes)

    @property
    def raw_notes(self) -> bytes:
        """The notes as they stand in the archive."""
        return self._buffer[self.header.notes_at : self.header.size]

    def __repr__(self) -> str:
        return f"<Archive {self.hash[:12]} in {self.what}>"


class Members:
    """The slots and members of one object, archive or delta, in *buffer*."""

    __slots__ = ("_buffer", "_hash", "_members", "_slots", "_slots_at", "_what")

    def __init__(self, buffer: bytes | mmap, header: Header, what: str) -> None:
        self._buffer = buffer
        self._hash = header.hash
        self._members = memoryview(buffer)[header.members_at : header.notes_at]
        self._slots = header.slots_size // SLOT.size
        self._slots_at = header.slots_at
        self._what = what

    def stored(self, slot: int) -> tuple[int, int]:
        """Return (offset in the section, stored size); DamagedArchive if none."""
        if not 0 <= slot < self._slots:
            raise self._damaged(f"slot {slot}", b"", "there is none")
        return SLOT.unpack_from(self._buffer, self._slots_at + slot * SLOT.size)

    def read(
        self, slot: int, size: int, digest: bytes, path: str
    ) -> bytes | memoryview:
        """Return the member in *slot*, proved to be the *size* bytes of *digest*.

        Raises DamagedArchive, in which *path* says whose bytes these are.
        """
        offset, stored = self.stored(slot)
        if stored > size or offset + stored > len(self._members):
            raise self._damaged(path, digest, "it lies outside the archive")
        data: bytes | memoryview = self._members[offset : offset + stored]
        if stored != size:
            try:
                from lazyimport.format import codec  # not for raw members

                data = codec.decompress(data, size)
            except errors.DamagedArchive as error:
                raise self._damaged(path, digest, str(error)) from None
        actual = sha256(data)
        if actual != digest:
            raise self._damaged(path, digest, "its digest does not hold", actual)
        return data

    def _damaged(
        self, path: str, digest: bytes, why: str, actual: bytes = b""
    ) -> DamagedArchive:
        return errors.DamagedArchive(
            f"{self._what}: {path or 'the top directory'} of archive {self._hash} "
            f"is damaged: {why}",
            hash=self._hash,
            member=path,
            expected=digest.hex(),
            actual=actual.hex(),
        )


def top_of(path: str) -> str:
    """Return the directory at the top in which the file *path* lies, or ``""``."""
    top, inside, _ = path.partition("/")
    return top if inside else ""


def open_header(
    buffer: bytes | mmap,
    hash: str | None,
    what: str,
) -> Header:
    """Return the header of a whole object: sizes add up, and it claims *hash*."""
    header = Header.decode(buffer[:HEADER_SIZE], what)
    if header.size != len(buffer):
        cut = "cut short" if len(buffer) < header.size else "longer than it says"
        raise errors.MalformedArchive(
            f"{what}: {cut} ({len(buffer)} of {header.size} bytes)", hash=header.hash
        )
    if hash is not None and header.hash != hash:
        raise errors.MalformedArchive(
            f"{what}: this is archive {header.hash}, not {hash}", hash=hash
        )
    return header


def decode_notes(data: bytes) -> dict[str, object]:
    """Return notes as a dict; notes are never trusted, so defects give {}."""
    import json  # for people's questions, not on the start path

    try:
        notes = json.loads(data) if data else {}
    except (ValueError, RecursionError):
        return {}
    return notes if isinstance(notes, dict) else {}
