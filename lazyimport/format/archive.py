"""The archive: header, index, slots, members, notes. ``docs/format.md``.

`Archive` reads one from any buffer (bytes or a memory map) and proves what it
hands out. `lazyimport.format.writer` makes them.
"""

from __future__ import annotations

from zlib import crc32

from lazyimport.format import sha256
from lazyimport.format.entries import MODULE_SUFFIXES, Code, Entry, parse_listing
from lazyimport.format.header import (
    AWAITED,
    BLOB,
    HEADER_SIZE,
    IN_BASE,
    MARK,
    SLOT,
    Header,
    open_header,
)
from lazyimport.format.index import Index
from lazyimport.lazy import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from mmap import mmap
    from typing import Protocol

    from lazyimport.errors import DamagedArchive
    from lazyimport.format.blobs import Blob

    #: returns the bytes of a blob, and takes care of their proof
    ReadBlob = Callable[[Blob], bytes | memoryview | mmap]

    class Coming(Protocol):
        """What brings the rest of an archive."""

        def wait(self, archive: Archive, slot: int, path: str) -> Archive:
            """Return *archive* when it has the member, or the same from other bytes."""

        def want(self, slots: Sequence[int]) -> object:
            """Bring these members before others; do not wait for them."""


#: what is at the `MARK` of a slot whose member is still coming
_AWAITED = AWAITED >> 8 * MARK


class Archive:
    """An archive in a buffer, which must stay as it is while this lives.

    *hash* is the name that it must prove to have; *what* names the bytes in errors
    (a path or URL). *sealed* says that the bytes were proved when they were stored, and
    nobody has written to them since: see `rely_on_seal`, which *relied* calls before
    anything is read. *base* opens the full archive
    with a hash, of which an overlay has some of its members: it is then its ``base``.
    *blob* returns the bytes of a blob; without it they cannot be read.
    Opening reads the header and the root only, whatever the size. Raises
    MalformedArchive, DamagedArchive or UnsupportedArchive.
    """

    __slots__ = (
        "_buffer",
        "_members",
        "_sealed",
        "base",
        "coming",
        "hash",
        "header",
        "index",
        "repair",
        "what",
    )

    #: the archive that an overlay has members of
    base: Archive | None
    hash: str
    index: Index
    #: is called with damage; returns the same archive from sound bytes, or raises
    repair: Callable[[DamagedArchive], Archive] | None
    #: is asked for members that are not there yet, of an archive that is still coming
    coming: Coming | None

    def __init__(
        self,
        buffer: bytes | mmap,
        hash: str,
        what: str = "these bytes",
        *,
        sealed: bool = False,
        relied: bool = False,
        base: Callable[[str], Archive] | None = None,
        blob: ReadBlob | None = None,
    ) -> None:
        header = open_header(buffer, hash, what, overlay=True)
        self.base = None
        if base is not None and header.overlay:
            self.base = base(str(header.base))
        if header.base != (self.base and self.base.hash):
            kind = "an overlay" if header.overlay else "a delta"
            raise errors.MalformedArchive(
                f"{what}: {kind}, to be read with its base {header.base}", hash=hash
            )
        self._buffer = buffer
        self.header = header
        self.hash = hash
        self.what = what
        self.repair = self.coming = None
        self.index = Index(
            buffer,
            hash,
            HEADER_SIZE,
            header.root_size,
            header.pages_size,
            what,
            header.root_check if sealed and relied else None,
        )
        if self.index.slots * SLOT.size != header.slots_size:
            raise errors.MalformedArchive(f"{what}: the slots do not add up", hash=hash)
        self._members = Members(buffer, header, what, self.base)
        self._sealed = sealed
        self.blob = blob
        if relied:
            self.rely_on_seal()

    @property
    def blob(self) -> ReadBlob | None:
        """What reads blobs."""
        return self._members.blob

    @blob.setter
    def blob(self, blob: ReadBlob | None) -> None:
        self._members.blob = blob
        if self.base is not None:
            self.base.blob = blob

    def rely_on_seal(self) -> None:
        """Let checksums stand for digests from now on, if the bytes are sealed.

        What a checksum does not prove is still proved by its digest.
        """
        self.index.sealed = self._members.sealed = self._sealed
        if self.base is not None:
            self.base.rely_on_seal()

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
        self.wait_for(slot, path)
        try:
            return self._members.read(slot, size, digest, path)
        except errors.DamagedArchive as error:
            self._heal(error)
            self.wait_for(slot, path)
            return self._members.read(slot, size, digest, path)

    @property
    def is_coming(self) -> bool:
        """Whether it was opened before all of it, or of its base, was there."""
        return bool(self.coming or (self.base is not None and self.base.is_coming))

    def wait_for(self, slot: int, path: str) -> None:
        """Return when the member in *slot*, which *path* names, is there."""
        if self.base is not None and self.base.coming is not None:
            inner = self._members.slot_in_base(slot)
            if inner is not None:
                self.base.wait_for(inner, path)
        while self.coming is not None and self._members.awaits(slot):
            self._replace(self.coming.wait(self, slot, path))

    def _heal(self, error: DamagedArchive) -> None:
        """Go on with sound bytes, or raise *error*."""
        if self.repair is None:
            raise error
        self._replace(self.repair(error))

    def want(self, slots: Sequence[int]) -> None:
        """Say that the members in *slots* will be read, if they are still coming."""
        if self.base is not None and self.base.is_coming:
            inside = map(self._members.slot_in_base, slots)
            self.base.want([slot for slot in inside if slot is not None])
        slots = list(filter(self.awaits, slots))
        if self.coming is not None and slots:
            self.coming.want(slots)

    def awaits(self, slot: int) -> bool:
        """Return whether the member in *slot* is still coming."""
        return self._members.awaits(slot)

    def _replace(self, sound: Archive) -> None:
        if sound is self:
            return
        sound.blob = self.blob
        if self._members.sealed:
            sound.rely_on_seal()
        self.coming = sound.coming
        self._buffer = sound._buffer
        self._members = sound._members
        self.base = sound.base
        self.header = sound.header

    def stored(self, slot: int) -> tuple[int, int]:
        """Return (offset in the members section, stored size) of *slot*.

        The section of an overlay follows that of its base. Of a blob the offset is
        `lazyimport.format.header.BLOB`. Raises DamagedArchive if the archive has no
        such slot.
        """
        return self._members.stored(slot)

    def is_blob(self, entry: Entry) -> bool:
        """Return whether the bytes of a file lie in a blob."""
        return self.stored(entry.slot)[0] == BLOB

    def blobs(self) -> dict[bytes, Blob]:
        """Return the blobs that the archive refers to, by digest."""
        from lazyimport.format.blobs import find_blobs, kept  # not at a start

        header = self.header
        slots = self._buffer[header.slots_at : header.members_at]
        found = find_blobs(self.index, slots)
        if self.base is not None:
            found = {**kept(self.base.blobs(), self.index), **found}
        return found

    @property
    def notes(self) -> dict[str, object]:
        """What packing noted for people; empty if it cannot be read."""
        return decode_notes(self.raw_notes)

    @property
    def warm(self) -> int:
        """The size of the members that a start reads, which lie first; 0 if unknown."""
        return (self.base or self).header.warm

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


