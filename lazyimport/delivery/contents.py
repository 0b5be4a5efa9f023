"""A look into an archive: header, index and notes, without its members."""

from __future__ import annotations

from lazyimport.cache.node import NodeCache
from lazyimport.delivery.fetch import fetch
from lazyimport.errors import ArchiveMissing, KeyMissing, MalformedArchive
from lazyimport.format.archive import decode_notes
from lazyimport.format.header import HEADER_SIZE, Header
from lazyimport.format.index import Index
from lazyimport.registry.archives import read_header
from lazyimport.registry.layout import archive_key
from lazyimport.reporting import SILENT
from lazyimport.stores import open_store
from lazyimport.values import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.reporting import Reporter
    from lazyimport.settings import Settings
    from lazyimport.stores import ReadStore

__all__ = ["Contents", "read_contents"]


class Contents:
    """What is in an archive.

    ``header`` is that of the object at *place*, which is a node cache or a store;
    ``index`` is proved against the hash; ``notes`` are not.
    """

    __slots__ = ("header", "index", "notes", "place")

    def __init__(
        self, header: Header, index: Index, notes: dict[str, object], place: str
    ) -> None:
        self.header = header
        self.index = index
        self.notes = notes
        self.place = place


def read_contents(
    hash: str, settings: Settings, reporter: Reporter = SILENT
) -> Contents:
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
        store = open_store(settings.store, timeout=settings.timeout)
        contents = _read_stored(hash, store)
        if contents is not None:
            return contents
    archive, _ = fetch(settings, hash, reporter)
    place = redact(settings.store) if settings.store else settings.cache_dir
    return Contents(archive.header, archive.index, archive.notes, place)


def _read_stored(hash: str, store: ReadStore) -> Contents | None:
    """Return the contents of a full archive in *store*; None for a delta."""
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
