"""Explaining: what could not be fetched, from where, and what to do about it."""

from __future__ import annotations

from lazyimport.errors import ArchiveMissing, KeyMissing, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")


def explaining(cache: str, hash: str, store: str, call: Callable[[], T]) -> T:
    """Return what *call* does; its errors name the archive *hash*, *store* and *cache*.

    Raises ArchiveMissing for KeyMissing; StoreError as *call* does.
    """
    try:
        return call()
    except KeyMissing:
        raise ArchiveMissing(
            f"archive {hash} is neither in {store} nor in the node cache {cache}; check "
            "the hash and LAZYIMPORT_STORE, or push it there: lazyimport push DIR "
            f"--store {store}",
            hash=hash,
            store=store,
        ) from None
    except StoreError as error:
        text = (
            f"archive {hash} is not in the node cache {cache}, and cannot be fetched: "
            f"{error}"
        )
        raise error.with_text(text) from error.__cause__
