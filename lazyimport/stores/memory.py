"""A store in the memory of this process, for tests and notebooks."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from lazyimport.stores.attempt import Attempt
from lazyimport.stores.base import StoreBase, Write
from lazyimport.stores.keys import not_a_store
from lazyimport.stores.protocol import Item

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


class MemoryStore(StoreBase):
    """The objects are those that this process has under *name*.

    Every store of one name in one process is the same. A child made by fork
    begins with a copy of what there was; other processes begin with nothing.
    """

    __slots__ = ("_objects", "name", "url")

    def __init__(self, name: str) -> None:
        if not name or not _NAME.issuperset(name):
            why = "a name has letters, digits, '-', '_' and '.'"
            raise not_a_store(f"memory://{name}", "memory://name", why)
        self.name = name
        self.url = f"memory://{name}"
        self._objects = _stores.setdefault(name, {})

    @classmethod
    def from_url(cls, url: str, _: float = 0.0) -> MemoryStore:
        """Return the store that ``memory://name`` names.

        Raises SettingsError for a URL with more than a name, or without one.
        """
        return cls(url.partition("://")[2].removesuffix("/"))

    def __repr__(self) -> str:
        return f"MemoryStore({self.name!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return MemoryStore, (self.name,)

    def _receive(
        self, attempt: Attempt, write: Write, start: int, end: int | None
    ) -> None:
        write(self._get(attempt)[0][start:end])

    def _put(self, attempt: Attempt, data: BinaryIO) -> bool:
        data.seek(0)
        return self._replace(attempt, data.read(), None)

    def _list(self, prefix: str) -> Iterator[Item]:  # noqa: ARG002 - others are dropped
        for key, (data, change, modified) in sorted(self._objects.copy().items()):
            yield Item(key, len(data), modified, str(change))

    def _delete(self, attempt: Attempt) -> None:
        if self._objects.pop(attempt.key, None) is None:
            raise attempt.key_missing()

    def _read_versioned(self, attempt: Attempt, write: Callable[[bytes], bool]) -> str:
        data, change, _ = self._get(attempt)
        write(data)
        return str(change)

    def _replace(self, attempt: Attempt, data: bytes, version: str | None) -> bool:
        with _lock:
            there = self._objects.get(attempt.key)
            if version != (None if there is None else str(there[1])):
                return False
            self._objects[attempt.key] = bytes(data), next(_changes), time.time()
        return True

    def _explain(self, attempt: Attempt, error: Exception) -> None:
        """Nothing can go wrong here but in the caller's own file."""

    def _get(self, attempt: Attempt) -> tuple[bytes, int, float]:
        try:
            return self._objects[attempt.key]
        except KeyError:
            raise attempt.key_missing() from None
