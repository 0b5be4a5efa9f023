"""Heads: what a stored object says of itself, proved before any of its members comes.

So a download is bounded by what the hash proves: the root has that hash and says how
long the index is, the index how large each member may be.
"""

from __future__ import annotations

from lazyimport.cache.disks import is_local
from lazyimport.errors import ArchiveError, DamagedArchive, MalformedArchive
from lazyimport.format import sha256
from lazyimport.format.blobs import blobs_in
from lazyimport.format.codec import decompress
from lazyimport.format.index import MAX_ROOT, Index
from lazyimport.format.sections import HEADER_SIZE, SLOT, Header
from lazyimport.format.stored import stored_members
from lazyimport.lazy import Later
from lazyimport.registry.layout import archive_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lazyimport.format import delta
    from lazyimport.format.blobs import Blob
    from lazyimport.format.codec import Data
    from lazyimport.format.entries import Entry
    from lazyimport.format.stored import Stored
    from lazyimport.stores import ReadStore
else:
    delta = Later("format.delta")  # where something is stored as one

#: Bytes of the first request. What is not larger comes with it as a whole.
FIRST = 4 << 20
#: The same where members are here already, or no request takes a round trip.
_LITTLE = 1 << 18


def is_near(store: ReadStore) -> bool:
    """Return whether a store is a folder of this machine: nobody waits for answers."""
    folder: str | None = getattr(store, "folder", None)
    return folder is not None and is_local(folder)


