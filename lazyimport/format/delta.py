"""Deltas: an archive told as what differs from its base.

``docs/format.md`` section 8.
"""

from __future__ import annotations

from struct import Struct, error as StructError  # noqa: N812

from lazyimport.errors import DamagedArchive, MalformedArchive
from lazyimport.format.archive import (
    HEADER_SIZE,
    SLOT,
    Archive,
    Header,
    Members,
    checked,
    member_order,
    open_header,
    write_image,
    write_object,
)
from lazyimport.format.index import (
    MAX_ROOT_HEAD,
    Entry,
    Index,
    IndexImage,
    build_index,
    check_path,
    decode_rows,
    encode_page,
    rank,
    read_root_head,
    root_head_size,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from mmap import mmap
    from typing import BinaryIO, TypeAlias

    from lazyimport.format.index import Variant

    _ReadMember: TypeAlias = Callable[[int, int, bytes, str], bytes | memoryview]

__all__ = ["apply_delta", "write_delta"]

_COUNT = Struct("<I")
_LENGTH = Struct("<H")


def write_delta(
    out: BinaryIO,
    base: Index,
    image: IndexImage,
    read: Callable[[bytes], bytes | memoryview],
    *,
    notes: bytes = b"",
) -> Header | None:
    """Write *image* as a delta to *base*; None, and nothing written, if it cannot be.

    It cannot where the two have other variants, or are the same archive. *read*
    gives the bytes of a digest that the base does not hold.
    """
    variants = read_root_head(image.root[:MAX_ROOT_HEAD], image.hash)[5]
    if variants != base.variants or image.hash == base.hash:
        return None
    old: dict[str, bytes] = {}
    held: set[bytes] = set()
    for entry in base.entries():
        old[entry.path] = entry.row()
        held.update(digest for _, _, digest in entry.members())
    changed = [entry for entry in image.entries if old.get(entry.path) != entry.row()]
    removed = old.keys() - {entry.path for entry in image.entries}
    page, members = encode_page(rank(changed))
    patch = _encode_removed(removed) + page
    order, warm = member_order(changed)
    header = Header(
        image.hash,
        base=base.hash,
        root_size=root_head_size(len(variants)),
        pages_size=len(patch),
        slots_size=len(members) * SLOT.size,
    )
    return write_object(
        out,
        header,
        image.root[: header.root_size],
        patch,
        members,
        [digest for digest in order if digest not in held],
        sum(digest not in held for digest in order[:warm]),
        checked(read, image),
        False,
        notes,
    )


def apply_delta(
    buffer: bytes | mmap,
    hash: str,
    base: Archive,
    out: BinaryIO,
    *,
    raw: bool,
    what: str = "this delta",
) -> Header:
    """Write the archive *hash* that the delta in *buffer* and its *base* give.

    *what* names the delta in errors. Raises MalformedArchive, DamagedArchive or
    UnsupportedArchive, also when the two do not give an archive of that hash.
    """
    header = open_header(buffer, hash, what)
    if header.base != base.hash:
        why = f"a delta to {header.base}" if header.base else "a full archive"
        raise MalformedArchive(f"{what}: {why}, not a delta to {base.hash}", hash=hash)
    minors, variants = _read_head(buffer, header, what)
    rows: dict[str, Entry] = {}
    # How to read a digest, and with what: slot, size, path
    where: dict[bytes, tuple[_ReadMember, int, int, str]] = {}

    def put(entry: Entry, member: _ReadMember) -> None:
        rows[entry.path] = entry
        for slot, size, digest in entry.members():
            where.setdefault(digest, (member, slot, size, entry.path))

    for entry in base.index.entries():
        put(entry, base.member)
    brought = Members(buffer, header, what)
    try:
        removed, page_at = _decode_removed(buffer, header.pages_at, header.slots_at)
        for path in removed:
            del rows[path]
        for entry in decode_rows(buffer, page_at, header.slots_at, variants):
            put(entry, brought.read)
        image = build_index(rows.values(), variants, minors)
    except (StructError, KeyError, ValueError) as error:
        raise MalformedArchive(
            f"{what}: the patch makes no sense: {error}", hash=hash
        ) from None
    if image.hash != hash:
        raise DamagedArchive(
            f"{what}: with its base {base.hash} it gives {image.hash}, not {hash}",
            hash=hash,
            member="root",
            expected=hash,
            actual=image.hash,
        )

    def read(digest: bytes) -> bytes | memoryview:
        member, slot, size, path = where[digest]
        return member(slot, size, digest, path)

    notes = buffer[header.notes_at : header.size]
    return write_image(out, image, read, raw=raw, notes=notes)


def _read_head(
    buffer: bytes | mmap, header: Header, what: str
) -> tuple[int, tuple[Variant, ...]]:
    """Return minors and variants of the archive that a delta gives."""
    root = buffer[HEADER_SIZE : HEADER_SIZE + min(header.root_size, MAX_ROOT_HEAD)]
    minors, *_, variants = read_root_head(root, header.hash, what)
    if header.root_size != root_head_size(len(variants)):
        raise MalformedArchive(
            f"{what}: the root does not end with the variants", hash=header.hash
        )
    return minors, variants


def _encode_removed(removed: Iterable[str]) -> bytes:
    """Return the part of a patch that says which paths are gone."""
    names = sorted(path.encode() for path in removed)
    parts = [_COUNT.pack(len(names))]
    parts += [_LENGTH.pack(len(name)) + name for name in names]
    return b"".join(parts)


def _decode_removed(buffer: bytes | mmap, at: int, end: int) -> tuple[list[str], int]:
    """Return the removed paths and where they end; struct.error or ValueError."""
    (count,) = _COUNT.unpack_from(buffer, at)
    at += _COUNT.size
    removed = []
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(buffer, at)
        at += _LENGTH.size + length
        if at > end:
            raise ValueError("a removed path reaches beyond it")
        removed.append(check_path(buffer[at - length : at].decode()))
    return removed, at
