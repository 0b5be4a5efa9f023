"""Fetching: an archive from its store into the node cache, once for the node."""

from __future__ import annotations

import os
import time
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap

from lazyimport.cache.growth import Growing
from lazyimport.cache.node import NO_DISK, NodeCache
from lazyimport.cache.partial import Wishes
from lazyimport.cache.previous import find_packed
from lazyimport.cache.room import make_room, require_space
from lazyimport.delivery.explaining import explaining
from lazyimport.delivery.filling import Filling
from lazyimport.delivery.heads import Head
from lazyimport.delivery.rooms import FileRoom, MemoryRoom, require_memory
from lazyimport.delivery.streaming import connections_to, is_streamed, open_overlays
from lazyimport.errors import (
    ArchiveError,
    ArchiveMissing,
    CacheError,
    DamagedArchive,
    MalformedArchive,
    StoreError,
)
from lazyimport.format.archive import Archive
from lazyimport.lazy import Later
from lazyimport.registry.opening import store_of
from lazyimport.reporting import SILENT, WARNINGS
from lazyimport.values import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO, TypeVar

    from lazyimport.delivery.blobs_beside import Beside
    from lazyimport.format import delta, overlay
    from lazyimport.format.blobs import Blob
    from lazyimport.reporting import Reporter
    from lazyimport.settings import Settings

    T = TypeVar("T")
else:
    # where something is stored as a delta
    delta, overlay = Later("format.delta"), Later("format.overlay")

#: There is one; more come about if a base was deleted by hand and pushed again.
_MOST_DELTAS = 4


def fetch(
    settings: Settings,
    hash: str,
    reporter: Reporter = WARNINGS,
    *,
    ahead: bool = False,
    held: bool = False,
    beside: Beside | None = None,
) -> tuple[Archive, int]:
    """Return the archive *hash* and the number of bytes that were downloaded.

    0 bytes if the node has it, or another process fetched it meanwhile. If the
    cache cannot be written, the archive is downloaded into memory, and *reporter*
    is warned of that. It is also warned of damage that was found and replaced.

    This process reaches the store: see `lazyimport.delivery.obtaining` for one that
    must not. Its caller has *held* the lock of the archive, and makes room when it is
    free again, or both is done here.

    What processes want of it that is large comes *beside* it, if that is given.
    With *ahead* the archive is for processes that start later, so it must end up
    in the cache: CacheError if it cannot.

    Raises ArchiveMissing, StoreError, CacheError or ArchiveError.
    """
    fetching = _Fetch(settings, hash, reporter, beside, ahead=ahead, held=held)
    archive = fetching.archive(hash)
    archive.blob = lambda blob: _obtain_blob(settings, hash, reporter, blob)
    cache = NodeCache(settings.cache_dir)
    if fetching.moved and archive.what == cache.archive_path(hash) and not held:
        make_room(cache, settings.cache_limit)
    return archive, fetching.moved


def _obtain_blob(settings: Settings, hash: str, reporter: Reporter, blob: Blob) -> mmap:
    from lazyimport.delivery.blobs_in import obtain_blob_here  # few archives have any

    return obtain_blob_here(settings, hash, blob, reporter)


