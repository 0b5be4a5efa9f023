"""A look into an archive: header, index and notes, and those members that are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cached_property

from lazyimport.cache.node import NodeCache
from lazyimport.cache.previous import find_packed
from lazyimport.delivery.fetch import fetch
from lazyimport.delivery.heads import Head
from lazyimport.errors import (
    ArchiveMissing,
    CacheError,
    DamagedArchive,
    KeyMissing,
    MalformedArchive,
    SettingsError,
)
from lazyimport.format.archive import Archive, decode_notes
from lazyimport.format.blobs import Blob
from lazyimport.format.entries import (
    CONFIGURED,
    HAS_DATA,
    IN_MEMORY,
    LOOKS,
    NATIVE,
    Entry,
)
from lazyimport.format.index import ALL_MINORS, Index
from lazyimport.format.order import first_in
from lazyimport.format.sections import Header
from lazyimport.registry.opening import store_of
from lazyimport.reporting import SILENT, Reporter
from lazyimport.settings import Settings
from lazyimport.stores import ReadStore

#: flag of a top-level package -> why it becomes real files, or does not
_REASONS = {
    LOOKS: "looks",
    HAS_DATA: "data",
    NATIVE: "native",
    CONFIGURED: "configured",
    IN_MEMORY: "in memory",
}


class Contents:
    """What is in an archive.

    ``header`` is that of the object at *place*, which is a node cache or a store;
    ``index`` is proved against the hash; ``notes`` are not. ``first`` are the number
    and size of the members that lie first because a start reads them. ``content``
    returns the proved bytes of a file, and raises StoreError or DamagedArchive.
    ``blobs`` are the files that lie beside the archive, by digest.
    """

    def __init__(
        self,
        header: Header,
        index: Index,
        notes: dict[str, object],
        place: str,
        first: tuple[int, int],
        content: Callable[[Entry], bytes | memoryview],
        blobs: Mapping[bytes, Blob],
    ) -> None:
        self.first = first
        self.header = header
        self.index = index
        self.notes = notes
        self.place = place
        self.content = content
        self.blobs = blobs

    @cached_property
    def files(self) -> list[Entry]:
        """The files, in the order of their paths."""
        found = [entry for entry in self.index.entries() if not entry.is_directory]
        return sorted(found, key=lambda entry: entry.path.encode())

    @property
    def large(self) -> list[Entry]:
        """The files that do not lie in the archive, but beside it."""
        return [entry for entry in self.files if entry.digest in self.blobs]

    def file(self, path: str) -> Entry:
        """Return the file at *path*. Raises SettingsError if there is none."""
        entry = self.index.entry(path)
        if entry is not None and not entry.is_directory:
            return entry
        what = "a folder" if entry else "nothing"
        near = get_close_matches(path, [each.path for each in self.files], 1)
        hash = self.index.hash
        see = f"see 'lazyimport ls {hash[:12]} --long'"
        raise SettingsError(
            f"archive {hash} has {what} at {path!r}; "
            f"{f'did you mean {near[0]}?' if near else see}",
            name="path",
            value=path,
        )

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
    def real_files(self) -> dict[str, list[str]]:
        """The packages that are on disk before anybody looks, and why.

        ``looks`` alone is for what lies beside, and ``in memory`` says that it is not.
        """
        found = {
            entry.path: [why for flag, why in _REASONS.items() if entry.flags & flag]
            for entry in self.index.entries()
            if entry.is_directory and entry.flags
        }
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

    Of what is in the store, header, index and notes are read, of a delta those of
    its base too, and members when they are asked for. Nothing comes into the cache,
    but what was packed here is written there whole. A cache that cannot be read
    counts as empty.

    Raises ArchiveMissing, StoreError, CacheError or ArchiveError.
    """
    if settings.store and not _is_here(NodeCache(settings.cache_dir), hash):
        return _read_stored(hash, store_of(settings), settings)
    archive = fetch_to_read(hash, settings, reporter)
    place = f"the node cache {settings.cache_dir}"
    first = len({digest for _, digest, *_ in first_in(archive)}), archive.warm
    return Contents(
        archive.header,
        archive.index,
        archive.notes,
        place,
        first,
        archive.content,
        archive.blobs(),
    )


def _is_here(cache: NodeCache, hash: str) -> bool:
    try:
        return cache.open(hash) is not None or find_packed(cache, hash) is not None
    except (CacheError, DamagedArchive, MalformedArchive):
        return False


def fetch_to_read(
    hash: str, settings: Settings, reporter: Reporter = SILENT
) -> Archive:
    """Return an archive that is read and not run: `fetch`, or else from memory.

    That is where the cache cannot be used and a store has it; *reporter* is told
    nothing of that.
    """
    try:
        return fetch(settings, hash, reporter, ahead=True)[0]
    except CacheError:
        if not settings.store:
            raise
        return fetch(settings.replaced(cache_mode="memory"), hash, reporter)[0]


def _read_stored(hash: str, store: ReadStore, settings: Settings) -> Contents:
    try:
        head = Head(store, hash)
        heads = [head]
        if head.header.base is not None:
            hash = head.header.base
            heads.append(Head(store, hash))
            if heads[1].index is None:
                raise MalformedArchive(f"{heads[1].what}: no full archive", hash=hash)
            head.apply(heads[1].index)
    except KeyMissing:
        raise ArchiveMissing(
            f"archive {hash} is neither in the node cache nor in {store.url}; check "
            f"the hash, or see 'lazyimport ls --store {store.url}'",
            hash=hash,
            store=store.url,
        ) from None
    except (MalformedArchive, DamagedArchive) as error:
        raise error.with_text(
            f"{error}; push the tree again, which replaces it"
        ) from error.__cause__
    places = {
        member[3]: (of, member) for of in reversed(heads) for member in of.members
    }

    blobs = {digest: blob for of in heads for digest, blob in of.blobs.items()}

    def content(entry: Entry) -> bytes | memoryview:
        if entry.digest in blobs:
            from lazyimport.delivery.blobs_in import read_blob

            return memoryview(read_blob(store, blobs[entry.digest], settings))
        of, member = places[entry.digest]
        return of.member(member)

    header, index = head.header, head.index
    assert index is not None
    notes = decode_notes(store.read(head.key, header.notes_at, header.size))
    warm = heads[-1].header.warm
    first = sum(offset < warm for offset, *_ in heads[-1].members), warm
    return Contents(header, index, notes, store.url, first, content, blobs)