class Head:
    """Header and index of the archive *hash* in *store*, as a full object or a delta.

    ``data`` is the beginning of the object as far as it has come: all of a small one.
    ``moved`` counts the bytes that came. With *again* a part of its members is here.
    ``index`` is proved, and None for a delta until `apply` has its base; ``members``
    are set with it, and ``blobs``, by digest, to which the object refers.

    Raises StoreError, or ArchiveError for what is not that archive, for an object that
    is longer or shorter than its header says, and for members that do not fill it.
    """

    def __init__(self, store: ReadStore, hash: str, *, again: bool = False) -> None:
        self.store = store
        self._hash = hash
        self.key = archive_key(hash)
        self.what = f"{store.url}/{self.key}"
        self.moved = 0
        self.members: list[Stored] = []
        #: those of a full archive, until a `lazyimport.delivery.filling` drops them
        self.entries: list[Entry] = []
        self.blobs: dict[bytes, Blob] = {}
        self.index: Index | None = None
        self._first = min(_LITTLE, FIRST) if again or is_near(store) else FIRST
        self.data = self._read(0, self._first)
        try:
            self.header = self._header(hash)
            if self.header.base is None:
                self.index = self._full_index()
                self.entries += self.index.entries()
                self._find_members(self.entries)
            else:
                if self.header.members_at > MAX_ROOT:  # unproved until its base is here
                    raise self._malformed("the delta is too large")
                self._need(self.header.members_at)
        except ArchiveError as error:
            error.hash = hash  # of which a header that cannot be read knows nothing
            raise

    def apply(self, base: Index) -> Index:
        """Return the index that a delta gives with its *base*. Raises ArchiveError."""
        self.index, rows = delta.apply_delta(self.data, self.header, base, self.what)
        if sum(row.slots for row in rows) * SLOT.size != self.header.slots_size:
            raise self._malformed("its slots are not as many as its patch says")
        self._find_members(rows)
        return self.index

    def rest(self) -> bytes:
        """Return the whole object, which is to be held in memory. Raises StoreError."""
        self._need(self.header.size)
        return self.data

    def member(self, member: Stored) -> bytes:
        """Return the proved bytes of one of ``members``.

        Raises StoreError or DamagedArchive.
        """
        offset, stored, size, digest, path = member
        start, end = (self.header.members_at + at for at in (offset, offset + stored))
        data = self.data[start:end] if end <= len(self.data) else self._read(start, end)
        return bytes(self.proved(data, size, digest, path))

    def proved(self, data: Data, size: int, digest: bytes, path: str) -> Data:
        """Return the member that *data* holds, as it is or compressed.

        Raises DamagedArchive.
        """
        if len(data) != size:
            try:
                data = decompress(data, size)
            except DamagedArchive as error:
                raise self.damaged(digest, path, str(error)) from None
        if (actual := sha256(data)) != digest:
            raise self.damaged(digest, path, actual=actual)
        return data

    def damaged(
        self,
        digest: bytes,
        path: str,
        why: str = "its digest does not hold",
        actual: bytes = b"",
    ) -> DamagedArchive:
        """Return the error that says *why* the member of *digest* is damaged."""
        return DamagedArchive(
            f"{self.what}: {path or 'the top directory'} of archive {self._hash} is "
            f"damaged: {why}",
            hash=self._hash,
            member=path,
            expected=digest.hex(),
            actual=actual.hex(),
        )

    def lacking(self, digests: Iterable[bytes]) -> MalformedArchive:
        """Return the error that no object has members with these *digests*."""
        return self._malformed(f"nothing has its member {min(digests).hex()}")

    def check_part(self, at: int, size: int, end: int) -> None:
        """Raise MalformedArchive unless the next part of a piece may have this *size*.

        The piece goes up to *end*, or one byte behind the object; none follows 0 bytes.
        """
        if at + size > self.header.size:
            raise self._too_long()
        if not size and at < min(end, self.header.size):
            raise self._cut(at)

    def check_end(self, data: bytes, start: int, end: int) -> None:
        """Raise MalformedArchive unless *data* is as long as ``[start, end)``.

        At the end of the object one byte more is asked for, which must not come.
        """
        if len(data) < end - start:
            raise self._cut(start + len(data))
        if len(data) > end - start:
            raise self._too_long()

    def _header(self, hash: str) -> Header:
        header = Header.decode(self.data[:HEADER_SIZE], self.what)
        if header.hash != hash:
            raise self._malformed(f"this is archive {header.hash}, not {hash}")
        if header.size < len(self.data):
            raise self._too_long(header)
        if len(self.data) < min(header.size, self._first):
            raise self._cut(len(self.data), header)
        return header

    def _full_index(self) -> Index:
        header = self.header
        sizes = header.root_size, header.pages_size
        self._need(header.pages_at)
        index = Index(self.data, header.hash, HEADER_SIZE, *sizes, self.what)
        end = index.page_place(index.pages - 1)[1]
        if (header.pages_size, header.slots_size) != (end, index.slots * SLOT.size):
            raise self._malformed("its sections are not as long as its root says")
        self._need(header.members_at)
        return Index(self.data, header.hash, HEADER_SIZE, *sizes, self.what)

    def _find_members(self, entries: Sequence[Entry]) -> None:
        slots = self.data[self.header.slots_at : self.header.members_at]
        self.members = stored_members(self.header, slots, entries, self.what)
        self.blobs = blobs_in(entries, slots)
        if bool(self.blobs) != self.header.blobs:
            raise self._malformed("its header says something else of its blobs")

    def _need(self, end: int) -> None:
        """Bring the object up to *end*."""
        start = len(self.data)
        if start < end:
            more = self._read(start, end + (end == self.header.size))
            self.check_end(more, start, end)
            self.data += more

    def _read(self, start: int, end: int) -> bytes:
        data = self.store.read(self.key, start, end)
        self.moved += len(data)
        return data

    def _malformed(self, why: str) -> MalformedArchive:
        return MalformedArchive(f"{self.what}: {why}", hash=self._hash)

    def _too_long(self, header: Header | None = None) -> MalformedArchive:
        size = (header or self.header).size
        return self._malformed(f"longer than it says (more than {size} bytes)")

    def _cut(self, size: int, header: Header | None = None) -> MalformedArchive:
        return self._malformed(
            f"cut short ({size} of {(header or self.header).size} bytes)"
        )
