"""Writing archives: header, index, slots, members, notes. ``docs/format.md``.

No IO of its own: the bytes of each digest come from a function, and go to a
writable binary file.
"""

from __future__ import annotations

from lazyimport.errors import DamagedArchive
from lazyimport.format.archive import IN_BASE, MAX_NOTES, SLOT, Archive, Header
from lazyimport.format.digest import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import BinaryIO

    from lazyimport.format.image import IndexImage
    from lazyimport.format.index import Entry

    #: gives the bytes of a digest
    Read = Callable[[bytes], bytes | memoryview]

__all__ = [
    "encode_notes",
    "member_order",
    "recode",
    "write_archive",
    "write_image",
    "write_object",
]


def encode_notes(notes: dict[str, object]) -> bytes:
    """Return notes as bytes; none of them where they exceed the limit."""
    import json

    text = json.dumps(notes, ensure_ascii=False, sort_keys=True)
    # A file name that is no UTF-8 has surrogates: JSON's own escape for them.
    data = text.encode("utf-8", "backslashreplace")
    return data if len(data) <= MAX_NOTES else b"{}"


def write_archive(
    out: BinaryIO,
    image: IndexImage,
    read: Read,
    *,
    first: Sequence[bytes] = (),
    raw: bool = False,
    notes: bytes = b"",
) -> Header:
    """Write the archive of *image* to *out*, a seekable file, and return its header.

    *read* gives the bytes of a digest; they are checked, and DamagedArchive is
    raised if they are others. *first* are digests to lie before all others, in
    order: a recorded start; those that the archive does not hold are ignored.
    With *raw* members are stored uncompressed, else as zstd where that is smaller.
    """
    read = checked(read, image.hash, image.members)
    return write_image(out, image, read, first=first, raw=raw, notes=notes)


def write_image(
    out: BinaryIO,
    image: IndexImage,
    read: Read,
    *,
    first: Sequence[bytes] = (),
    raw: bool,
    notes: bytes,
) -> Header:
    """Write an archive as `write_archive` does; *read* gives bytes already proved."""
    order, warm = member_order(image.entries, first)
    header = Header(
        image.hash,
        root_size=len(image.root),
        pages_size=len(image.pages),
        slots_size=len(image.members) * SLOT.size,
    )
    root, pages, members = image.root, image.pages, image.members
    return write_object(
        out, header, root, pages, members, order, warm, read, raw, notes
    )


def recode(archive: Archive, out: BinaryIO, *, raw: bool) -> Header:
    """Write *archive* once more, proved in full, with its members in their order."""
    # Digest: offset, stored size (the empty member lies before its neighbour), and how
    # to read it
    where: dict[bytes, tuple[int, int, int, int, str]] = {}
    members: list[tuple[int, bytes]] = []
    for entry in archive.index.entries():
        for slot, size, digest in entry.members():
            members.append((size, digest))
            if digest not in where:
                where[digest] = (*archive.stored(slot), slot, size, entry.path)
    order = sorted(where, key=where.__getitem__)
    warm = sum(offset < archive.header.warm for offset, *_ in where.values())

    def read(digest: bytes) -> bytes | memoryview:
        _, _, slot, size, path = where[digest]
        return archive.member(slot, size, digest, path)

    root, pages, notes = archive.sections()
    header = Header(
        archive.hash,
        root_size=len(root),
        pages_size=len(pages),
        slots_size=len(members) * SLOT.size,
    )
    return write_object(
        out, header, root, pages, members, order, warm, read, raw, notes
    )


def checked(read: Read, hash: str, members: Iterable[tuple[int, bytes]]) -> Read:
    """Return *read* with a proof that it gives the *members* of archive *hash*."""
    sizes = {digest: size for size, digest in members}

    def read_checked(digest: bytes) -> bytes | memoryview:
        data = read(digest)
        actual = sha256(data)
        if actual != digest or len(data) != sizes[digest]:
            raise DamagedArchive(
                f"bytes for archive {hash} changed while it was written",
                hash=hash,
                member="",
                expected=digest.hex(),
                actual=actual.hex(),
            )
        return data

    return read_checked


def member_order(
    entries: Iterable[Entry], first: Sequence[bytes] = ()
) -> tuple[list[bytes], int]:
    """Return the digests in the order to store them, and how many a start needs.

    Bytecode, then listings, data and sourceless code, then sources; each by path:
    format.md section 6. Digests in *first* go before all, if an entry has them.
    """
    bytecode: dict[bytes, None] = {}
    data: dict[bytes, None] = {}
    sources: dict[bytes, None] = {}
    for entry in sorted(entries, key=lambda entry: entry.path):
        content, *codes = [digest for _, _, digest in entry.members()]
        (sources if codes else data)[content] = None
        bytecode.update(dict.fromkeys(codes))
    held = bytecode | data | sources
    recorded = dict.fromkeys(digest for digest in first if digest in held)
    warm = recorded | bytecode | data
    return list(warm | sources), len(warm)


def write_object(
    out: BinaryIO,
    header: Header,
    root: bytes,
    pages: bytes,
    slots: Sequence[tuple[int, bytes]],
    order: Sequence[bytes],
    warm: int,
    read: Read,
    raw: bool,
    notes: bytes,
) -> Header:
    """Write one object, archive or delta, whose slots are those of (size, digest).

    *read* gives the proved bytes of each digest in *order*, which get a member;
    the others are said to be in the base. The first *warm* of them are what a
    start needs. Fills in what *header* cannot know before.
    """
    if len(notes) > MAX_NOTES:
        raise ValueError(f"notes of {len(notes)} bytes exceed {MAX_NOTES}")
    start = out.tell()
    out.seek(start + header.members_at)
    places: dict[bytes, bytes] = {}
    offset = 0
    data: Iterator[bytes | memoryview] = map(read, order)
    if not raw:
        from lazyimport.format import codec

        data = codec.compress_all(data)
    for digest, stored in zip(order, data, strict=True):
        out.write(stored)
        places[digest] = SLOT.pack(offset, len(stored))
        offset += len(stored)
        if len(places) == warm:
            header.warm = offset
    header.members_size = offset
    header.notes_size = len(notes)
    out.write(notes)
    out.seek(start)
    out.write(header.encode())
    out.write(root)
    out.write(pages)
    in_base = SLOT.pack(IN_BASE, 0)
    out.write(b"".join([places.get(digest, in_base) for _, digest in slots]))
    out.seek(start + header.size)
    return header
