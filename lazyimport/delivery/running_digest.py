"""Running digests: of bytes that come to lie in a room in any order."""

from __future__ import annotations

import hashlib
import os
from _thread import allocate_lock
from errno import EIO
from zlib import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.delivery.rooms import FileRoom, MemoryRoom

#: Bytes that are read back from the room at a time.
_CHUNK = 1 << 20


class RunningDigest:
    """The SHA-256 of what comes to lie from *start* to *end* of *room*.

    With a *checksum*, ``crc`` is that. Both grow as far as all has come, so that none
    of it is left for the end, and bytes that come in their turn are not read back.
    Threads may call it.
    """

    def __init__(
        self,
        room: FileRoom | MemoryRoom,
        start: int,
        end: int,
        *,
        checksum: bool = False,
    ) -> None:
        self._room = room
        self._at = start
        self._end = end
        self._total = hashlib.sha256()
        self._lock = allocate_lock()
        self._growing = False
        #: what is there and has not been hashed: end by beginning
        self._there: dict[int, int] = {}
        self._has_checksum = checksum
        self.crc = 0

    def add(self, start: int, end: int, data: bytes | memoryview | None = None) -> bool:
        """Take what lies there now, which is *data*; return whether nothing is missing.

        One call says so. Raises OSError.
        """
        with self._lock:
            self._there[start] = end
            if self._growing or start != self._at:
                return False  # whoever brings what is before it, or is at it, goes on
            self._growing = True
        while True:
            with self._lock:
                until = self._there.pop(self._at, None)
                if until is None:
                    self._growing = False
                    return self._at == self._end
            if data is None:
                self._read(self._at, until)
            else:
                self._update(data)
                data = None
            self._at = until

    def digest(self) -> bytes:
        """Return the SHA-256 of what was hashed by now."""
        return self._total.digest()

    def _read(self, at: int, end: int) -> None:
        while at < end:
            data = self._room.read(at, min(_CHUNK, end - at))
            if not data:  # another process has cut the file
                raise OSError(EIO, os.strerror(EIO))
            self._update(data)
            at += len(data)

    def _update(self, data: bytes | memoryview) -> None:
        self._total.update(data)
        if self._has_checksum:
            self.crc = crc32(data, self.crc)
