"""Reviving: processes run from what there is of an archive that came before the boot.

After a power cut its slots may say that members are there which are not
(`lazyimport.cache.boot`). So none counts until it has been proved by its digest; one
that does not hold comes again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from zlib import crc32

from lazyimport.cache.node import KINDS
from lazyimport.cache.partial import let_open, may_be_open
from lazyimport.errors import ArchiveError, CacheError, DamagedArchive, MalformedArchive
from lazyimport.files import claim, remove_file
from lazyimport.format import sha256
from lazyimport.format.index import Index
from lazyimport.format.sections import AWAITED, BLOB, HEADER_SIZE, IN_BASE, SLOT, Header
from lazyimport.regular import open_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    from lazyimport.cache.node import NodeCache
    from lazyimport.reporting import Reporter

    #: Where a member lies, its stored and its real size, and its digest.
    Place: TypeAlias = tuple[int, int, int, bytes]

#: Bytes after which processes see what has been proved.
_OFTEN = 16 << 20


def revive(
    cache: NodeCache,
    hash: str,
    reporter: Reporter,
    known: dict[int, dict[bytes, int]],
) -> None:
    """Let processes run from what is there of the archive *hash*, and of its base.

    Nothing is done if they may already, or if there is nothing. They may while members
    are being proved. What cannot be read is removed. The lock of the archive must be
    held. Checksums of the members that hold are put into *known*, by the inode of
    their file and their digests.
    """
    if may_be_open(cache, hash):
        return
    files = [_open(cache.partial_path(hash, kind), hash) for kind in KINDS]
    partials = [partial for partial in files if partial is not None]
    total, done = sum(partial.size for partial in partials), 0
    try:
        if partials:
            let_open(cache, hash)
        for partial in partials:
            for proved in partial.prove(known.setdefault(partial.inode, {})):
                done += proved
                text = f"proving what is there of {hash[:12]}"
                reporter.step(text, done, total, "bytes")
    except OSError:
        pass  # no member counts that was not proved
    finally:
        for partial in partials:
            partial.close()
    for base in {partial.base for partial in partials if partial.base}:
        # Unless it is here, or others are just fetching it.
        with suppress(ArchiveError, CacheError):
            if cache.open(base) is None:
                with cache.lock(base, 0):
                    revive(cache, base, reporter, known)


def _open(path: str, hash: str) -> _Partial | None:
    """Return the file *path* if processes can run from it, once they may."""
    try:
        descriptor = open_regular(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return None  # there is none, or it is not this user's
    try:
        if claim(descriptor, shared=True) and any(os.pread(descriptor, HEADER_SIZE, 0)):
            return _Partial(descriptor, path, hash)
    except (OSError, ArchiveError):
        remove_file(path)
    os.close(descriptor)
    return None


class _Partial:
    """The unfinished file *path* of an archive, of which no member counts yet.

    ``size`` is that of the members that it says it has, ``base`` the archive that an
    overlay needs.
    """

    def __init__(self, descriptor: int, path: str, hash: str) -> None:
        header = Header.decode(os.pread(descriptor, HEADER_SIZE, 0), path, overlay=True)
        status = os.fstat(descriptor)
        beginning = os.pread(descriptor, header.members_at, 0)
        if header.hash != hash or header.size != status.st_size:
            raise MalformedArchive(f"{path}: this is not all of archive {hash}")
        sizes = header.root_size, header.pages_size
        index = Index(beginning, hash, HEADER_SIZE, *sizes, path)
        self.base = header.base
        self._descriptor = descriptor
        self.inode = status.st_ino
        self._header = header
        self._slots = bytearray(beginning[header.slots_at :])
        if len(self._slots) != index.slots * SLOT.size:
            raise MalformedArchive(f"{path}: the slots do not add up")
        self._members: dict[Place, list[int]] = {}
        for entry in index.entries():
            for slot, size, digest in entry.members():
                self._doubt(slot, size, digest)
        self.size = sum(length for _, length, *_ in self._members)
        self._show()

    def _doubt(self, slot: int, size: int, digest: bytes) -> None:
        offset, length, _ = SLOT.unpack_from(self._slots, slot * SLOT.size)
        if offset in {IN_BASE, BLOB} or offset & AWAITED:
            return
        SLOT.pack_into(self._slots, slot * SLOT.size, AWAITED | offset, length, 0)
        if length <= size and offset + length <= self._header.members_size:
            self._members.setdefault((offset, length, size, digest), []).append(slot)

    def prove(self, known: dict[bytes, int]) -> Iterator[int]:
        """Prove one member after the other; yield how large each is.

        Those that hold count from now on, and their checksums are put into *known*.
        """
        unseen = 0
        for place in sorted(self._members):
            offset, length, size, digest = place
            at = self._header.members_at + offset
            data = os.pread(self._descriptor, length, at)
            if _is_sound(data, size, digest):
                known[digest] = crc = crc32(data)
                for slot in self._members[place]:
                    SLOT.pack_into(self._slots, slot * SLOT.size, offset, length, crc)
            unseen += length
            if unseen >= _OFTEN:
                self._show()
                unseen = 0
            yield length
        self._show()

    def _show(self) -> None:
        """Let processes see the slots as they are now."""
        os.pwrite(self._descriptor, self._slots, self._header.slots_at)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


def _is_sound(data: bytes, size: int, digest: bytes) -> bool:
    if len(data) != size:
        from lazyimport.format.codec import decompress  # few caches compress

        try:
            data = decompress(data, size)
        except DamagedArchive:
            return False
    return sha256(data) == digest
