"""Stores: objects by key, in a folder, a bucket or behind a web server.

`open_store` returns the `ReadStore` that a URL names, and imports what its scheme
needs. `writable` and `mutable` return it as a store that can do more.
"""

from __future__ import annotations

from lazyimport.errors import SettingsError
from lazyimport.stores.keys import check_key
from lazyimport.stores.protocol import Item, MutableStore, ReadStore, Store
from lazyimport.values import redact

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
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme == "file":
        from lazyimport.stores.file import FileStore

        return FileStore.from_url(url)
    if scheme == "gs":
        from lazyimport.stores.gcs import GcsStore

        return GcsStore.from_url(url, timeout=timeout)
    if scheme in {"s3", "az"}:
        from lazyimport.stores.buckets import AzureStore, S3Store
        from lazyimport.stores.retry import retrying

        bucket = (S3Store if scheme == "s3" else AzureStore)(url, timeout=timeout)
        return retrying(bucket, timeout)  # type: ignore[no-any-return]
    if scheme in {"http", "https"}:
        from lazyimport.stores.objects import HttpStore
        from lazyimport.stores.retry import retrying

        web = HttpStore(url, timeout=timeout)
        return retrying(web, timeout)  # type: ignore[no-any-return]
    if scheme == "memory":
        from lazyimport.stores.memory import MemoryStore

        return MemoryStore.from_url(url)
    raise SettingsError(
        f"not a store: {redact(url)!r} (stores are file:///folder, "
        "gs://bucket/prefix, s3://bucket/prefix, az://container/prefix, "
        "https://host/folder and memory://name; set LAZYIMPORT_STORE or pass store=)",
        name="store",
        value=redact(url),
    )


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
