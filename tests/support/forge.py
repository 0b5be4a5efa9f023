"""Archives put together by hand from ``docs/format.md``, valid or not.

Nothing here uses the writer, so a mistake of the writer is not repeated here.
"""

from __future__ import annotations

from hashlib import sha256
from struct import Struct
from zlib import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

HEADER = Struct("<8sHHI32s32sQQQQIQ")
FIELDS = (
    "magic",
    "version",
    "flags",
    "root_check",
    "hash",
    "base",
    "root",
    "pages",
    "slots",
    "members",
    "notes",
    "warm",
)


def fields_of(data: bytes) -> dict[str, Any]:
    """Return the fields of the header at the beginning of *data*."""
    return dict(zip(FIELDS, HEADER.unpack_from(data), strict=True))


def header(**fields: Any) -> bytes:
    """Return the 128 bytes of a header."""
    data = HEADER.pack(*(fields[name] for name in FIELDS))
    return data + crc32(data).to_bytes(4, "little")


def reheaded(data: bytes, **changes: Any) -> bytes:
    """Return *data* with fields of its header changed and a valid checksum."""
    return header(**{**fields_of(data), **changes}) + data[128:]


def row(
    path: str | bytes,
    content: bytes = b"",
    *,
    kind: int = 0,
    flags: int = 0,
    variants: int = 0,
    codes: bytes = b"",
    size: int | None = None,
    path_size: int | None = None,
) -> bytes:
    """Return one row of a page."""
    name = path.encode() if isinstance(path, str) else path
    head = Struct("<BBHIQ32s").pack(
        kind,
        flags,
        len(name) if path_size is None else path_size,
        variants,
        len(content) if size is None else size,
        sha256(content).digest(),
    )
    return head + name + codes


def page(rows: Sequence[tuple[str | bytes, bytes]], count: int | None = None) -> bytes:
    """Return a page of (stem, row) in the given order, with one slot for each row."""
    at = 4 + 12 * len(rows)
    parts = [(len(rows) if count is None else count).to_bytes(4, "little")]
    for slot, (stem, data) in enumerate(rows):
        key = stem.encode() if isinstance(stem, str) else stem
        parts.append(Struct("<III").pack(crc32(key), at, slot))
        at += len(data)
    return b"".join([*parts, *(data for _, data in rows)])


def root(
    pages: Sequence[bytes],
    *,
    files: int = 0,
    directories: int = 1,
    count: int | None = None,
    slots: int | None = None,
    variants: bytes = b"",
    variant_count: int | None = None,
    magic: bytes = b"LZYROOT1",
    reserved: bytes = b"",
    ends: Sequence[int] | None = None,
    starts: Sequence[int] | None = None,
    firsts: Sequence[int] | None = None,
) -> bytes:
    """Return a root with valid digests, whatever else it says."""
    data = Struct("<8sQIIIIB15s").pack(
        magic,
        (1 << 64) - 1,
        files,
        directories,
        len(pages) if count is None else count,
        files + directories if slots is None else slots,
        len(variants) // 32 if variant_count is None else variant_count,
        reserved,
    )
    places = starts if starts is not None else range(len(pages))
    parts = [data, variants, *(Struct("<Q").pack(place) for place in places)]
    end = 0
    for number, body in enumerate(pages):
        end += len(body)
        shown = ends[number] if ends else end
        first = firsts[number] if firsts else 0
        parts.append(
            Struct("<32sIII").pack(sha256(body).digest(), shown, first, crc32(body))
        )
    return b"".join(parts)


def archive(
    root: bytes,
    pages: bytes,
    members: Sequence[bytes | tuple[int, int]] = (),
    tail: bytes = b"",
) -> tuple[bytes, str]:
    """Return an archive and the hash that really names it.

    *members* fill the slots: either bytes to store, or a literal (offset, stored size).
    """
    slots, body = [], []
    at = 0
    for member in members:
        if isinstance(member, bytes):
            slots.append(Struct("<QQI").pack(at, len(member), crc32(member)))
            body.append(member)
            at += len(member)
        else:
            slots.append(Struct("<QQI").pack(*member, 0))
    name = sha256(root).digest()
    head = header(
        magic=b"\x89LZY\r\n\x1a\n",
        version=1,
        flags=0,
        root_check=crc32(root),
        hash=name,
        base=bytes(32),
        root=len(root),
        pages=len(pages),
        slots=20 * len(slots),
        members=at + len(tail),
        notes=0,
        warm=0,
    )
    return b"".join([head, root, pages, *slots, *body, tail]), name.hex()


def one_page(
    rows: Sequence[tuple[str | bytes, bytes]],
    members: Sequence[bytes | tuple[int, int]] = (),
    **options: Any,
) -> tuple[bytes, str]:
    """Return an archive of a single page with these rows, and its hash."""
    body = page(rows)
    options.setdefault("files", len(rows) - 1)
    return archive(root([body], **options), body, members or [b""] * len(rows))


def zstd_frame(
    content_size: int | None, blocks: Sequence[int], *, dictionary: int = 0
) -> bytes:
    """Return a frame of zero bytes in RLE blocks of these lengths (RFC 8878).

    The frame declares *content_size*, or no size for None.
    """
    descriptor = (0xC0 if content_size is not None else 0) | (1 if dictionary else 0)
    parts = [b"\x28\xb5\x2f\xfd", bytes([descriptor, 0x50])]  # a window of 1 MiB
    if dictionary:
        parts.append(bytes([dictionary]))
    if content_size is not None:
        parts.append(content_size.to_bytes(8, "little"))
    for number, length in enumerate(blocks, 1):
        block = (number == len(blocks)) | 1 << 1 | length << 3
        parts.append(block.to_bytes(3, "little") + b"\0")
    return b"".join(parts)
