"""The archive: header, index, slots, members, notes. ``docs/format.md``.

`Archive` reads one from any buffer (bytes or a memory map) and proves what it
hands out. `lazyimport.format.writer` makes them.
"""

from __future__ import annotations

from lazyimport.format.entries import MODULE_SUFFIXES, Entry, parse_listing
from lazyimport.format.index import Index
from lazyimport.format.sections import (
    BLOB,
    HEADER_SIZE,
    SLOT,
    Header,
    Members,
    open_header,
)
from lazyimport.lazy import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from mmap import mmap
    from typing import Protocol

    from lazyimport.errors import DamagedArchive
    from lazyimport.format.blobs import Blob
    from lazyimport.format.sections import ReadMember

    #: returns the bytes of a blob, and takes care of their proof
    ReadBlob = Callable[[Blob], bytes | memoryview | mmap]

    class Coming(Protocol):
        """What brings the rest of an archive."""

        def wait(self, archive: Archive, slot: int, path: str) -> Archive:
            """Return *archive* when it has the member, or the same from other bytes."""

        def want(self, slots: Sequence[int]) -> object:
            """Bring these members before others; do not wait for them."""


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
        "_blob",
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
    header: Header
    index: Index
    _members: Members
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
        # None of what the members call refers to this, which goes with its last user.
        kept = self.base
        self._members = Members(
            buffer,
            header,
            what,
            None if kept is None else lambda: kept._members,  # noqa: SLF001
        )
        self._sealed = sealed
        self.blob = blob
        if relied:
            self.rely_on_seal()

    @property
    def blob(self) -> ReadBlob | None:
        """What reads blobs."""
        return self._blob

    @blob.setter
    def blob(self, blob: ReadBlob | None) -> None:
        self._blob = blob
        self._members.blob = reader_of(blob)
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

    def bytecode(self, entry: Entry, variant: int) -> bytes | memoryview | None:
        """Return the proved bytecode of a variant, for marshal to load, or None."""
        member = entry.code_member(variant)
        return member and self.member(*member, entry.path)

    def member(
        self, slot: int, size: int, digest: bytes, path: str
    ) -> bytes | memoryview:
        """Return the proved bytes of the member in *slot*; *path* names it."""
        if self.coming is not None or self.base is not None:
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
        """Say that the members in *slots* will be read, if it is still coming."""
        if self.base is not None and self.base.is_coming:
            inside = map(self._members.slot_in_base, slots)
            self.base.want([slot for slot in inside if slot is not None])
        if self.coming is not None:
            wanted = [s for s in slots if self.awaits(s) or self.stored(s)[0] == BLOB]
            if wanted:
                self.coming.want(wanted)

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
        `lazyimport.format.sections.BLOB`. Raises DamagedArchive if the archive has no
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


def reader_of(blob: ReadBlob | None) -> ReadMember | None:
    """Return what reads members that are blobs, by what reads blobs."""
    if blob is None:
        return None

    def read(digest: bytes, size: int, path: str, compressed: bool) -> memoryview:
        from lazyimport.format.blobs import Blob  # few archives have any

        return memoryview(blob(Blob(digest, size, path, compressed=compressed)))

    return read


def decode_notes(data: bytes) -> dict[str, object]:
    """Return notes as a dict, empty if they are defective: they are never trusted."""
    import json  # not needed at a start

    try:
        notes = json.loads(data) if data else {}
    except (ValueError, RecursionError):
        return {}
    return notes if isinstance(notes, dict) else {}
