"""A look into an archive: header, index and notes, without its members."""

from __future__ import annotations

from collections.abc import Iterable

from lazyimport.cache.node import NodeCache
from lazyimport.delivery.fetch import fetch
from lazyimport.errors import ArchiveMissing, KeyMissing, MalformedArchive
from lazyimport.format.archive import decode_notes
from lazyimport.format.entries import (
    CONFIGURED,
    HAS_DATA,
    IN_MEMORY,
    LOOKS,
    NATIVE,
    Entry,
)
from lazyimport.format.header import HEADER_SIZE, Header
from lazyimport.format.index import ALL_MINORS, Index
from lazyimport.registry.archives import read_header
from lazyimport.registry.layout import archive_key
from lazyimport.reporting import SILENT, Reporter
from lazyimport.settings import Settings
from lazyimport.stores import ReadStore, open_store
from lazyimport.values import redact

#: flag of a top-level package -> why it becomes real files: docs/format.md, 7
_REASONS = {
    LOOKS: "its code names a place, or something beside it is configured",
    HAS_DATA: "it has data files",
    NATIVE: "it has native code",
    CONFIGURED: "configured so",
}


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

    @property
    def files(self) -> list[Entry]:
        """The files, in the order of their paths."""
        found = [entry for entry in self.index.entries() if not entry.is_directory]
        return sorted(found, key=lambda entry: entry.path.encode())

    @property
    def runs_on(self) -> str:
        """The Pythons that the archive is for, in words."""
        required = self.notes.get("requires_python")
        if required:
            return f"Python {required}"
        if self.index.minors == ALL_MINORS:
            return "any Python (the project does not say)"
        minors = [minor for minor in range(64) if self.index.minors >> minor & 1]
        return "Python " + ", ".join(f"3.{minor}" for minor in minors)

    @property
    def real_files(self) -> dict[str, str]:
        """The packages that are on disk before anybody looks, and why."""
        found = {}
        for entry in self.index.entries():
            if entry.is_directory and entry.flags:
                reasons = [
                    text for flag, text in _REASONS.items() if entry.flags & flag
                ]
                text = ", ".join(reasons)
                if entry.flags == LOOKS:
                    text = f"not itself, but what lies beside it: {text}"
                if entry.flags & IN_MEMORY:
                    text = (
                        f"no: configured to stay in memory (though {text or 'plain'})"
                    )
                found[entry.path] = text
        return dict(sorted(found.items()))

    @property
    def left_out(self) -> dict[str, str]:
        """The paths that packing left out, and the rule for each."""
        excluded = self.notes.get("excluded")
        rules = excluded.items() if isinstance(excluded, dict) else ()
        return {str(path): str(rule) for path, rule in rules}

    def pythons(self, entries: Iterable[Entry]) -> list[str]:
        """Return the Pythons for which any of *entries* has bytecode."""
        bits = 0
        for entry in entries:
            bits |= entry.variants
        variants = enumerate(self.index.variants)
        return [variant.python for number, variant in variants if bits >> number & 1]


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
