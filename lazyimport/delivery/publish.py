"""Publishing: an archive from the node cache into a store, as little as will do."""

from __future__ import annotations

import hashlib
import json
import tempfile

from lazyimport.delivery.fetch import archive_key
from lazyimport.errors import ArchiveError, KeyMissing, MalformedArchive, StoreMissing
from lazyimport.files import AtomicFile, ensure_directory
from lazyimport.format.archive import HEADER_SIZE, Header
from lazyimport.format.delta import Revision, write_delta
from lazyimport.format.writer import recode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from lazyimport.delivery.cache import NodeCache
    from lazyimport.delivery.stores import Store
    from lazyimport.format.archive import Archive
    from lazyimport.format.index import Index

__all__ = ["Published", "publish"]

#: A delta larger than this part of its base is not worth a second object.
LARGEST_DELTA = 0.2
_BASES_KEPT = 8


class Published:
    """What `publish` did.

    ``kind`` is ``"full"``, ``"delta"`` or ``"present"`` (the store had the
    archive); ``size`` the bytes sent; ``base`` the hash a delta builds on, and
    ``base_size`` about what would have been sent without it.
    """

    __slots__ = ("base", "base_size", "hash", "kind", "size")

    def __init__(
        self,
        hash: str,
        kind: str,
        size: int,
        base: str | None = None,
        base_size: int = 0,
    ) -> None:
        self.hash = hash
        self.kind = kind
        self.size = size
        self.base = base
        self.base_size = base_size


def publish(archive: Archive, store: Store, cache: NodeCache) -> Published:
    """Put *archive* into *store* under its hash, unless the store has it.

    Sent as a delta where one of the full archives that this machine has put
    into the store lately serves as a base and the delta is at most a fifth of
    it. Two that publish the same archive at once both succeed, and one sends.

    Raises StoreError or CacheError.
    """
    bases = _Bases(store, cache)
    stored = _stored_header(store, archive.hash)
    if stored is not None:
        _check_stored(stored, store, archive.hash)
        if stored.base is None:
            bases.add(archive.hash)
        return Published(archive.hash, "present", 0)
    with tempfile.TemporaryFile(dir=cache.scratch_folder()) as file:
        base = bases.best_for(archive)
        header = base and _delta(file, base[0], base[1], archive)
        if header is None:
            file.seek(0)
            file.truncate()
            header = recode(archive, file, raw=False)
        file.seek(0)
        created = store.put(archive_key(archive.hash), file)
    if header.base is None:
        bases.add(archive.hash)
    if not created:
        return Published(archive.hash, "present", 0)
    if base and header.base:
        return Published(archive.hash, "delta", header.size, header.base, base[1])
    return Published(archive.hash, "full", header.size)


def _delta(
    file: BinaryIO, base: Archive, base_size: int, archive: Archive
) -> Header | None:
    """Write a delta to *file*; None if it is too large to be worth it."""
    read = Revision(archive).read
    header = write_delta(file, base.index, archive.index, read, notes=archive.raw_notes)
    if header is None or header.size > base_size * LARGEST_DELTA:
        return None
    return header


class _Bases:
    """The full archives this machine has put into one store, newest first."""

    def __init__(self, store: Store, cache: NodeCache) -> None:
        folder = ensure_directory(f"{ensure_directory(cache.path)}/bases")
        name = hashlib.sha256(store.url.encode()).hexdigest()[:32]
        self._path = f"{folder}/{name}"
        self._store = store
        self._cache = cache

    def best_for(self, archive: Archive) -> tuple[Archive, int] | None:
        """Return the base that holds most of *archive*, and its size in the store."""
        candidates = []
        for name in self._names():
            try:
                base = self._cache.open(name)
            except ArchiveError:
                continue
            if base is None or base.hash == archive.hash:
                continue
            share = missing_share(base.index, archive.index)
            if share <= LARGEST_DELTA:
                candidates.append((share, base))
        for _, base in sorted(candidates, key=lambda candidate: candidate[0]):
            header = _stored_header(self._store, base.hash)
            if header is not None and header.base is None:
                return base, header.size
        return None

    def add(self, hash: str) -> None:
        """Remember a full archive that is in the store now."""
        names = [hash, *(name for name in self._names() if name != hash)]
        with AtomicFile(self._path) as file:
            file.write(json.dumps(names[:_BASES_KEPT]).encode())

    def _names(self) -> list[str]:
        try:
            with open(self._path, "rb") as file:
                return [str(name) for name in json.loads(file.read())]
        except (OSError, ValueError, TypeError):
            return []


def missing_share(base: Index, target: Index) -> float:
    """Return the part of *target*'s bytes that *base* does not hold, 0 to 1."""
    held = {digest for entry in base.entries() for _, _, digest in entry.members()}
    total = missing = 1
    for entry in target.entries():
        for _, size, digest in entry.members():
            total += size
            missing += size if digest not in held else 0
    return missing / total


def _stored_header(store: Store, hash: str) -> Header | None:
    """Return the header of the object that *store* has for *hash*, or None."""
    try:
        data = store.read(archive_key(hash), 0, HEADER_SIZE)
    except (KeyMissing, StoreMissing):
        return None  # put() makes the folder, or says that the bucket is missing
    return Header.decode(data, f"{store.url}/{archive_key(hash)}")


def _check_stored(stored: Header, store: Store, hash: str) -> None:
    """Refuse to call an archive present that another, or half of it, stands for."""
    key = archive_key(hash)
    sizes = [item.size for item in store.list(key) if item.key == key]
    why = ""
    if stored.hash != hash:
        why = f"it is archive {stored.hash}"
    elif sizes and sizes[0] != stored.size:
        why = f"it is cut short ({sizes[0]} of {stored.size} bytes)"
    if why:
        raise MalformedArchive(
            f"{store.url}/{key} is not archive {hash}: {why}; delete it there and "
            "push again",
            hash=hash,
        )
