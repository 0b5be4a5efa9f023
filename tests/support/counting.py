"""Counting: a store that knows what was asked of it, and how much was moved."""

from __future__ import annotations

import os

from tests.support.wrapped import Counted, wrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lazyimport.stores.protocol import ReadStore

__all__ = ["Counts", "counting"]


class Counts:
    """``calls`` by method, failed ones included; bytes ``received`` and ``sent``.

    Only contents are counted as bytes, what a failed download wrote included,
    and nothing that was not sent because it existed.
    """

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.received = 0
        self.sent = 0

    def __repr__(self) -> str:
        calls = ", ".join(f"{name} {count}" for name, count in self.calls.items())
        return f"Counts({calls}; {self.received} bytes in, {self.sent} out)"

    def call(self, store: Any, method: str, *arguments: Any) -> Any:
        """Call the method, and count."""
        self.calls[method] = self.calls.get(method, 0) + 1
        if method == "download":
            key, out, *part = arguments
            sink = Counted(out)
            try:
                return store.download(key, sink, *part)
            finally:
                self.received += sink.size
        answer = getattr(store, method)(*arguments)
        if method == "read":
            self.received += len(answer)
        elif method == "read_versioned":
            self.received += len(answer[0])
        elif method == "replace" and answer:
            self.sent += len(arguments[1])
        elif method == "put" and answer:
            self.sent += arguments[1].seek(0, os.SEEK_END)
        return answer


def counting(store: ReadStore) -> tuple[Any, Counts]:
    """Return *store* with everything counted, and the counts."""
    counts = Counts()
    return wrap(store, counts), counts
