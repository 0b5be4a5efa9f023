"""Stores that hold archives as far as their headers say, and no members."""

from __future__ import annotations

import io

from lazyimport.format.archive import Header
from lazyimport.registry.archives import archive_key
from lazyimport.stores import Store


def hold(store: Store, hash_: str, base: str | None = None) -> str:
    """Put the beginning of an archive into *store*, and return its hash."""
    header = Header(hash_, base=base, root_size=112, pages_size=96, slots_size=0)
    data = header.encode() + bytes(header.size - len(header.encode()))
    assert store.put(archive_key(hash_), io.BytesIO(data))
    return hash_
