"""Streaming: processes run from an archive, and from deltas to it, as it comes."""

from __future__ import annotations

from lazyimport.cache.disks import is_local
from lazyimport.cache.partial import let_open, open_partial
from lazyimport.delivery.heads import is_near
from lazyimport.errors import LazyImportError
from lazyimport.files import AtomicFile
from lazyimport.lazy import Later

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lazyimport.cache.node import NodeCache
    from lazyimport.delivery.heads import Head
    from lazyimport.format import delta, overlay
    from lazyimport.settings import Settings
else:
    # where something is stored as a delta
    delta, overlay = Later("format.delta"), Later("format.overlay")

#: Bytes of an object from which on processes start before it has come as a whole.
_STREAMED = 1 << 20
#: Bytes of an object in a folder of this machine that several threads decode faster.
_MUCH = 32 << 20


def is_streamed(settings: Settings, head: Head, cache: NodeCache) -> bool:
    """Return whether processes may run from the archive of *head* while it comes."""
    if settings.fetch == "whole":
        return False
    least = _STREAMED if settings.fetch == "auto" else len(head.data) + 1
    return head.header.size >= least and is_local(cache.path)


def connections_to(head: Head, settings: Settings) -> int:
    """Return over how many connections an object comes, 0 to read it as it lies there.

    Where nothing is waited for, threads would only wait for each other.
    """
    if head.header.size < _MUCH and is_near(head.store):
        return 0
    return settings.connections


def open_overlays(
    cache: NodeCache, base: str, heads: Iterable[Head], kind: str
) -> None:
    """Let processes run from the deltas to *base*, which is coming and open.

    *heads* are those of objects that are being fetched. Their overlays are written
    again when all of the base is there, with its checksums.
    """
    for head in heads:
        if head.header.base != base:
            continue
        try:
            _open_overlay(cache, base, head, kind)
        except (LazyImportError, OSError):
            pass  # it is met again when the base is there


def _open_overlay(cache: NodeCache, base: str, head: Head, kind: str) -> None:
    found = open_partial(cache, base)
    if found is None:
        return
    head.apply(found[0].index)
    hash = head.header.hash
    revision = delta.Revision(found[0], head.rest(), hash, head.what)
    with AtomicFile(cache.partial_path(hash, kind), 0o600, durable=False) as file:
        overlay.write_overlay(file, revision, raw=kind == "raw")
    let_open(cache, hash)
