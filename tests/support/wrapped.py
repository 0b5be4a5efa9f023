"""Stores around stores: what every one of them has in common.

A `Policy` says how a method is called; `wrap` gives a store that calls all
methods of another one by it, and can do just what that one can.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO, Protocol

    from lazyimport.stores import Item, ReadStore
else:
    Protocol = object

__all__ = ["Counted", "Policy", "wrap"]


class Policy(Protocol):
    """How the methods of a store are called."""

    def call(self, store: Any, method: str, *arguments: Any) -> Any:
        """Return what *method* of *store* returns, or raise what it raises.

        What ``list`` returns is iterated afterwards, and fails then.
        """


def wrap(store: ReadStore, policy: Policy) -> Any:
    """Return a store with the methods of *store*, called by *policy*."""
    kind: type[_Reading] = _Reading
    if hasattr(store, "put"):
        kind = _Writing
    if hasattr(store, "replace"):
        kind = _Changing
    return kind(store, policy)


class _Reading:
    def __init__(self, store: ReadStore, policy: Policy) -> None:
        self.url = store.url
        self.inner = store
        self.policy = policy

    def __repr__(self) -> str:
        return f"{self.policy!r} around {self.inner!r}"

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        data: bytes = self.policy.call(self.inner, "read", key, start, end)
        return data

    def download(
        self, key: str, out: BinaryIO, start: int = 0, end: int | None = None
    ) -> int:
        size: int = self.policy.call(self.inner, "download", key, out, start, end)
        return size


class _Writing(_Reading):
    def put(self, key: str, data: BinaryIO) -> bool:
        created: bool = self.policy.call(self.inner, "put", key, data)
        return created

    def list(self, prefix: str = "") -> Iterator[Item]:
        items: Iterator[Item] = self.policy.call(self.inner, "list", prefix)
        return items

    def delete(self, key: str) -> None:
        self.policy.call(self.inner, "delete", key)


class _Changing(_Writing):
    def read_versioned(self, key: str, end: int | None = None) -> tuple[bytes, str]:
        found: tuple[bytes, str] = self.policy.call(
            self.inner, "read_versioned", key, end
        )
        return found

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        done: bool = self.policy.call(self.inner, "replace", key, data, version)
        return done


class Counted:
    """A binary file to write to, and how many bytes went there."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.size = 0

    def write(self, data: Any) -> int:
        """Pass *data* on."""
        self._out.write(data)
        self.size += len(data)
        return len(data)
