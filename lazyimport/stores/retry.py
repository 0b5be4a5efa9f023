"""Retrying: a store that asks again what can succeed later."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import chain
from typing import Any, BinaryIO

from lazyimport.errors import KeyMissing, StoreError, StoreUnavailable
from lazyimport.stores.protocol import Item, ReadStore
from lazyimport.stores.tee import Tee

#: Tries in a row of which none got any further.
_MOST = 12
#: Seconds of the first pause at most, and of any.
_FIRST = 0.1
_LONGEST = 10.0
#: What the wait for the answer to a small request is inside of, called with what is
#: asked for. A program that tells people who wait puts something of its own here.
waiting_for: Callable[[str], AbstractContextManager[object]] = nullcontext


def retrying(store: ReadStore, timeout: float) -> Any:
    """Return *store* with every method repeated if its error is ``retryable``.

    At most 12 times in a row without progress and for *timeout* seconds; pauses
    double from 0.1 to 10 seconds, and each is a random part of that, so that
    many nodes which failed together do not come back together. All other
    errors are raised at once.

    A download goes on where it broke off, and a listing after the last key it
    gave. Where the answer to a request was lost, the repeated request finds
    what the first one did: `delete` and `replace` then say so, and `put`, whose
    keys name contents, returns False.
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
        return partial(self._call, name)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        tries = _Tries(self.timeout)
        if name in _LONG:
            return _LONG[name](tries, self.inner, *args, **kwargs)
        with waiting_for(f"{self.url}/{args[0]}"):
            if name in _CALLS:
                return _CALLS[name](tries, self.inner, *args, **kwargs)
            return _repeat(tries, getattr(self.inner, name), *args, **kwargs)


class _Tries:
    def __init__(self, timeout: float) -> None:
        self.failures = 0
        self._row = 0
        self._start = time.monotonic()
        self._until = self._start + timeout

    def progress(self) -> None:
        """Count the failures in a row from zero again."""
        self._row = 0

    def failed(self, error: StoreError) -> None:
        """Pause before the next try, or raise *error* if there is to be none."""
        if not error.retryable:
            raise error
        self.failures += 1
        self._row += 1
        pause = min(_FIRST * 2 ** (self._row - 1), _LONGEST)
        pause *= random.random()  # noqa: S311 - spreads requests, guards nothing
        now = time.monotonic()
        if self._row >= _MOST or now + pause >= self._until:
            text = f"{error} (tried {self.failures} times in {now - self._start:.1f} s)"
            raise error.with_text(text) from error
        time.sleep(pause)


def _repeat(
    tries: _Tries, method: Callable[..., Any], *args: Any, **kwargs: Any
) -> Any:
    while True:
        try:
            return method(*args, **kwargs)
        except StoreError as error:
            tries.failed(error)


def _put(tries: _Tries, store: Any, *args: Any, **kwargs: Any) -> bool:
    return bool(_repeat(tries, store.put, *args, **kwargs))


def _delete(tries: _Tries, store: Any, key: str) -> None:
    try:
        _repeat(tries, store.delete, key)
    except KeyMissing:
        if not tries.failures:
            raise


def _replace(
    tries: _Tries, store: Any, key: str, data: bytes, version: str | None
) -> bool:
    if _repeat(tries, store.replace, key, data, version):
        return True
    if not tries.failures:
        return False
    try:  # was it a request with a lost answer that made the object what it is?
        return bool(_repeat(tries, store.read, key) == data)
    except KeyMissing:
        return False


def _download(
    tries: _Tries, store: ReadStore, key: str, out: BinaryIO, start: int = 0
) -> int:
    size = 0

    def count(data: Any) -> None:
        nonlocal size
        size += len(data)

    sink: Any = Tee(out, count)
    while True:
        before = size
        try:
            store.download(key, sink, start + size)
        except StoreUnavailable as error:  # what came of damaged bytes is no beginning
            if size > before:
                tries.progress()
            tries.failed(error)
        else:
            return size


def _list(tries: _Tries, store: Any, prefix: str = "") -> Iterator[Item]:
    last = ""
    while True:
        try:
            items = iter(store.list(prefix))
            with waiting_for(f"{store.url}/{prefix}"):
                first = next(items, None)
            for item in chain(() if first is None else (first,), items):
                if item.key > last:
                    last = item.key
                    tries.progress()
                    yield item
        except StoreError as error:
            tries.failed(error)
        else:
            return


_METHODS = frozenset(
    ("read", "download", "put", "list", "delete", "read_versioned", "replace")
)
#: Those that do more than repeating, or move what may be large.
_CALLS: dict[str, Callable[..., Any]] = {"delete": _delete, "replace": _replace}
_LONG: dict[str, Callable[..., Any]] = {
    "download": _download,
    "list": _list,
    "put": _put,
}
