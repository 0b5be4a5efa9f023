"""Stores: where published archives are kept.

`open_store` turns a URL into a `Store`; what it needs for the scheme is
imported then and no sooner.
"""

from __future__ import annotations

from lazyimport.delivery.stores.base import Item, Store, check_key, redact
from lazyimport.errors import SettingsError

__all__ = ["Item", "Store", "check_key", "open_store"]


def open_store(url: str, *, timeout: float = 300.0) -> Store:
    """Return the store that *url* names, without asking it anything yet.

    ``file:///folder``
        a folder, local or on a shared file system;
        ``%`` begins an escape and is written ``%25`` itself,
    ``gs://bucket/prefix``
        Google Cloud Storage.

    *timeout* is the number of seconds after which a store on the network is
    given up (StoreUnavailable); a folder answers when its file system does.

    Raises SettingsError for a URL that names no store.
    """
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme == "file":
        from lazyimport.delivery.stores.file import FileStore

        return FileStore.from_url(url)
    if scheme == "gs":
        from lazyimport.delivery.stores.gcs import GcsStore

        return GcsStore.from_url(url, timeout=timeout)
    raise SettingsError(
        f"not a store: {redact(url)!r} (stores are file:///folder and "
        "gs://bucket/prefix; set LAZYIMPORT_STORE or pass store=)",
        name="store",
        value=redact(url),
    )
