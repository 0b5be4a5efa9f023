"""Retrying: a store that repeats calls which can succeed later."""

from __future__ import annotations

import time
from contextlib import nullcontext
from functools import partial
from itertools import chain

from lazyimport.errors import KeyMissing, StoreError, StoreUnavailable
from lazyimport.stores.protocol import Item, ReadStore
from lazyimport.stores.tee import Tee

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import Any, BinaryIO

#: Tries in a row of which none got any further.
_MOST = 12
#: Seconds of the first pause at most, and of any.
_FIRST = 0.1
_LONGEST = 10.0
#: Makes the context in which a small request waits for its answer, of the text of what
#: is asked for. A program that tells people about long waits sets another one.
waiting_for: Callable[[str], AbstractContextManager[object]] = nullcontext


def retrying(store: ReadStore, timeout: float) -> Any:
    """Return *store* with every method repeated if its error is ``retryable``.

    At most 12 times in a row without progress and for *timeout* seconds; pauses
    double from 0.1 to 10 seconds, and each is a random part of that, so that
    many nodes which failed together do not come back together. All other
    errors are raised at once.

    A download goes on where it broke off, and a listing after the last key it
    gave. Where the answer to a request was lost, the repeated request finds
    what the first one did: `delete` and `replace` then report that as done, and `put`,
    whose keys name contents, returns False.
    """
    return _Retrying(store, timeout)


class _Retrying:
    """A store around *inner*, with the methods that this one has and no others."""

    def __init__(self, inner: ReadStore, timeout: float) -> None:
        self.url = inner.url
        self.inner = inner
        self.timeout = timeout

    def __repr__(self) -> str:
        return f"retrying for {self.timeout:g} s around {self.inner!r}"

    @property
    def ranges(self) -> bool:
        """Whether the store around which this is sends parts of objects."""
        return self.inner.ranges

    def __getattr__(self, name: str) -> Any:
        if name not in _METHODS or not hasattr(self.inner, name):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            tries = _Tries(self.inner, self.timeout)
            method = getattr(tries, name, None) or partial(tries.call, name)
            if name in _LONG:
                return method(*args, **kwargs)
            key = args[0] if args else kwargs.get("key")
            with waiting_for(f"{self.url}/{key}"):
                return method(*args, **kwargs)

        return call


class _Tries:
    """The tries of one call of *store*: how many failed, and how much time is left.

    Those methods are here that do more than repeating.
    """

    def __init__(self, store: Any, timeout: float) -> None:
        self._store = store
        self._failures = self._row = 0
        self._start = time.monotonic()
        self._until = self._start + timeout

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        while True:
            try:
                return getattr(self._store, name)(*args, **kwargs)
            except StoreError as error:
                self._failed(error)

    def _failed(self, error: StoreError) -> None:
        """Pause before the next try, or raise *error* if there is to be none."""
        if not error.retryable:
            raise error
        import random

        self._failures += 1
        self._row += 1
        pause = min(_FIRST * 2 ** (self._row - 1), _LONGEST)
        pause *= random.random()  # noqa: S311 - spreads requests, guards nothing
        now = time.monotonic()
        if self._row >= _MOST or now + pause >= self._until:
            often = "once" if self._failures == 1 else f"{self._failures} times"
            text = f"{error} (tried {often} in {now - self._start:.1f} s)"
            raise error.with_text(text) from error.__cause__
        time.sleep(pause)

    def delete(self, key: str) -> None:
        try:
            self.call("delete", key)
        except KeyMissing:
            if not self._failures:
                raise

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        if self.call("replace", key, data, version):
            return True
        try:  # was it a request with a lost answer that made the object what it is?
            most = len(data) + 1
            return bool(self._failures and self.call("read", key, 0, most) == data)
        except KeyMissing:
            return False

    def download(
        self, key: str, out: BinaryIO, start: int = 0, end: int | None = None
    ) -> int:
        size = 0

        def count(data: Any) -> None:
            nonlocal size
            size += len(data)
            self._row = 0

        sink: Any = Tee(out, count)
        while True:
            try:
                self._store.download(key, sink, start + size, end)
            except StoreUnavailable as error:  # damaged bytes are no beginning
                if end is not None and start + size >= end:
                    return size
                self._failed(error)
            else:
                return size

    def list(self, prefix: str = "") -> Iterator[Item]:
        last = ""
        while True:
            try:
                items = iter(self._store.list(prefix))
                with waiting_for(f"{self._store.url}/{prefix}"):
                    first = next(items, None)
                for item in chain(() if first is None else (first,), items):
                    if item.key > last:
                        last = item.key
                        self._row = 0
                        yield item
            except StoreError as error:
                self._failed(error)
            else:
                return


_METHODS = (
    "read",
    "download",
    "put",
    "put_in_parts",
    "list",
    "delete",
    "read_versioned",
    "replace",
)
#: Those that move what may be large, or wait for their first answer themselves.
_LONG = ("download", "list", "put", "put_in_parts")