class _Fetch:
    def __init__(
        self,
        settings: Settings,
        wanted: str,
        reporter: Reporter,
        beside: Beside | None,
        *,
        ahead: bool,
        held: bool,
    ) -> None:
        self._settings = settings
        self._ahead = ahead
        self._held = {wanted} if held else set()
        self._wanted = wanted
        self._reporter = reporter
        self._beside = beside
        self._cache = NodeCache(settings.cache_dir)
        self._deadline = time.monotonic() + settings.timeout
        self._raw = settings.cache_mode != "zstd"
        self._kind = "raw" if self._raw else "zstd"
        #: why nothing is put on the disk, if anything was to be
        self._no_disk: CacheError | None = None
        #: what stored objects said of themselves, and all of them that came
        self._heads: dict[str, Head] = {}
        self._asked: list[Head] = []
        #: checksums of members that hold, by the inode of a file and their digests
        self._revived: dict[int, dict[bytes, int]] = {}
        #: deltas whose bases are being fetched
        self._deltas: set[str] = set()

    @property
    def moved(self) -> int:
        """The bytes that came."""
        return sum(head.moved for head in self._asked)

    def archive(self, hash: str) -> Archive:
        try:
            return self._archive(hash)
        except (MalformedArchive, DamagedArchive) as error:
            if error.hash != hash or not self._settings.store:
                raise
            text = f"{error}; push the tree again, which replaces it"
            raise error.with_text(text) from error.__cause__

    def _archive(self, hash: str) -> Archive:
        if self._no_disk or self._settings.cache_mode == "memory":
            return self._twice(self._in_memory, hash)
        try:
            return self._through_cache(hash)
        except CacheError as error:
            if error.errno not in NO_DISK or not self._settings.store or self._ahead:
                raise
            if hash != self._wanted:
                raise  # a base: what needs it comes into memory, as a whole
            self._no_disk = error
            archive = self._twice(self._in_memory, hash)
            self._reporter.warn(
                f"archive {hash} runs from memory, downloaded by each process for "
                f"itself, and code finds no files beside it: {error}"
            )
            return archive

    def _through_cache(self, hash: str) -> Archive:
        found = self._cached(hash)
        if found is not None:
            return found
        packed = find_packed(self._cache, hash)
        if packed is None:
            self._require_store(hash)  # before the lock is taken
        if hash in self._held:
            return self._locked(hash, packed)
        with self._cache.lock(hash, self._left()) as lock:
            try:
                os.ftruncate(lock.descriptor, 0)  # what an earlier fetch wrote
            except OSError as error:
                raise self._cache.refused(f"archive {hash}", error) from error
            return self._locked(hash, packed)

    def _locked(self, hash: str, packed: delta.Revision | None) -> Archive:
        found = self._cached(hash, self._reporter)
        if found is None and packed is not None:
            try:
                return self._publish(packed)
            except ArchiveError:
                pass  # what was packed here is damaged
        if found is None and self._cache.has_begun(hash):
            from lazyimport.cache.reviving import revive  # few go on with another's

            revive(self._cache, hash, self._reporter, self._revived)
        return found or self._twice(self._download, hash)

    def _cached(self, hash: str, reporter: Reporter = SILENT) -> Archive | None:
        try:
            return self._cache.open(hash)
        except ArchiveError as error:
            if not self._settings.store:
                text = f"{error}; set LAZYIMPORT_STORE, to fetch it again from there"
                raise error.with_text(text) from error.__cause__
            # It is replaced by the rename.
            store = redact(self._settings.store)
            reporter.warn(f"{error}; fetching it again from {store}")
            return None

    def _publish(self, revision: delta.Revision) -> Archive:
        def write(out: BinaryIO) -> object:
            if revision.delta is None:
                return revision.write(out, raw=self._raw)
            return overlay.write_overlay(out, revision, raw=self._raw)

        return self._cache.publish(revision.hash, write)

    def _twice(self, method: Callable[[str], Archive], hash: str) -> Archive:
        """Call *method*; once more if what came was damaged, or replaced meanwhile."""
        try:
            return method(hash)
        except (MalformedArchive, DamagedArchive) as error:
            if error.hash != hash:
                raise
            self._heads.pop(hash, None)
            self._deltas.discard(hash)
            return method(hash)

    def _download(self, hash: str) -> Archive:
        head = self._head(hash)
        if head.header.base is None:
            return self._fill(head)
        base = self._needed(hash, head.header.base, self.archive)
        return self._publish(self._revision(head, base))

    def _fill(self, head: Head) -> Archive:
        hash, kind, cache = head.header.hash, self._kind, self._cache
        filling = Filling(head, raw=self._raw)
        try:
            with cache.begin(hash, kind, filling.fits) as file:
                room = FileRoom(file.fileno(), filling.size)
                with Growing(cache.path, room.missing):
                    require_space(cache, room.missing, self._settings.cache_limit)
                    file.truncate(filling.size)  # it has that size already, or none
                    is_open = filling.is_open(room)
                    if is_open or is_streamed(self._settings, head, self._cache):
                        if is_open:
                            inode = os.fstat(file.fileno()).st_ino
                            filling.known = self._revived.get(inode, {})
                        heard = self._beside.heard(head) if self._beside else bool
                        with Wishes(cache, hash, heard) as wishes:
                            self._run(filling, head, room, wishes)
                    else:
                        self._run(filling, head, room)
                    return cache.complete(hash, file, kind)
        except (OSError, ArchiveError) as error:
            if error is not filling.damage:  # else all but that is of use
                cache.give_up(hash)
            if isinstance(error, OSError):
                raise cache.refused(f"archive {hash}", error, filling.size) from error
            raise

    def _in_memory(self, hash: str) -> Archive:
        self._deltas.clear()  # of what was tried with the disk, or before this
        heads = [self._head(hash)]
        index = heads[0].index
        while (base := heads[-1].header.base) is not None:
            try:
                here = self._cached(base) if self._no_disk else None
            except CacheError:  # the cache may be another user's
                here = None
            if here is not None and len(heads) == 1:
                # What the base lacks is here, and then in another process as well.
                size = 2 * here.header.members_at + 3 * heads[0].header.size
                require_memory(hash, size, self._cache.path, because=self._no_disk)
                return overlay.combine(self._revision(heads[0], here), heads[0].what)
            heads.append(self._needed(heads[-1].header.hash, base, self._head))
            index = heads[-1].index
        for head in reversed(heads[:-1]):
            assert index is not None
            index = head.apply(index)
        filling = Filling(*heads, raw=False)
        require_memory(hash, filling.size, self._cache.path, because=self._no_disk)
        buffer = mmap(-1, filling.size, MAP_PRIVATE | MAP_ANONYMOUS)
        self._run(filling, heads[0], MemoryRoom(buffer))
        return Archive(buffer, hash, heads[0].what, sealed=True)

    def _run(
        self,
        filling: Filling,
        head: Head,
        room: FileRoom | MemoryRoom,
        wishes: Wishes | None = None,
    ) -> None:
        hash = head.header.hash

        def fill() -> None:
            filling.fill(
                room,
                connections_to(head, self._settings),
                lambda done, total: self._tell(head, done, total),
                wishes,
                lambda: open_overlays(self._cache, hash, self._asked, self._kind),
                None if self._beside is None else self._beside.rest,
            )

        explaining(self._cache.path, hash, head.store.url, fill)

    def _tell(self, head: Head, done: int, total: int) -> None:
        text = f"fetching {head.header.hash[:12]} from {head.store.url}"
        self._reporter.step(text, done, total, "bytes")

    def _revision(self, head: Head, base: Archive) -> delta.Revision:
        """Return the archive that a delta gives with its base."""
        hash = head.header.hash
        head.apply(base.index)
        data = explaining(self._cache.path, hash, head.store.url, head.rest)
        return delta.Revision(base, data, hash, head.what)

    def _needed(self, hash: str, base: str, bring: Callable[[str], T]) -> T:
        """Return what *bring* does with *base*; its errors say that *hash* needs it."""
        about = f"archive {hash} is stored as a delta to {base}, and that"
        self._deltas.add(hash)
        if base in self._deltas or len(self._deltas) > _MOST_DELTAS:
            raise MalformedArchive(f"{about} is no full archive", hash=hash)
        try:
            return bring(base)
        except ArchiveMissing as error:
            text = f"{about} base is missing: {error}"
            raise ArchiveMissing(text, hash=hash, store=error.store) from None
        except StoreError as error:
            text = f"{about} base cannot be fetched: {error}"
            raise error.with_text(text) from error.__cause__

    def _require_store(self, hash: str) -> None:
        """Raise ArchiveMissing if no store is named."""
        if not self._settings.store:
            raise ArchiveMissing(
                f"archive {hash} is not in the node cache {self._cache.path}, and no "
                "store is named to fetch it from; set LAZYIMPORT_STORE, or pass store= "
                "or --store",
                hash=hash,
            )

    def _left(self) -> float:
        return max(self._deadline - time.monotonic(), 0.1)

    def _head(self, hash: str) -> Head:
        """Return what the stored object says of itself, which is asked for once."""
        head = self._heads.get(hash)
        if head is None:
            self._require_store(hash)
            store = store_of(self._settings, timeout=round(self._left(), 1))
            again = self._cache.has_begun(hash)
            head = self._heads[hash] = explaining(
                self._cache.path,
                hash,
                store.url,
                lambda: Head(store, hash, again=again),
            )
            self._asked.append(head)
            self._tell(head, head.moved, head.header.size)
        return head
