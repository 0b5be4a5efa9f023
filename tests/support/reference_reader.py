"""A second reader of archives, written from ``docs/format.md`` and nothing else.

It imports nothing of lazyimport and asserts every rule of the page. If it cannot read
what the writer made, then either the writer or the page is wrong.
"""

from __future__ import annotations

import struct
from hashlib import sha256
from zlib import crc32

try:
    from compression.zstd import decompress  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    from zstandard import decompress  # type: ignore[assignment,unused-ignore]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    #: path to kind, flags, content, bytecode by variant
    Everything: TypeAlias = dict[str, tuple[int, int, bytes, dict[int, bytes]]]
    #: kind and path to the bytes of the row
    Rows: TypeAlias = dict[tuple[int, bytes], bytes]
    #: start of each page, and kind and path of what it has
    _Pages: TypeAlias = list[tuple[int, list[tuple[int, bytes]]]]

__all__ = ["read", "read_delta", "stem"]

_IN_BASE = (1 << 64) - 1, 0, 0


def read(data: bytes, name: str) -> Everything:
    """Return everything in the full archive *data* whose hash is *name*."""
    base, root, pages, slots, members = _sections(data, name)
    assert base == bytes(32)
    assert sha256(root).hexdigest() == name
    rows = _rows_of(root, pages)
    return _everything(rows, _members(_owned(rows), slots, members))


def read_delta(data: bytes, name: str, base_data: bytes) -> Everything:
    """Return everything in the archive *name*, made of a delta and its full base."""
    base, root, body, slots, members = _sections(data, name)
    _, base_root, base_pages, base_slots, base_members = _sections(
        base_data, base.hex()
    )
    assert sha256(base_root).digest() == base
    rows = _rows_of(base_root, base_pages)
    content_of = _members(_owned(rows), base_slots, base_members)
    (removed,) = struct.unpack_from("<I", body)
    at = 4
    for _ in range(removed):
        (size,) = struct.unpack_from("<H", body, at)
        path = body[at + 2 : at + 2 + size]
        at += 2 + size
        assert [rows.pop((kind, path), None) for kind in (0, 1)] != [None, None]
    patch = _page(body[at:])
    for _, path in patch:
        rows = {key: row for key, row in rows.items() if key[1] != path}
    for digest, content in _members(_owned(patch), slots, members, content_of).items():
        assert content_of.setdefault(digest, content) == content
    whole, _ = _index(root, {**rows, **patch})
    assert sha256(whole).hexdigest() == name
    return _everything({**rows, **patch}, content_of)


def _sections(data: bytes, name: str) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """Section 2: return the hash of the base, root, pages, slots and members."""
    magic, version, flags, root_check, own, base, *sizes, warm, check = (
        struct.unpack_from("<8sHHI32s32sQQQQIQI", data)
    )
    assert (magic, version) == (b"\x89LZY\r\n\x1a\n", 1)
    assert flags == (base != bytes(32))
    assert own.hex() == name
    assert check == crc32(data[:124])
    assert 128 + sum(sizes) == len(data)
    assert sizes[2] % 20 == 0
    assert sizes[4] <= 1_048_576
    assert warm <= sizes[3]
    parts = []
    at = 128
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    assert root_check == crc32(parts[0])
    return base, parts[0], parts[1], parts[2], parts[3]


def _rows_of(root: bytes, pages: bytes) -> Rows:
    """Sections 3 and 4: return the rows of all pages in order."""
    magic, _, files, directories, count, slots, variants, zero = struct.unpack_from(
        "<8sQIIIIB15s", root
    )
    assert (magic, zero) == (b"LZYROOT1", bytes(15))
    assert variants <= 32
    records = [root[48 + 32 * v : 80 + 32 * v] for v in range(variants)]
    assert records == sorted(set(records))
    for record in records:
        tag, _, optimization, zero = struct.unpack("<24s4sB3s", record)
        assert tag.rstrip(b"\0").isascii()
        assert optimization in {0, 1, 2}
        assert zero == bytes(3)
    rows: Rows = {}
    start = slot = 0
    at = 48 + 32 * variants + 8 * count
    for number in range(count):
        digest, end, first, crc = struct.unpack_from("<32sIII", root, at + 44 * number)
        assert sha256(pages[start:end]).digest() == digest
        assert crc32(pages[start:end]) == crc
        assert first == slot
        page = _page(pages[start:end])
        slot += len(_owned(page))
        rows.update(page)
        start = end
    assert (start, at + 44 * count, slot) == (len(pages), len(root), slots)
    assert sum(kind for kind, _ in rows) == directories
    assert len(rows) == files + directories
    assert _index(root, rows) == (root, pages)
    return rows


def _page(page: bytes) -> Rows:
    """Section 4: return the rows of a page."""
    rows: Rows = {}
    (count,) = struct.unpack_from("<I", page)
    at = 4 + 12 * count
    slots = 0
    for number in range(count):
        crc, offset, slot = struct.unpack_from("<III", page, 4 + 12 * number)
        kind, flags, size, variants = struct.unpack_from("<BBHI", page, at)
        path = page[at + 48 : at + 48 + size]
        end = at + 48 + size + 36 * variants.bit_count()
        assert (offset, slot, crc) == (at, slots, crc32(stem(kind, path)))
        assert flags < (32 if kind else 4)
        assert not variants or (kind == 0 and path.endswith(b".py"))
        assert size <= 4096
        if path or kind == 0:
            assert not {b"", b".", b".."} & set(path.split(b"/"))
        assert b"\0" not in path
        assert b"\\" not in path
        rows[kind, path] = page[at:end]
        slots += 1 + variants.bit_count()
        at = end
    assert at == len(page)
    return rows


