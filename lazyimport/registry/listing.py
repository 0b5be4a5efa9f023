"""The history of a store: its archives, who pushed them, what channels point to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from lazyimport.errors import ChannelError
from lazyimport.registry.archives import stored_archives
from lazyimport.registry.channels import read_channels
from lazyimport.registry.provenance import read_provenance
from lazyimport.reporting import SILENT, Reporter
from lazyimport.stores import Store
from lazyimport.stores.side_by_side import side_by_side


class Listed(NamedTuple):
    """An archive: its ``size`` in bytes, and when it was ``modified`` by the store.

    ``channels`` point to it now. ``provenance`` is the claim of its first push.
    """

    hash: str
    size: int
    modified: float
    channels: list[str]
    provenance: Mapping[str, object]


def newest(archives: list[Listed], limit: int | None) -> list[Listed]:
    """Return at most *limit* of *archives*, the newest first."""
    return sorted(archives, key=lambda each: (-each.modified, each.hash))[:limit]


def list_store(
    store: Store, limit: int | None, reporter: Reporter = SILENT
) -> tuple[list[Listed], list[Listed]]:
    """Return the newest archives of *store* with all that is known, and all archives.

    *reporter* is warned if a channel cannot be read. Raises StoreError.
    """
    found = [Listed(n, i.size, i.modified, [], {}) for n, i in stored_archives(store)]
    try:
        channels = read_channels(store)
    except ChannelError as error:
        reporter.warn(f"which channels point to what is not shown: {error}")
        channels = []
    shown = newest(found, limit)
    facts = side_by_side(*(partial(read_provenance, store, e.hash) for e in shown))
    return [
        each._replace(
            channels=[one.name for one in channels if one.hash == each.hash],
            provenance=made,
        )
        for each, made in zip(shown, facts, strict=True)
    ], found
