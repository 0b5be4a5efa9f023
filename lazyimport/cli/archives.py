"""Archives where they are: listings of cache and store, and a look into one."""

from __future__ import annotations

from lazyimport.cache.node import NodeCache
from lazyimport.errors import ArchiveMissing, KeyMissing, MalformedArchive
from lazyimport.format.archive import HEADER_SIZE, Header, decode_notes
from lazyimport.format.index import Index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lazyimport.settings import Settings
    from lazyimport.stores import ReadStore

__all__ = [
    "Contents",
    "Held",
    "cached_archives",
    "look_into",
    "origin_of",
    "stored_archives",
]


class Held:
    """An archive in a cache or store: hash, size there, when it came there."""

    __slots__ = ("hash", "modified", "size")

    def __init__(self, hash: str, size: int, modified: float) -> None:
        self.hash = hash
        self.size = size
        self.modified = modified


class Contents:
    """What is in an archive, without its members.

    ``header`` is that of the object where it lies, at *place*; ``index`` is
    proved against the hash; ``notes`` are not.
    """

    __slots__ = ("header", "index", "notes", "place")

    def __init__(
        self, header: Header, index: Index, notes: dict[str, object], place: str
    ) -> None:
        self.header = header
        self.index = index
        self.notes = notes
        self.place = place


def cached_archives(settings: Settings) -> list[Held]:
    """Return the archives in the node cache, in no order."""
    cache = NodeCache(settings.cache_dir)
    return [Held(*found) for found in cache.archives()]


def stored_archives(settings: Settings, prefix: str = "") -> Iterator[Held]:
    """Yield the archives in the store whose hashes begin with *prefix*, by hash."""
    from lazyimport.registry import archives as stored
    from lazyimport.stores import writable

    for name, item in stored.stored_archives(writable(_store(settings)), prefix):
        yield Held(name, item.size, item.modified)


def origin_of(facts: Mapping[str, object]) -> str:
    """Return where an archive came from, in words; empty if *facts* do not say."""
    commit = str(facts.get("commit", ""))[:10]
    if not commit:
        return ""
    branch = facts.get("branch")
    text = f"{commit} on {branch}" if branch else commit
    return f"{text}, with uncommitted changes" if facts.get("dirty") else text


def look_into(hash: str, settings: Settings) -> Contents:
    """Return the contents of the archive *hash*: from the node cache, else the store.

    Of a full archive in the store, header, index and notes are read and nothing
    else; a delta is fetched into the node cache, with its base.

    Raises ArchiveMissing, StoreError, CacheError or ArchiveError.
    """
    cached = NodeCache(settings.cache_dir).open(hash)
    if cached is not None:
        place = f"the node cache {settings.cache_dir}"
        return Contents(cached.header, cached.index, cached.notes, place)
    if settings.store:
        contents = _look_into_stored(hash, _store(settings))
        if contents is not None:
            return contents
    from lazyimport.cli.progress import Notes
    from lazyimport.delivery.fetch import fetch
    from lazyimport.stores.protocol import redact

    archive, _ = fetch(settings, hash, Notes().warn)
    place = redact(settings.store) if settings.store else settings.cache_dir
    return Contents(archive.header, archive.index, archive.notes, place)


def _look_into_stored(hash: str, store: ReadStore) -> Contents | None:
    from lazyimport.registry.archives import archive_key, read_header

    key = archive_key(hash)
    what = f"{store.url}/{key}"
    try:
        header = read_header(store, hash)
    except KeyMissing as error:
        raise ArchiveMissing(
            f"archive {hash} is neither in the node cache nor in {store.url}; check "
            f"the hash, or see 'lazyimport ls --store {store.url}'",
            hash=hash,
            store=store.url,
        ) from error
    if header.base is not None:
        return None
    buffer = store.read(key, 0, header.slots_at)
    if len(buffer) != header.slots_at:
        raise MalformedArchive(
            f"{what}: cut short inside the index ({len(buffer)} of {header.size} "
            "bytes); delete it and push again",
            hash=hash,
        )
    index = Index(buffer, hash, HEADER_SIZE, header.root_size, header.pages_size, what)
    notes = decode_notes(store.read(key, header.notes_at, header.size))
    return Contents(header, index, notes, store.url)


def _store(settings: Settings) -> ReadStore:
    from lazyimport.stores import open_store

    assert settings.store is not None
    return open_store(settings.store, timeout=settings.timeout)
