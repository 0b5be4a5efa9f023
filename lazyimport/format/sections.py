"""The sections of an object, archive or delta. ``docs/format.md``.

The header says what the object is and how long the others are; a slot says where a
member lies.
"""

from __future__ import annotations

from _struct import Struct
from zlib import crc32

from lazyimport.format import sha256
from lazyimport.format.index import MAX_ROOT
from lazyimport.lazy import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from mmap import mmap

    from lazyimport.errors import DamagedArchive

    #: is called with a digest, size and path, and whether it is compressed
    ReadMember = Callable[[bytes, int, str, bool], bytes | memoryview]

MAGIC = b"\x89LZY\r\n\x1a\n"
VERSION = 1
DELTA, OVERLAY, BLOBS = 1, 2, 4
MAX_NOTES = 1 << 20
#: offsets that say: the base has the member; it is a blob
IN_BASE, BLOB = (1 << 64) - 1, (1 << 64) - 2
#: In a node cache, this is added to the offset of a member that is still coming. The
#: byte of a slot that has it is then `MARK`ed: one byte is never seen half written.
AWAITED = 1 << 63
MARK = 7
#: what is at the `MARK` of a slot whose member is still coming
_AWAITED = AWAITED >> 8 * MARK
#: A checksum that nothing has.
_NONE = -1

# magic, version, flags, CRC-32 of the root; hash, base; five sizes; warm
_HEADER = Struct("<8sHHI32s32sQQQQIQ")  # 16 + 2 * 32 + 4 * 8 + 4 + 8 = 124
_CHECK = Struct("<I")
SLOT = Struct("<QQI")  # offset, stored size, CRC-32 of the stored bytes: 20
_SLOT_SIZE = SLOT.size
HEADER_SIZE = _HEADER.size + _CHECK.size  # 128


class Header:
    """The first 128 bytes of an object.

    ``hash`` and ``base`` are in hex digits; ``base`` is None unless the object is a
    delta or an ``overlay``. ``blobs`` says that some of its slots refer to blobs, and
    ``root_check`` is the CRC-32 of the root. Sizes are in bytes.
    """

    __slots__ = (
        "base",
        "blobs",
        "hash",
        "members_size",
        "notes_size",
        "overlay",
        "pages_size",
        "root_check",
        "root_size",
        "slots_size",
        "warm",
    )

    def __init__(
        self,
        hash: str,
        *,
        base: str | None = None,
        overlay: bool = False,
        root_check: int,
        root_size: int,
        pages_size: int,
        slots_size: int,
        members_size: int = 0,
        notes_size: int = 0,
        warm: int = 0,
        blobs: bool = False,
    ) -> None:
        self.hash = hash
        self.base = base
        self.overlay = overlay
        self.root_check = root_check
        self.root_size = root_size
        self.pages_size = pages_size
        self.slots_size = slots_size
        self.members_size = members_size
        self.notes_size = notes_size
        self.warm = warm
        self.blobs = blobs

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
            (OVERLAY if self.overlay else DELTA if self.base else 0)
            | BLOBS * self.blobs,
            self.root_check,
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
    def decode(
        cls, data: bytes, what: str = "these bytes", *, overlay: bool = False
    ) -> Header:
        """Return the header that *data* begins with; *what* names it in errors.

        Raises MalformedArchive, also unless it may be an *overlay*, which only a node
        cache has; or UnsupportedArchive for a newer version.
        """
        if data[: len(MAGIC)] != MAGIC:
            raise errors.MalformedArchive(f"{what}: not a lazyimport archive")
        if len(data) < HEADER_SIZE:
            raise errors.MalformedArchive(f"{what}: cut short inside the header")
        _, version, flags, root_check, name, base, *sizes = _HEADER.unpack_from(data)
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
            or flags & ~BLOBS not in {0, DELTA, OVERLAY}
            or bool(flags & ~BLOBS) != any(base)
            or root > MAX_ROOT
            or pages >= 1 << 32
            or slots % SLOT.size
            or notes > MAX_NOTES
            or warm > members
        ):
            raise errors.MalformedArchive(f"{what}: the header makes no sense")
        if flags & OVERLAY and not overlay:
            raise errors.MalformedArchive(
                f"{what}: an overlay, which is of use only in a node cache"
            )
        return cls(
            name.hex(),
            base=base.hex() if flags & ~BLOBS else None,
            overlay=bool(flags & OVERLAY),
            root_check=root_check,
            root_size=root,
            pages_size=pages,
            slots_size=slots,
            members_size=members,
            notes_size=notes,
            warm=warm,
            blobs=bool(flags & BLOBS),
        )