#: A checksum that nothing has.
_NONE = -1


class Members:
    """The slots and members of one object, archive or delta, in *buffer*.

    Where ``sealed``, the checksum in its slot is proof enough of a member.
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
    )

    def __init__(
        self,
        buffer: bytes | mmap,
        header: Header,
        what: str,
        base: Archive | None = None,
    ) -> None:
        self._base = base
        #: where its members begin, if those of the base lie before them
        self._starts = 0 if base is None else base.header.members_size
        self._buffer = buffer
        self._hash = header.hash
        self._members = memoryview(buffer)[header.members_at : header.notes_at]
        self._slots = header.slots_size // SLOT.size
        self._slots_at = header.slots_at
        self._what = what
        self.sealed = False
        self.blob: ReadBlob | None = None

    def stored(self, slot: int) -> tuple[int, int]:
        """Return (offset in the section, stored size). Raises DamagedArchive."""
        offset, stored, _ = self._slot(slot)
        if offset == IN_BASE and self._base is not None:
            return self._base.stored(stored)
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
            raise self._damaged(f"slot {slot}", b"", "there is none")
        return SLOT.unpack_from(self._buffer, self._slots_at + slot * SLOT.size)

    def read(
        self, slot: int, size: int, digest: bytes, path: str, known: int | None = None
    ) -> bytes | memoryview:
        """Return the member in *slot*, proved to be the *size* bytes of *digest*.

        A checksum that is *known* of it counts in place of the one in its slot. Raises
        DamagedArchive, in which *path* says whose bytes these are.
        """
        offset, stored, crc = self._slot(slot)
        if offset == IN_BASE and self._base is not None:
            # Its slot may be another's: nothing but a sealed checksum says it is not.
            known = crc if self.sealed else _NONE
            members = self._base._members  # noqa: SLF001
            return members.read(stored, size, digest, path, known)
        if offset == BLOB and self.blob is not None:
            from lazyimport.format.blobs import Blob  # few archives have any

            wanted = Blob(digest, size, path, compressed=stored != size)
            return memoryview(self.blob(wanted))
        if known is not None:
            crc = known
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
