"""Writing archives: header, index, slots, members, notes. ``docs/format.md``.

No IO of its own: a function gives the bytes of each digest, and what is written goes
to a binary file that can seek.
"""

from __future__ import annotations

from zlib import crc32

from lazyimport.errors import DamagedArchive
from lazyimport.format import sha256
from lazyimport.format.blobs import NONE
from lazyimport.format.sections import IN_BASE, MAX_NOTES, SLOT, Header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from lazyimport.format.archive import Archive
    from lazyimport.format.blobs import Blob
    from lazyimport.format.entries import Entry
    from lazyimport.format.index import Index

    #: gives the bytes of a digest
    Read = Callable[[bytes], bytes | memoryview]


def encode_notes(notes: dict[str, object]) -> bytes:
    """Return notes as bytes; empty ones if they exceed the limit."""
    import json

    text = json.dumps(notes, ensure_ascii=False, sort_keys=True)
    # A file name that is no UTF-8 has surrogates: JSON's own escape for them.
    data = text.encode("utf-8", "backslashreplace")
    return data if len(data) <= MAX_NOTES else b"{}"


def write_archive(
    out: BinaryIO,
    index: Index,
    read: Read,
    *,
    first: Sequence[bytes] = (),
    raw: bool = False,
    notes: bytes = b"",
    proved: bool = False,
    blobs: Mapping[bytes, Blob] = NONE,
) -> Header:
    """Write the archive of *index* to *out*, a seekable file, and return its header.

    *read* gives the bytes of a digest; unless it has *proved* them, they are checked,
    and DamagedArchive is raised if they are not those. *first* are digests to lie
    before all others, in order: what a start reads; digests that the archive does not
    have are ignored. With *raw* members are stored uncompressed, else as zstd where
    that is smaller. *blobs*, by digest, do not come into the archive.
    """
    entries = list(index.entries())
    members = members_of(entries)
    if not proved:
        read = checked(read, index.hash, members)
    order, warm = member_order(entries, first)
    sections = index.root, index.body, members
    return write_object(
        out,
        (index.hash, None),
        sections,
        order,
        warm,
        read,
        raw=raw,
        notes=notes,
        blobs=blobs,
    )


def recode(
    archive: Archive,
    out: BinaryIO,
    *,
    raw: bool,
    first: Sequence[bytes] = (),
    blobs: Mapping[bytes, Blob] | None = None,
) -> Header:
    """Write *archive* again, proved in full.

    Its members stay in the same order, but for those of the digests *first*. *blobs* do
    not come into it: those of *archive*, or others.
    """
    index = archive.index
    if blobs is None:
        blobs = archive.blobs()
    # Digest: offset, stored size (the empty member lies before its neighbor), and how
    # to read it
    where: dict[bytes, tuple[int, int, int, int, str]] = {}
    members: list[tuple[int, bytes]] = []
    for entry in index.entries():
        for slot, size, digest in entry.members():
            members.append((size, digest))
            if digest not in where:
                where[digest] = (*archive.stored(slot), slot, size, entry.path)
    order = sorted(where, key=where.__getitem__)
    warm = sum(offset < archive.warm for offset, *_ in where.values())
    if first:
        recorded = dict.fromkeys(digest for digest in first if digest in where)
        order, warm = list(recorded | dict.fromkeys(order)), len(recorded)

    def read(digest: bytes) -> bytes | memoryview:
        _, _, slot, size, path = where[digest]
        return archive.member(slot, size, digest, path)

    return write_object(
        out,
        (archive.hash, None),
        (index.root, index.body, members),
        order,
        warm,
        read,
        raw=raw,
        notes=archive.raw_notes,
        blobs=blobs,
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


def members_of(entries: Iterable[Entry]) -> list[tuple[int, bytes]]:
    """Return the size and digest of what lies in each slot of *entries*, in order."""
    return [(size, digest) for entry in entries for _, size, digest in entry.members()]


def member_order(
    entries: Iterable[Entry], first: Sequence[bytes] = ()
) -> tuple[list[bytes], int]:
    """Return the digests in the order to store them, and how many of *first* there are.

    Those of *first* that an entry has come first, then bytecode, then listings, data
    and sourceless code, then sources; each by path: format.md section 6.
    """
    bytecode: dict[bytes, None] = {}
    data: dict[bytes, None] = {}
    sources: dict[bytes, None] = {}
    for entry in sorted(entries, key=lambda entry: entry.path):
        content, *codes = [digest for _, _, digest in entry.members()]
        (sources if codes else data)[content] = None
        bytecode.update(dict.fromkeys(codes))
    known = bytecode | data | sources
    recorded = dict.fromkeys(digest for digest in first if digest in known)
    return list(recorded | known), len(recorded)


def write_object(
    out: BinaryIO,
    names: tuple[str, str | None],
    sections: tuple[bytes, bytes, Sequence[tuple[int, bytes]]],
    order: Sequence[bytes],
    warm: int,
    read: Read,
    *,
    raw: bool,
    notes: bytes,
    blobs: Mapping[bytes, Blob],
) -> Header:
    """Write one object, archive or delta, and return its header.

    *names* are the hash and the base; *sections* are the root, the pages, and the
    size and digest of what each slot refers to. *read* gives the proved bytes of
    each digest in *order*, which become members, except *blobs*; the other digests are
    said to be in the base. The first *warm* members are those that a start reads.
    """
    if len(notes) > MAX_NOTES:
        raise ValueError(f"notes of {len(notes)} bytes exceed {MAX_NOTES}")
    root, pages, slots = sections
    header = Header(
        names[0],
        base=names[1],
        root_check=crc32(root),
        root_size=len(root),
        pages_size=len(pages),
        slots_size=len(slots) * SLOT.size,
        notes_size=len(notes),
        blobs=any(digest in blobs for _, digest in slots),
    )
    start = out.tell()
    out.seek(start + header.members_at)
    warm -= sum(digest in blobs for digest in order[:warm])
    order = [digest for digest in order if digest not in blobs]
    places: dict[bytes, bytes] = {}
    data: Iterator[bytes | memoryview] = map(read, order)
    if not raw:
        from lazyimport.format import codec

        data = codec.compress_all(data)
    for digest, stored in zip(order, data, strict=True):
        out.write(stored)
        places[digest] = SLOT.pack(header.members_size, len(stored), crc32(stored))
        header.members_size += len(stored)
        if len(places) == warm:
            header.warm = header.members_size
    out.write(notes)
    out.seek(start)
    out.write(header.encode())
    out.write(root)
    out.write(pages)
    places.update((digest, blob.slot) for digest, blob in blobs.items())
    in_base = SLOT.pack(IN_BASE, 0, 0)
    out.write(b"".join([places.get(digest, in_base) for _, digest in slots]))
    out.seek(start + header.size)
    return header