def open_header(
    buffer: bytes | mmap,
    hash: str | None,
    what: str,
    *,
    overlay: bool = False,
) -> Header:
    """Return the header of a whole object, whose sizes add up.

    *hash* is the one that it must claim, None for any; *overlay* is as for
    `Header.decode`. Raises MalformedArchive or UnsupportedArchive.
    """
    header = Header.decode(buffer[:HEADER_SIZE], what, overlay=overlay)
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


class Members:
    """The slots and members of one object, archive or delta, in *buffer*.

    Where ``sealed``, the checksum in its slot is proof enough of a member. *base*
    returns those of the base, and ``blob`` reads the members that are blobs.
    """

    __slots__ = (
        "_base",
        "_buffer",
        "_hash",
        "_members",
        "_slots",
        "_slots_at",
        "_starts",
        "_what",
        "blob",
        "sealed",
        "size",
    )

    def __init__(
        self,
        buffer: bytes | mmap,
        header: Header,
        what: str,
        base: Callable[[], Members] | None = None,
    ) -> None:
        self._base = base
        #: where its members begin, if those of the base lie before them
        self._starts = 0 if base is None else base().size
        self._buffer = buffer
        self._hash = header.hash
        self._members = memoryview(buffer)[header.members_at : header.notes_at]
        self.size: int = header.members_size
        self._slots = header.slots_size // SLOT.size
        self._slots_at = header.slots_at
        self._what = what
        self.sealed = False
        self.blob: ReadMember | None = None

    def stored(self, slot: int) -> tuple[int, int]:
        """Return (offset in the section, stored size). Raises DamagedArchive."""
        offset, stored, _ = self._slot(slot)
        if offset == IN_BASE and self._base is not None:
            return self._base().stored(stored)
        return offset if offset == BLOB else self._starts + offset, stored

    def slot_in_base(self, slot: int) -> int | None:
        """Return the slot in which the base has the member that is in *slot*, if so."""
        offset, stored, _ = self._slot(slot)
        return stored if offset == IN_BASE else None

    def awaits(self, slot: int) -> bool:
        """Return whether the member in *slot* is still coming."""
        at = self._slots_at + slot * SLOT.size + MARK
        return 0 <= slot < self._slots and self._buffer[at] == _AWAITED

    def _slot(self, slot: int) -> tuple[int, int, int]:
        if not 0 <= slot < self._slots:
            raise self._no_slot(slot)
        at = self._slots_at + slot * _SLOT_SIZE
        return SLOT.unpack_from(self._buffer, at)

    def read(
        self, slot: int, size: int, digest: bytes, path: str, known: int | None = None
    ) -> bytes | memoryview:
        """Return the member in *slot*, proved to be the *size* bytes of *digest*.

        A checksum that is *known* of it counts in place of the one in its slot. Raises
        DamagedArchive, in which *path* says whose bytes these are.
        """
        if not 0 <= slot < self._slots:
            raise self._no_slot(slot)
        at = self._slots_at + slot * _SLOT_SIZE
        offset, stored, crc = SLOT.unpack_from(self._buffer, at)
        if offset >= BLOB:
            if offset == IN_BASE and self._base is not None:
                # Its slot may be another's: only a sealed checksum says it is not.
                known = crc if self.sealed else _NONE
                return self._base().read(stored, size, digest, path, known)
            if offset == BLOB and self.blob is not None:
                return self.blob(digest, size, path, stored != size)
        if known is not None:
            crc = known
        end = offset + stored
        if stored > size or end > self.size:
            raise self._damaged(path, digest, "it lies outside the archive")
        data: bytes | memoryview = self._members[offset:end]
        intact = self.sealed and crc32(data) == crc
        if stored != size:
            try:
                from lazyimport.format import codec  # not for raw members

                data = codec.decompress(data, size)
            except errors.DamagedArchive as error:
                raise self._damaged(path, digest, str(error)) from None
        if not intact and (actual := sha256(data)) != digest:
            raise self._damaged(path, digest, "its digest does not hold", actual)
        return data

    def _no_slot(self, slot: int) -> DamagedArchive:
        return self._damaged(f"slot {slot}", b"", "there is none")

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
