"""A store in the memory of this process, for tests and notebooks."""

from __future__ import annotations

import itertools
import os
import threading
import time

from lazyimport.errors import KeyMissing, SettingsError
from lazyimport.stores.attempt import Attempt
from lazyimport.stores.keys import check_key, check_range
from lazyimport.stores.protocol import Item
from lazyimport.values import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from lazyimport.errors import StoreError

__all__ = ["MemoryStore"]

_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")

#: Contents, number of change and time of change by key, for each name.
_stores: dict[str, dict[str, tuple[bytes, int, float]]] = {}
_changes = itertools.count(1)
_lock = threading.Lock()
os.register_at_fork(
    before=_lock.acquire,
    after_in_parent=_lock.release,
    after_in_child=_lock.release,
)


class MemoryStore:
    """The objects are those that this process keeps under *name*.

    Every store of one name in one process is the same. A child made by fork
    begins with a copy of what there was; other processes begin with nothing.
    """

    __slots__ = ("_objects", "name", "url")

    def __init__(self, name: str) -> None:
        if not name or not _NAME.issuperset(name):
            raise SettingsError(
                f"not the name of a store in memory: {redact(name)!r} (write "
                "memory://name, with letters, digits, '-', '_' and '.')",
                name="store",
                value=redact(name),
            )
        self.name = name
        self.url = f"memory://{name}"
        self._objects = _stores.setdefault(name, {})

    @classmethod
    def from_url(cls, url: str) -> MemoryStore:
        """Return the store that ``memory://name`` names.

        Raises SettingsError for a URL with more than a name, or without one.
        """
        return cls(url.partition("://")[2].removesuffix("/"))

    def __repr__(self) -> str:
        return f"MemoryStore({self.name!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return MemoryStore, (self.name,)

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes from *start* up to and without *end*; see `ReadStore`."""
        check_range(start, end)
        return self._get("read", key)[0][start:end]

    def download(self, key: str, out: BinaryIO, start: int = 0) -> int:
        """Write the object from *start* on to *out*; see `ReadStore.download`."""
        data = self.read(key, start)
        out.write(data)
        return len(data)

    def put(self, key: str, data: BinaryIO) -> bool:
        """Create the object unless it exists; see `Store.put`."""
        check_key(key)
        data.seek(0)
        return self.replace(key, data.read(), None)

    def list(self, prefix: str = "") -> Iterator[Item]:
        """Yield the objects below *prefix*, ordered by key; see `Store.list`."""
        for key, (data, _, modified) in sorted(self._objects.copy().items()):
            if key.startswith(prefix):
                yield Item(key, len(data), modified)

    def delete(self, key: str) -> None:
        """Delete the object; see `Store.delete`."""
        check_key(key)
        if self._objects.pop(key, None) is None:
            raise self._missing("delete", key)

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        """Return the object and its version; see `MutableStore.read_versioned`."""
        data, change, _ = self._get("read", key)
        return data, str(change)

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        """Replace the object if it has *version*; see `MutableStore.replace`."""
        check_key(key)
        with _lock:
            there = self._objects.get(key)
            if version != (None if there is None else str(there[1])):
                return False
            self._objects[key] = bytes(data), next(_changes), time.time()
        return True

    def _get(self, verb: str, key: str) -> tuple[bytes, int, float]:
        try:
            return self._objects[check_key(key)]
        except KeyError:
            raise self._missing(verb, key) from None

    def _missing(self, verb: str, key: str) -> StoreError:
        advice = "publish it from this process, or correct the name or store"
        attempt = Attempt(self.url, verb, key)
        return attempt.error(KeyMissing, "no such object", advice)
