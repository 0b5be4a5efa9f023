"""What a store is: a place that has objects by key, and nothing more.

Retrying is not in here: that is a store around a store.
"""

from __future__ import annotations

from lazyimport.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO, Protocol
else:
    Protocol = object  # importing typing would cost more than this whole module


class ReadStore(Protocol):
    """Objects by key, to read.

    A `Store` can also be written, and the objects of a `MutableStore` can be
    replaced. A store has methods for what it can do, and no others (see `writable`
    and `mutable`).

    A key is a relative path with ``/`` between its parts (see `check_key`).
    No key may be the folder of another one (``a`` beside ``a/b``): a file system
    cannot have both.

    Besides what each method names, all of them raise

    ``SettingsError``
        for what `check_key` and `check_range` refuse, before anything is asked,
    ``StoreMissing``
        when the bucket or folder itself does not exist,
    ``StoreDenied``
        when it refuses these credentials or this user,
    ``StoreUnavailable``
        when it gives no answer in time or asks to come back later,
    ``StoreError``
        for every other failure of the store (a full disk, say). Where a new
        try can help, as with a checksum that does not hold, its ``retryable``
        is true.

    Each of these carries ``url`` and ``key``. What a caller's own file object
    raises (*out* of `download`, *data* of `put`) passes through unchanged.
    """

    url: str
    """Names the store in messages; ``open_store(url)`` opens it again."""

    @property
    def ranges(self) -> bool:
        """Whether it sends parts of objects: True until it has refused to send one.

        If it does not, reading a part transfers all bytes before it too.
        """

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes from *start* up to and without *end* (None: the end).

        What lies past the end of the object is left out, so the answer may be
        shorter than asked for, or empty.

        Raises KeyMissing if there is no such object, also for an empty range.
        """

    def download(
        self, key: str, out: BinaryIO, start: int = 0, end: int | None = None
    ) -> int:
        """Write to *out* what `read` returns, as it comes; return the bytes written.

        They are written in parts of at most some MiB, and no more than that is held.

        If the transport has a checksum, that of a whole object has been verified
        on return. After an error, the beginning of what was asked for, or damaged
        bytes, may have been written to *out*.

        Raises KeyMissing if there is no such object.
        """


class Store(ReadStore, Protocol):
    """Objects that are created whole, once, and deleted."""

    def put(self, key: str, data: BinaryIO) -> bool:
        """Create the object from all of *data*, a seekable binary file.

        Returns True if this call created it, and False if it existed, in which
        case nothing was changed. Nobody ever sees a part of an object: it is
        there whole or not at all, also when the writer is killed.
        """

    def list(self, prefix: str = "") -> Iterator[Item]:
        """Yield the objects whose keys begin with *prefix*, ordered by key.

        *prefix* is compared as text and need not end at a slash. Objects whose
        names are no keys (`check_key`) are left out. Errors are raised while
        iterating.
        """

    def delete(self, key: str) -> None:
        """Delete the object.

        Raises KeyMissing if there is no such object.
        """


class MutableStore(Store, Protocol):
    """A store whose objects can be replaced by a writer who has seen what they are.

    Meant for small objects that name others. A writer who reads one, changes it and
    replaces it overwrites no change of another writer::

        A: read_versioned -> 1      B: read_versioned -> 1
        A: replace(..., 1) -> True  (the version is 2 now)
                                    B: replace(..., 1) -> False: read again
    """

    def read_versioned(self, key: str, end: int | None = None) -> tuple[bytes, str]:
        """Return the bytes up to and without *end* (None: all), and the version.

        The version is that of the whole object, a text to compare and pass on. Give
        *end* where the object may be larger than it should be.

        Raises KeyMissing if there is no such object.
        """

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        """Replace the object if it still has *version*; None: create it, if missing.

        Returns False, and changes nothing, if another writer was first.
        Readers see what was there or all of *data*.
        """


class Item(Value):
    """An object in a listing: ``key``, ``size`` in bytes, ``modified`` in seconds.

    ``modified`` counts from the epoch, by the clock of the store. ``version`` is a
    text that differs once the object was replaced or changed.
    """

    __slots__ = ("key", "size", "modified", "version")  # noqa: RUF023 - as arguments

    key: str
    size: int
    modified: float
    version: str

    def __init__(self, key: str, size: int, modified: float, version: str = "") -> None:
        self._set(key=key, size=size, modified=modified, version=version)
