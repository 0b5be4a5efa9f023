"""The beginning of an archive: what a start reads of it.

``docs/format.md`` sections 2 and 3.
"""

from __future__ import annotations

from zlib import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmap import mmap

#: magic and version, as `lazyimport.format.sections` has them
_FIRST = b"\x89LZY\r\n\x1a\n\x01\0"
_OVERLAY, _BLOBS = 2, 4


def read_beginning(buffer: bytes | mmap, hash: str) -> tuple[int, str | None] | None:
    """Return the minors of the archive *hash*, and the hash of its base or None.

    Returns None unless header and root are as their checksums say, which prove nothing:
    the bytes must have been proved before. `Archive` says what is wrong with others.
    """
    head = buffer[:128]
    flags = int.from_bytes(head[10:12], "little")
    sizes = _numbers(head[80:112], 8)
    if len(head) < 128:
        return None
    root = buffer[128 : 128 + sizes[0]]
    if (
        head[:10] != _FIRST
        or flags & ~(_OVERLAY | _BLOBS)
        or head[16:48].hex() != hash
        or [crc32(head[:124]), crc32(root)] != _numbers(head[124:] + head[12:16], 4)
        or 128 + sum(sizes) + int.from_bytes(head[112:116], "little") != len(buffer)
    ):
        return None
    base = head[48:80].hex() if flags & _OVERLAY else None
    return int.from_bytes(root[8:16], "little"), base


def _numbers(data: bytes, size: int) -> list[int]:
    """Return the numbers that *data* consists of, *size* bytes each."""
    starts = range(0, len(data), size)
    return [int.from_bytes(data[at : at + size], "little") for at in starts]
