"""The archive: header, index, slots, members, notes. ``docs/format.md``.

`Archive` reads one from any buffer (bytes or a memory map) and proves what it
hands out. `lazyimport.format.writer` makes them.
"""

from __future__ import annotations

from zlib import crc32

from lazyimport.format.digest import sha256
from lazyimport.format.entries import MODULE_SUFFIXES, Code, Entry, parse_listing
from lazyimport.format.header import HEADER_SIZE, SLOT, Header, open_header
from lazyimport.format.index import Index
from lazyimport.lazy import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from mmap import mmap

    from lazyimport.errors import DamagedArchive


class Archive:
    """An archive in a buffer, which must stay as it is while this lives.

    *hash* is the name that it must prove to have; *what* names the bytes in errors
    (a path or URL). *sealed* says that the bytes were proved when they were stored, and
    nobody has written to them since: see `rely_on_seal`. Opening reads the header
    and the root only, whatever the size. Raises MalformedArchive, DamagedArchive or
    UnsupportedArchive.
    """

    __slots__ = (
        "_buffer",
        "_members",
        "_sealed",
        "hash",
        "header",
        "index",
        "repair",
        "what",
    )

    #: is called with damage; returns the same archive from sound bytes, or raises
    repair: Callable[[DamagedArchive], Archive] | None

    def __init__(
        self,
        buffer: bytes | mmap,
        hash: str,
        what: str = "these bytes",
        *,
        sealed: bool = False,
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
        self._sealed = sealed

    def rely_on_seal(self) -> None:
        """Let checksums stand for digests from now on, if the bytes are sealed.

        What a checksum does not prove is still proved by its digest.
        """
        self.index.sealed = self._members.sealed = self._sealed

    def content(self, entry: Entry) -> bytes | memoryview:
        """Return the proved bytes of a file, or the listing of a directory.

        A member that is stored raw is a read-only view, not a copy.
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

    def has_modules(self, folder: str) -> bool:
        """Return whether any file in the directory *folder* or below is a module."""
        files = self.files_under(folder)
        return any(entry.path.endswith(MODULE_SUFFIXES) for entry in files)

    def bytecode(self, entry: Entry, code: Code) -> bytes | memoryview:
        """Return the proved bytecode *code* of *entry*, for marshal to load."""
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

    @property
    def notes(self) -> dict[str, object]:
        """What packing noted for people; empty if it cannot be read."""
        return decode_notes(self.raw_notes)

    @property
    def sealed(self) -> bool:
        """Whether all bytes were proved when they were stored, and are as they were."""
        return self._sealed

    @property
    def buffer(self) -> bytes | mmap:
        """The bytes of the whole archive."""
        return self._buffer

    @property
    def raw_notes(self) -> bytes:
        """The notes as they stand in the archive."""
        return self._buffer[self.header.notes_at : self.header.size]

    def __repr__(self) -> str:
        return f"<Archive {self.hash[:12]} in {self.what}>"


class Members:
    """The slots and members of one object, archive or delta, in *buffer*.

    Where ``sealed``, the checksum in its slot is proof enough of a member.
    """

    __slots__ = (
        "_buffer",
        "_hash",
        "_members",
        "_slots",
        "_slots_at",
        "_what",
        "sealed",
    )

    def __init__(self, buffer: bytes | mmap, header: Header, what: str) -> None:
        self._buffer = buffer
        self._hash = header.hash
        self._members = memoryview(buffer)[header.members_at : header.notes_at]
        self._slots = header.slots_size // SLOT.size
        self._slots_at = header.slots_at
        self._what = what
        self.sealed = False

    def stored(self, slot: int) -> tuple[int, int]:
        """Return (offset in the section, stored size). Raises DamagedArchive."""
        return self._slot(slot)[:2]

    def _slot(self, slot: int) -> tuple[int, int, int]:
        if not 0 <= slot < self._slots:
            raise self._damaged(f"slot {slot}", b"", "there is none")
        return SLOT.unpack_from(self._buffer, self._slots_at + slot * SLOT.size)

    def read(
        self, slot: int, size: int, digest: bytes, path: str
    ) -> bytes | memoryview:
        """Return the member in *slot*, proved to be the *size* bytes of *digest*.

        Raises DamagedArchive, in which *path* says whose bytes these are.
        """
        offset, stored, crc = self._slot(slot)
        if stored > size or offset + stored > len(self._members):
            raise self._damaged(path, digest, "it lies outside the archive")
        data: bytes | memoryview = self._members[offset : offset + stored]
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


def decode_notes(data: bytes) -> dict[str, object]:
    """Return notes as a dict, empty if they are defective: they are never trusted."""
    import json  # not needed at a start

    try:
        notes = json.loads(data) if data else {}
    except (ValueError, RecursionError):
        return {}
    return notes if isinstance(notes, dict) else {}
