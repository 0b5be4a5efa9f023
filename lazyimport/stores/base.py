"""What stores have in common: they check what they are asked, and explain failures.

The contract is in `lazyimport.stores.protocol`. A store implements the rest in methods
that begin with an underscore. They get checked arguments and an `Attempt`, whose key
names the object; what they raise becomes an error of lazyimport.
"""

from __future__ import annotations

import io

from lazyimport.errors import StoreError
from lazyimport.stores.attempt import Attempt
from lazyimport.stores.keys import check_key, check_range, is_key
from lazyimport.stores.protocol import Item

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, BinaryIO, TypeAlias

#: Takes the next bytes of a download.
Write: TypeAlias = "Callable[[Any], object]"


class ReadBase:
    """A `ReadStore`."""

    __slots__ = ()

    url: str
    #: Whether what is raised below may contain a secret.
    _hides_causes = False

    @property
    def ranges(self) -> bool:
        """Whether it sends parts of objects; see `ReadStore`."""
        return True

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes from *start* up to and without *end*; see `ReadStore`."""
        check_key(key)
        check_range(start, end)
        out = io.BytesIO()
        # Services refuse an empty range; one byte tells whether the object exists.
        stop = None if end is None else max(end, start + 1)
        with self._attempt("read", key) as attempt:
            self._receive(attempt, out.write, start, stop)
        return b"" if start == end else out.getvalue()

    def download(
        self, key: str, out: BinaryIO, start: int = 0, end: int | None = None
    ) -> int:
        """Write the bytes from *start* up to *end* to *out*; see `ReadStore`."""
        check_key(key)
        check_range(start, end)
        if start == end:  # whether there is a key
            return len(self.read(key, start, end))
        total = 0

        def write(data: Any) -> None:
            nonlocal total
            attempt.pass_through(out.write, data)
            total += len(data)

        with self._attempt("read", key) as attempt:
            self._receive(attempt, write, start, end)
        return total

    def _receive(
        self, attempt: Attempt, write: Write, start: int, end: int | None
    ) -> None:
        """Give *write* the bytes of a range that is not empty, in bounded pieces."""
        raise NotImplementedError

    def _explain(self, attempt: Attempt, error: Exception) -> StoreError | None:
        raise NotImplementedError

    def _attempt(self, verb: str, key: str) -> Attempt:
        return Attempt(self.url, verb, key, self._explain, hide=self._hides_causes)


class StoreBase(ReadBase):
    """A `MutableStore`."""

    __slots__ = ()

    def put(self, key: str, data: BinaryIO) -> bool:
        """Create the object from *data* unless it exists; see `Store`."""
        check_key(key)
        with self._attempt("store", key) as attempt:
            return self._put(attempt, data)

    def list(self, prefix: str = "") -> Iterator[Item]:
        """Yield the objects whose keys begin with *prefix*, by key; see `Store`."""
        with self._attempt("list", ""):
            for item in self._list(prefix):
                if item.key.startswith(prefix) and is_key(item.key):
                    yield item

    def delete(self, key: str) -> None:
        """Delete the object; see `Store`."""
        check_key(key)
        with self._attempt("delete", key) as attempt:
            self._delete(attempt)

    def read_versioned(self, key: str, end: int | None = None) -> tuple[bytes, str]:
        """Return the bytes up to *end*, and the version; see `MutableStore`."""
        check_key(key)
        check_range(0, end)
        out = io.BytesIO()

        def write(data: Any) -> bool:
            out.write(data)
            return end is not None and out.tell() >= end

        with self._attempt("read", key) as attempt:
            version = self._read_versioned(attempt, write)
        return out.getvalue()[:end], version

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        """Replace the object if it still has *version*; see `MutableStore`."""
        check_key(key)
        with self._attempt("replace", key) as attempt:
            return self._replace(attempt, data, version)

    def _put(self, attempt: Attempt, data: BinaryIO) -> bool:
        raise NotImplementedError

    def _list(self, prefix: str) -> Iterable[Item]:
        """Return objects by key: all that begin with *prefix*, and maybe others."""
        raise NotImplementedError

    def _delete(self, attempt: Attempt) -> None:
        raise NotImplementedError

    def _read_versioned(self, attempt: Attempt, write: Callable[[Any], bool]) -> str:
        """Give *write* the object, until that returns true; return the version."""
        raise NotImplementedError

    def _replace(self, attempt: Attempt, data: bytes, version: str | None) -> bool:
        raise NotImplementedError