def stem(kind: int, path: bytes) -> bytes:
    """Section 4: return the stem of *path*, which decides its page."""
    folder, slash, name = path.rpartition(b"/")
    if kind == 1 or not name.endswith((b".py", b".pyc", b".so", b".pyd")):
        return path
    cut = name if name.startswith(b".") else name.partition(b".")[0]
    return folder if cut == b"__init__" else folder + slash + cut


def _place(kind: int, path: bytes) -> int:
    """Section 4: return the place of the stem of *path*."""
    own = stem(kind, path)
    top = own.partition(b"/")[0]
    folder = own.rpartition(b"/")[0] if b"/" in own else own
    return (crc32(top) >> 16) << 48 | (crc32(folder) >> 16) << 32 | crc32(own)


def _divided(keys: list[tuple[int, bytes]], start: int, bits: int) -> _Pages:
    """Section 4: return start and keys of the pages for *keys*, in order."""
    if len(keys) <= 64 or bits == 0:
        return [(start, keys)] if keys else []
    middle = start + 2 ** (bits - 1)
    before = [key for key in keys if _place(*key) < middle]
    behind = [key for key in keys if _place(*key) >= middle]
    return _divided(before, start, bits - 1) + _divided(behind, middle, bits - 1)


def _index(head: bytes, rows: Rows) -> tuple[bytes, bytes]:
    """Return root and pages of *rows*, with the minors and variants of *head*."""
    variants = head[32]
    starts, records, body = b"", b"", b""
    slots = 0
    pages = _divided(sorted(rows, key=lambda key: (_place(*key), key)), 0, 64)
    for start, page in pages:
        first, slot, at = slots, 0, 4 + 12 * len(page)
        data = struct.pack("<I", len(page))
        for key in page:
            data += struct.pack("<III", _place(*key) % 2**32, at, slot)
            at += len(rows[key])
            slot += len(_owned({key: rows[key]}))
        data += b"".join(rows[key] for key in page)
        slots += slot
        body += data
        record = sha256(data).digest(), len(body), first, crc32(data)
        records += struct.pack("<32sIII", *record)
        starts += struct.pack("<Q", start)
    directories = sum(kind for kind, _ in rows)
    numbers = len(rows) - directories, directories, len(pages), slots
    root = head[:16] + struct.pack("<IIII", *numbers) + head[32 : 48 + 32 * variants]
    return root + starts + records, body


def _owned(rows: Rows) -> list[tuple[int, bytes]]:
    """Section 5: return size and digest of the member in each slot."""
    found = []
    for (_, path), row in rows.items():
        found.append(struct.unpack_from("<Q32s", row, 8))
        found += struct.iter_unpack("<I32s", row[48 + len(path) :])
    return found


def _members(
    owned: list[tuple[int, bytes]],
    slots: bytes,
    members: bytes,
    base: dict[bytes, bytes] | None = None,
) -> dict[bytes, bytes]:
    """Section 5: return the verified members by digest."""
    found = {}
    assert len(slots) == 20 * len(owned)
    for (size, digest), (offset, stored, crc) in zip(
        owned, struct.iter_unpack("<QQI", slots), strict=True
    ):
        if base is not None and (offset, stored, crc) == _IN_BASE:
            assert len(base[digest]) == size
            continue
        assert stored <= size
        assert offset + stored <= len(members)
        content = members[offset : offset + stored]
        assert crc32(content) == crc
        if stored < size:
            content = decompress(content)
        assert (len(content), sha256(content).digest()) == (size, digest)
        found[digest] = content
    return found


def _everything(rows: Rows, members: dict[bytes, bytes]) -> Everything:
    found: Everything = {}
    for (kind, path), row in rows.items():
        variants, _, digest = struct.unpack_from("<IQ32s", row, 4)
        codes = [code for _, code in struct.iter_unpack("<I32s", row[48 + len(path) :])]
        numbers = [v for v in range(32) if variants >> v & 1]
        assert path.decode() not in found
        found[path.decode()] = (
            kind,
            row[1],
            members[digest],
            {v: members[code] for v, code in zip(numbers, codes, strict=True)},
        )
    _check_listings(found)
    return found


def _check_listings(found: Everything) -> None:
    """Section 4: every directory lists its entries, and none but the root is empty."""
    for path, (kind, _, listing, _) in found.items():
        if kind:
            inside = path + "/" if path else ""
            children = sorted(
                (other[len(inside) :].encode(), b"fd"[entry[0] : entry[0] + 1])
                for other, entry in found.items()
                if other != path
                and other.startswith(inside)
                and "/" not in other[len(inside) :]
            )
            assert listing == b"".join(k + name + b"\0" for name, k in children)
            assert children or not path
