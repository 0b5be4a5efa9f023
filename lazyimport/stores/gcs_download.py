"""A download from Cloud Storage: one object, in as many answers as that takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from lazyimport.stores.gcs_failures import refuse_page
from lazyimport.stores.web_pages import BEGINNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Bytes that are passed on at a time; between two of them the clock is looked at.
_BUFFER = 1 << 16
_OK = 200
_PARTIAL = 206


class Download:
    """The bytes of an object from *start* to *last*, inclusive, given to *write*.

    It sums them up, knows what to ask for next, and ends in time: a timeout of the
    connection strikes only when no byte comes at all, so that a worker would wait
    for ever for an answer that drips. ``size`` counts the bytes; ``checksum``
    is their CRC32C and ``expected`` the one of the whole object, both as the
    service writes it, or None if it has not said; ``generation`` is the object's.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        timeout: float,
        start: int = 0,
        last: int | None = None,
    ) -> None:
        self.size = 0
        self.expected: str | None = None
        self.generation: str | None = None
        self._checksum = new_checksum()
        self._last = last
        self._start = start
        self._timeout = timeout
        self._until = time.monotonic() + timeout
        self._write = write

    def run(self, client: Any, path: str, retry: Any, timeout: Any) -> None:
        """Bring the rest of the object at *path*; *retry* calls again what failed.

        The library could do so, but in pieces of 8 KiB, which is three times
        slower, and it checks no more than what came in one answer.

        Raises RequestRangeNotSatisfiable if the object ends before.
        """
        from google.api_core.exceptions import from_http_response

        connection = client._connection  # noqa: SLF001

        def ask() -> None:
            query = {"alt": "media"}
            if self.generation:  # stay with the object that was begun
                query["generation"] = self.generation
            url = connection.build_api_url(path, query_params=query)
            headers = self._headers()
            with client._http.get(  # noqa: SLF001
                url, headers=headers, timeout=timeout, stream=True
            ) as response:
                if response.status_code not in (_OK, _PARTIAL):
                    raise from_http_response(response)
                refuse_page(response, lambda: response.raw.read(BEGINNING))
                if response.status_code == _OK and "Range" in headers:
                    what = "the whole object came where a part was asked for"
                    raise ConnectionError(what)
                self._begin(response.headers)
                for piece in response.raw.stream(_BUFFER, decode_content=False):
                    self._pass_on(piece)

        retry(ask)()

    @property
    def checksum(self) -> str:
        """The CRC32C of the bytes so far."""
        return written(self._checksum)

    def _headers(self) -> dict[str, str]:
        # With gzip allowed, objects come as they are stored.
        headers = {"Accept-Encoding": "gzip"}
        start = self._start + self.size
        if start or self._last is not None:
            last = "" if self._last is None else self._last
            headers["Range"] = f"bytes={start}-{last}"
        return headers

    def _begin(self, headers: Mapping[str, str]) -> None:
        self.generation = headers.get("X-Goog-Generation")
        for part in headers.get("X-Goog-Hash", "").split(","):
            name, _, value = part.strip().partition("=")
            if name == "crc32c":
                self.expected = value

    def _pass_on(self, data: bytes) -> None:
        if time.monotonic() > self._until:
            raise TimeoutError(
                f"only {self.size} bytes came within {self._timeout:g} s"
            )
        self._write(data)
        self._checksum.update(data)
        self.size += len(data)


def new_checksum() -> Any:
    """Return a CRC32C of nothing yet."""
    import google_crc32c

    checksum: Any = google_crc32c.Checksum  # without types in some releases
    return checksum()


def written(checksum: Any) -> str:
    """Return a checksum as the service writes it."""
    from base64 import b64encode

    return b64encode(checksum.digest()).decode("ascii")
