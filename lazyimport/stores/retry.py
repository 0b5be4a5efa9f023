"""Retrying: a store that asks again what can succeed later."""

from __future__ import annotations

import random
import time

from lazyimport.errors import KeyMissing, StoreError, StoreUnavailable
from lazyimport.stores.wrapped import Counted, wrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

    from lazyimport.stores.protocol import Item, ReadStore

__all__ = ["retrying"]

#: Tries in a row of which none got any further.
_MOST = 12
#: Seconds of the first pause at most, and of any.
_FIRST = 0.1
_LONGEST = 10.0


def retrying(store: ReadStore, timeout: float) -> Any:
    """Return *store* with every method repeated where its error is ``retryable``.

    At most 12 times in a row without progress and for *timeout* seconds; pauses
    double from 0.1 to 10 seconds, and each is a random part of that, so that
    many nodes which failed together do not come back together. All other
    errors are raised at once.

    A download goes on where it broke off, and a listing after the last key it
    gave. Where the answer to a request was lost, the repeated request finds
    what the first one did: `delete` and `replace` then say so, and `put`, whose
    keys name contents, returns False.
    """
    return wrap(store, _Retry(timeout))


class _Retry:
    def __init__(self, timeout: float) -> None:
        self.timeout = timeout

    def __repr__(self) -> str:
        return f"retrying for {self.timeout:g} s"

    def call(self, store: Any, method: str, *arguments: Any) -> Any:
        tries = _Tries(self.timeout)
        if method == "download":
            return _download(tries, store, *arguments)
        if method == "list":
            return _list(tries, store, *arguments)
        while True:
            try:
                return _answer(tries, store, method, *arguments)
            except KeyMissing:
                if method == "delete" and tries.failures:
                    return None
                raise
            except StoreError as error:
                tries.failed(error)


def _answer(tries: _Tries, store: Any, method: str, *arguments: Any) -> Any:
    answer = getattr(store, method)(*arguments)
    if method == "replace" and not answer and tries.failures:
        return _holds(store, *arguments[:2])
    return answer


def _holds(store: Any, key: str, data: bytes) -> bool:
    """Return whether the object is what a request with a lost answer made it."""
    try:
        return bool(store.read_versioned(key)[0] == data)
    except KeyMissing:
        return False


def _download(
    tries: _Tries, store: ReadStore, key: str, out: BinaryIO, start: int
) -> int:
    sink: Any = Counted(out)
    while True:
        before = sink.size
        try:
            store.download(key, sink, start + sink.size)
        except StoreUnavailable as error:
            if sink.size > before:
                tries.progress()
            tries.failed(error)
        else:
            return int(sink.size)


def _list(tries: _Tries, store: Any, prefix: str) -> Iterator[Item]:
    last = ""
    while True:
        try:
            for item in store.list(prefix):
                if item.key > last:
                    last = item.key
                    tries.progress()
                    yield item
        except StoreError as error:
            tries.failed(error)
        else:
            return


class _Tries:
    """The tries of one call: how many failed, and how much time is left."""

    def __init__(self, timeout: float) -> None:
        self.failures = 0
        self._row = 0
        self._start = time.monotonic()
        self._until = self._start + timeout

    def progress(self) -> None:
        """Begin to count anew."""
        self._row = 0

    def failed(self, error: StoreError) -> None:
        """Pause before the next try, or raise *error* if there shall be none."""
        self.failures += 1
        self._row += 1
        if not error.retryable:
            raise error
        pause = min(_FIRST * 2 ** (self._row - 1), _LONGEST)
        pause *= random.random()  # noqa: S311 - spreads requests, guards nothing
        now = time.monotonic()
        if self._row >= _MOST or now + pause >= self._until:
            text = f"{error} (tried {self.failures} times in {now - self._start:.1f} s)"
            raise error.with_text(text) from error
        time.sleep(pause)
