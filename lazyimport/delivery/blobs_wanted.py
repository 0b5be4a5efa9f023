"""Blobs that this process wants to read: from the node cache, else from the store.

As with archives, the fetcher brings them: nothing of what reaches a store is imported
here, and processes that want the same one share its transfer.
"""

from __future__ import annotations

import os
import sys

from lazyimport.cache.blobs import missing_blob
from lazyimport.cache.node import NodeCache
from lazyimport.cache.place import place_for_user
from lazyimport.delivery.obtaining import is_here_alone, obtain
from lazyimport.delivery.starting import Answers
from lazyimport.delivery.waiting import Waiting
from lazyimport.format.blobs import Blob
from lazyimport.lazy import errors
from lazyimport.values import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmap import mmap

    from lazyimport.reporting import Reporter
    from lazyimport.settings import Settings


def obtain_blob(
    settings: Settings,
    hash: str,
    blob: Blob,
    reporter: Reporter,
    kept: dict[bytes, mmap],
    user: int,
) -> mmap:
    """Return *blob*, which the archive *hash* needs.

    It comes into the node cache: each process would need the memory for itself. That is
    where it comes in the mode ``memory``, and then it is *kept* by its digest. If the
    archive was opened by another *user* than this process is now, it comes into a cache
    of this one. Raises MemberMissing, whatever the reason.
    """
    try:
        if os.geteuid() != user:
            cache = NodeCache(settings.cache_dir)
            try:
                return cache.read_blob(blob)
            except (errors.MemberMissing, errors.CacheError):
                place = place_for_user(cache.tree_path(hash), settings.cache_limit)
                settings = settings.replaced(cache_dir=NodeCache.around(place).path)
        return _obtain(settings, hash, blob, reporter, kept)
    except (errors.MemberMissing, MemoryError):
        raise
    except (errors.LazyImportError, OSError) as error:
        raise errors.MemberMissing(
            str(error),
            hash=hash,
            member=blob.path,
            store=redact(str(settings.store)),
        ) from error


def obtain_ahead(settings: Settings, reporter: Reporter) -> tuple[str, int]:
    """Bring the archive of *settings*, with its large files, for processes to come.

    Returns its hash and the bytes that were moved for the archive itself. Raises what
    `lazyimport.delivery.obtaining.obtain` does, also if there is no room for them.
    """
    archive, moved = obtain(settings, reporter, ahead=True)
    for blob in archive.blobs().values():
        if not blob.on_demand:
            _obtain(settings, archive.hash, blob, reporter)
    return archive.hash, moved


def _obtain(
    settings: Settings,
    hash: str,
    blob: Blob,
    reporter: Reporter,
    kept: dict[bytes, mmap] | None = None,
) -> mmap:
    """Return *blob*, which is *kept* by its digest if it comes into memory."""
    cache = NodeCache(settings.cache_dir)
    if kept and blob.digest in kept:
        return kept[blob.digest]
    try:
        return cache.read_blob(blob)
    except (errors.MemberMissing, errors.CacheError):
        pass
    if settings.store is None:
        raise missing_blob(cache, blob, hash)
    if "logging" in sys.modules:  # nobody listens otherwise
        sys.modules["logging"].getLogger("lazyimport").info(
            "fetching %s of archive %s (%d bytes) from %s",
            blob.path,
            hash,
            blob.size,
            redact(settings.store),
        )
    if is_here_alone(settings.store):
        from lazyimport.delivery.blobs_in import obtain_blob_here

        return obtain_blob_here(settings, hash, blob, reporter)
    if settings.cache_mode != "memory":
        waiting = _WaitingForBlob(settings, hash, blob, reporter)
        return waiting.result(whole=True)[0]  # type: ignore[no-any-return]
    with Answers(f"send {encode(hash, blob)}", settings) as answers:
        answers.result(reporter)
        found = answers.data(blob.size)
    if kept is not None:
        kept[blob.digest] = found
    return found


def encode(hash: str, blob: Blob) -> str:
    """Return what a fetcher is asked for that is to bring *blob*; see `decode`."""
    facts = blob.name, str(blob.size), "-z"[blob.compressed], blob.path.encode().hex()
    return " ".join(["blob", hash, *facts])


def decode(asked: str) -> tuple[str, Blob]:
    """Return the hash and the blob that `encode` was given."""
    _, hash, name, size, form, path = asked.split(" ")
    path = bytes.fromhex(path).decode()
    blob = Blob(bytes.fromhex(name), int(size), path, compressed=form == "z")
    return hash, blob


class _WaitingForBlob(Waiting):
    """A process that waits until its node has a blob."""

    def __init__(
        self, settings: Settings, hash: str, blob: Blob, reporter: Reporter
    ) -> None:
        super().__init__(settings, blob.name, reporter)
        self.what = f"{blob.path} of archive {hash}"
        self.label = f"{blob.path} of {hash[:12]}"
        self.asked = encode(hash, blob)
        self._blob = blob

    def open_whole(self) -> mmap | None:
        """Return the blob, None if it is not here."""
        try:
            return self._cache.read_blob(self._blob)
        except errors.MemberMissing:
            return None
