"""Uploads to Cloud Storage in parts, several at a time, by its XML API.

Parts are no objects, so nobody takes them for one, and until the upload is finished
there is none. The service refuses to take a condition for such an upload, so it is for
keys that name contents.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from urllib.parse import quote, urlencode

from lazyimport.stores.attempt import Attempt, comes_back
from lazyimport.stores.gcs_failures import refuse_page
from lazyimport.stores.side_by_side import side_by_side

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Bytes of a part at least (the service takes 5 MiB), and how many parts there may be
#: (10,000). So many of them are in memory as go up at once.
PART = 16 << 20
_MOST_PARTS = 9000
#: Bytes that are read at a time.
_CHUNK = 1 << 20
#: Seconds within which parts are removed, or left to a collection.
_SHORT = 5.0
_KIND = "application/octet-stream"


def begin_upload(blob: Any, patience: dict[str, Any]) -> PartsUpload | None:
    """Begin to upload *blob*, an object of google-cloud-storage, in parts.

    *patience* says how long to try each request. Returns None where the service does
    not know such uploads, as emulators do not, or this user may not make any.
    """
    from google.api_core.exceptions import GoogleAPICallError

    path = _path(blob.bucket, blob.name)
    ask: Any = partial(_ask, blob.client, path, **patience)
    try:
        answer = ask("POST", "uploads", headers={"Content-Type": _KIND})
    except GoogleAPICallError as error:
        if comes_back(error.code or 0):
            raise
        return None
    return PartsUpload(blob, patience, ask, _texts(answer, "UploadId")[0])


class PartsUpload:
    """An upload that has begun: *ask* asks the XML API about the object *blob*.

    A part that is broken off, or damaged on the way, is sent again, and no other one.
    """

    def __init__(
        self,
        blob: Any,
        patience: dict[str, Any],
        ask: Callable[..., Any],
        upload_id: str,
    ) -> None:
        self._blob = blob
        self._patience = patience
        self._ask = ask
        self._id = upload_id
        self._etags: dict[int, str] = {}
        self._part = PART
        self._size = 0
        self._checksum = _crc32c()
        self._reading = threading.Lock()
        self._ended = self._stopped = False

    def run(
        self, attempt: Attempt, read: Callable[[int], bytes], size: int, at_once: int
    ) -> bool:
        """Make the object of the *size* bytes that *read* returns.

        So many parts go up *at_once*, and *read* is called by one thread at a time.
        Returns False if there is an object by then that others have made. Parts that
        made none are removed, or left to a collection.
        """
        made = False
        try:
            self._part = max(PART, size // _MOST_PARTS + 1)
            self._send(read, at_once)
            if not self._blob.exists(**self._patience):
                made = self._finish(attempt)
            return made
        finally:
            if not made:
                with suppress(Exception):  # the error that brought us here says more
                    self._cancel()

    def _send(self, read: Callable[[int], bytes], at_once: int) -> None:
        def work() -> None:
            while part := self._next(read):
                self._send_part(*part)
                del part  # before the next takes as much

        side_by_side(*[work] * at_once, at_once=at_once, stop=self._stop)

    def _next(self, read: Callable[[int], bytes]) -> tuple[int, memoryview, str] | None:
        """Return number, bytes and CRC32C of the next part; None at the end."""
        with self._reading:
            if self._ended or self._stopped:
                return None
            # malloc would keep for each thread what was freed.
            part = mmap.mmap(-1, self._part, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            size, checksum = 0, _crc32c()
            while data := read(min(_CHUNK, self._part - size)):
                part[size : size + len(data)] = data
                size += len(data)
                checksum.update(data)
                self._checksum.update(data)
                if size == self._part:
                    break
            self._ended = size < self._part
            if not size:
                return None
            self._size += size
            number = len(self._etags) + 1
            self._etags[number] = ""
            return number, memoryview(part)[:size], _text(checksum)

    def _send_part(self, number: int, data: memoryview, checksum: str) -> None:
        headers = {"X-Goog-Hash": f"crc32c={checksum}"}
        query = urlencode({"partNumber": number, "uploadId": self._id})
        answer = self._ask(
            "PUT", query, data=data, headers=headers, before=self._require
        )
        self._etags[number] = answer.headers["ETag"]

    def _finish(self, attempt: Attempt) -> bool:
        """Make the object of the parts, and look whether it is what was sent."""
        from google.api_core.exceptions import ClientError, NotFound

        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            for number, etag in sorted(self._etags.items())
        )
        text = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
        refusal = None
        try:
            self._ask("POST", self._query, data=text.encode())
        except ClientError as error:
            # The answer to a first request got lost, so that there is no upload any
            # more; or others have made the object, and this user may not replace it.
            refusal = error
        try:
            self._blob.reload(**self._patience)
        except NotFound as error:
            raise refusal or error from None
        there = f"{self._blob.size} bytes of CRC32C {self._blob.crc32c}"
        sent = f"{self._size} bytes of CRC32C {_text(self._checksum)}"
        if there == sent:
            return refusal is None or isinstance(refusal, NotFound)
        if refusal is not None:
            raise refusal
        generation = self._blob.generation
        with suppress(ClientError):  # whoever may not finds it damaged, and says so
            self._blob.delete(if_generation_match=generation, **self._patience)
        raise attempt.damaged(f"{there} are there, not {sent}")

    def _cancel(self) -> None:
        """Remove the parts, if that does not take long."""
        retry = self._patience["retry"].with_timeout(_SHORT)
        self._ask("DELETE", self._query, retry=retry)

    def _stop(self) -> None:
        self._stopped = True

    def _require(self) -> None:
        if self._stopped:
            raise _Stopped

    @property
    def _query(self) -> str:
        return urlencode({"uploadId": self._id})


class _Stopped(Exception):
    """Another part has failed."""


def remove_unfinished(
    bucket: Any,
    root: str,
    folders: tuple[str, ...],
    before: float,
    patience: dict[str, Any],
    *,
    dry_run: bool,
) -> list[str]:
    """Remove uploads to *folders* that were begun *before* and never finished.

    *before* is in seconds since the epoch. Returns the keys of the objects that they
    would have made, whose names have *root* in front: none, where this user may not
    list uploads, or the service does not know them.
    """
    from google.api_core.exceptions import ClientError, NotFound

    try:
        found = list(_uploads(bucket, root, patience))
    except ClientError:
        return []
    keys = []
    for name, upload_id, begun in found:
        key = name[len(root) :]
        if begun >= before or not key.startswith(folders):
            continue
        keys.append(key)
        if not dry_run:
            with suppress(NotFound):  # it is finished by now, or another was faster
                query = urlencode({"uploadId": upload_id})
                _ask(bucket.client, _path(bucket, name), "DELETE", query, **patience)
    return keys


def _uploads(
    bucket: Any, prefix: str, patience: dict[str, Any]
) -> Iterator[tuple[str, str, float]]:
    """Yield names, ids and times of the unfinished uploads below *prefix*."""
    from datetime import datetime

    query = {"prefix": prefix}
    more = True
    while more:
        text = f"uploads&{urlencode(query)}"
        answer = _ask(bucket.client, _path(bucket), "GET", text, **patience)
        tags = ("Key", "UploadId", "Initiated")
        for name, upload_id, time in zip(
            *(_texts(answer, tag) for tag in tags), strict=True
        ):
            moment = datetime.fromisoformat(time.replace("Z", "+00:00"))
            yield name, upload_id, moment.timestamp()
        more = _texts(answer, "IsTruncated") == ["true"]
        if more:
            query["key-marker"] = _texts(answer, "NextKeyMarker")[0]
            query["upload-id-marker"] = _texts(answer, "NextUploadIdMarker")[0]


def _ask(
    client: Any,
    path: str,
    method: str,
    query: str,
    *,
    retry: Any,
    timeout: Any,
    before: Callable[[], object] = lambda: None,
    **request: Any,
) -> Any:
    """Return the answer of the XML API; *retry* calls again what failed.

    *before* is called before each try. Raises what the library raises.
    """
    from google.api_core.exceptions import from_http_response

    host = client._connection.get_api_base_url_for_mtls()  # noqa: SLF001
    session = client._http  # noqa: SLF001

    def call() -> Any:
        before()
        url = f"{host}{path}?{query}"
        answer = session.request(method, url, timeout=timeout, **request)
        if not answer.ok:
            raise from_http_response(answer)
        refuse_page(answer, lambda: answer.content)
        return answer

    return retry(call)()


def _path(bucket: Any, *names: str) -> str:
    return "".join(f"/{quote(name, safe='~')}" for name in (bucket.name, *names))


def _texts(answer: Any, tag: str) -> list[str]:
    """Return what stands in all elements called *tag* of an answer."""
    from xml.etree import ElementTree as ET

    root = ET.fromstring(answer.content)  # noqa: S314 - the service's own
    return [found.text or "" for found in root.findall(f".//{{*}}{tag}")]


def _crc32c() -> Any:
    import google_crc32c

    checksum: Any = google_crc32c.Checksum  # without types in some releases
    return checksum()


def _text(checksum: Any) -> str:
    """Return a checksum as the service writes it."""
    from base64 import b64encode

    return b64encode(checksum.digest()).decode("ascii")
