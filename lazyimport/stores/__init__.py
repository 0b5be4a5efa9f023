"""Stores: objects by key, in a folder, a bucket or behind a web server.

`open_store` returns the `ReadStore` that a URL names, and imports what its scheme
needs. `writable` and `mutable` return it as a store that can do more.
"""

from __future__ import annotations

from lazyimport.errors import SettingsError
from lazyimport.stores.keys import check_key, not_a_store
from lazyimport.stores.protocol import Item, MutableStore, ReadStore, Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "Item",
    "MutableStore",
    "ReadStore",
    "Store",
    "check_key",
    "mutable",
    "open_store",
    "writable",
]


#: What to import for a URL, by its scheme.
_KINDS = {
    "file": "file.FileStore",
    "gs": "gcs.GcsStore",
    "s3": "buckets.S3Store",
    "az": "buckets.AzureStore",
    "http": "objects.HttpStore",
    "https": "objects.HttpStore",
    "memory": "memory.MemoryStore",
}


def open_store(url: str, *, timeout: float = 300.0) -> ReadStore:
    """Return the store that *url* names, without asking it anything yet.

    ``file:///folder``
        a folder, local or on a shared file system;
        ``%`` begins an escape and is written ``%25`` itself,
    ``gs://bucket/prefix``
        Google Cloud Storage,
    ``s3://bucket/prefix?endpoint=URL&region=NAME``
        Amazon S3, or what speaks its protocol at *endpoint*,
    ``az://container/prefix?account_name=NAME``
        Azure Blob Storage,
    ``https://host/folder``
        whatever serves the folder of a ``file://`` store, to read,
    ``memory://name``
        in this process alone, for tests and notebooks.

    All but ``https`` are `MutableStore`: pass them to `writable` or `mutable` to
    write.

    A call that a store on the network does not answer within *timeout* seconds, all
    repetitions included, raises StoreUnavailable; a folder answers when its file
    system does.

    Raises SettingsError for a URL that names no store.
    """
    scheme, separator, _ = url.partition("://")
    if separator and scheme.lower() in _KINDS:
        module, _, kind = _KINDS[scheme.lower()].partition(".")
        found = __import__(f"{__name__}.{module}", fromlist=[kind])
        return getattr(found, kind).from_url(url, timeout)  # type: ignore[no-any-return]
    forms = (
        "file:///folder, gs://bucket/prefix, s3://bucket/prefix, "
        "az://container/prefix, https://host/folder or memory://name"
    )
    raise not_a_store(url, forms, "set LAZYIMPORT_STORE or pass store=")


def writable(store: ReadStore) -> Store:
    """Return *store* as one to put into, list and delete from.

    Raises SettingsError for a store that can only be read.
    """
    able: Any = store
    if not hasattr(store, "put"):
        raise _cannot(store, "can only be read", "list, publish or delete")
    return able  # type: ignore[no-any-return]


def mutable(store: ReadStore) -> MutableStore:
    """Return *store* as one whose objects can be replaced.

    Raises SettingsError for a store where they cannot.
    """
    able: Any = writable(store)
    if not hasattr(store, "replace"):
        raise _cannot(store, "cannot replace an object", "change a channel")
    return able  # type: ignore[no-any-return]


def _cannot(store: ReadStore, what: str, wish: str) -> SettingsError:
    return SettingsError(
        f"the store {store.url} {what}: to {wish}, name the bucket or folder behind "
        "it (file:///folder, gs://, s3:// or az://) in LAZYIMPORT_STORE or store=",
        name="store",
        value=store.url,
    )
