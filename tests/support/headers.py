"""Stores with archives of which only the header can be read."""

from __future__ import annotations

import io

from lazyimport.format.sections import Header
from lazyimport.registry.layout import archive_key
from lazyimport.stores import Store


def put_header(store: Store, hash_: str, base: str | None = None) -> str:
    """Put an archive without members into *store* and return its hash."""
    header = Header(
        hash_, base=base, root_check=0, root_size=112, pages_size=96, slots_size=0
    )
    data = header.encode() + bytes(header.size - len(header.encode()))
    assert store.put(archive_key(hash_), io.BytesIO(data))
    return hash_
