"""Uploads to Cloud Storage in parts, several at a time, by its XML API.

Parts are not objects: nobody sees one until the upload is finished. The service takes
no condition for such an upload, so it is for keys that name contents.

What a killed process has sent need not be sent again: `find_upload` goes on with it.
That process may be alive all the same. Then both send the same parts, one of them
finishes, and the other finds the object.
"""

from __future__ import annotations

import hashlib
import mmap
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from urllib.parse import urlencode

from lazyimport.stores.attempt import Attempt, comes_back
from lazyimport.stores.gcs_download import new_checksum, written
from lazyimport.stores.gcs_xml import ask_api, parts_of, path_of, texts_in, uploads_in
from lazyimport.stores.side_by_side import side_by_side

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Bytes of a part at least (the service takes 5 MiB), and how many parts there may be
#: (10,000). Each part that is being sent is in memory.
PART = 16 << 20
_MOST_PARTS = 9000
#: Bytes that are read at a time.
_CHUNK = 1 << 20
#: Seconds within which parts are removed, or left to a collection.
_SHORT = 5.0
_KIND = "application/octet-stream"
#: Seconds since an upload was begun in which others go on with it: no collection takes
#: it before they are done.
_YOUNG = 3 * 86400


class Unfit(Exception):
    """This upload cannot be continued: another one must begin."""


def find_upload(blob: Any, patience: dict[str, Any]) -> PartsUpload | None:
    """Return the newest unfinished upload of *blob* that has parts, to go on with it.

    Returns None if there is none, or if this user may not list uploads. Its
    `PartsUpload.run` raises Unfit if a part has other bytes, or if the upload is gone.
    """
    from google.api_core.exceptions import GoogleAPICallError

    ask = _asking(blob, patience)
    oldest = time.time() - _YOUNG
    try:
        uploads = [
            (begun, upload_id)
            for name, upload_id, begun in uploads_in(blob.bucket, blob.name, patience)
            if name == blob.name and begun > oldest
        ]
        for _, upload_id in sorted(uploads, reverse=True):
            if there := parts_of(ask, upload_id):
                return PartsUpload(blob, patience, ask, upload_id, there)
    except GoogleAPICallError as error:
        if comes_back(error.code or 0):
            raise
    return None


def begin_upload(blob: Any, patience: dict[str, Any]) -> PartsUpload | None:
    """Begin to upload *blob*, an object of google-cloud-storage, in parts.

    *patience* says how long to try each request. Returns None where the service does
    not know such uploads, as emulators do not, or this user may not make any.
    """
    from google.api_core.exceptions import GoogleAPICallError

    ask = _asking(blob, patience)
    try:
        answer = ask("POST", "uploads", headers={"Content-Type": _KIND})
    except GoogleAPICallError as error:
        if comes_back(error.code or 0):
            raise
        return None
    return PartsUpload(blob, patience, ask, texts_in(answer, "UploadId")[0])


def _asking(blob: Any, patience: dict[str, Any]) -> Callable[..., Any]:
    path = path_of(blob.bucket, blob.name)
    return partial(ask_api, blob.client, path, **patience)


class PartsUpload:
    """An upload that has begun: *ask* asks the XML API about the object *blob*.

    *there* are size and ETag of the parts that somebody else has sent, by number. Those
    that are proved to have the same bytes are not sent again. Only a part that breaks
    off, or is damaged on the way, is repeated.
    """

    def __init__(
        self,
        blob: Any,
        patience: dict[str, Any],
        ask: Callable[..., Any],
        upload_id: str,
        there: dict[int, tuple[int, str]] | None = None,
    ) -> None:
        self._there = there or {}
        self._blob = blob
        self._patience = patience
        self._ask = ask
        self._id = upload_id
        self._etags: dict[int, str] = {}
        self._part = PART
        self._size = 0
        self._checksum = new_checksum()
        self._reading = threading.Lock()
        self._ended = self._stopped = False

    def run(
        self, attempt: Attempt, read: Callable[[int], bytes], size: int, at_once: int
    ) -> bool:
        """Make the object of the *size* bytes that *read* returns.

        *at_once* parts are sent at a time, and one thread at a time calls *read*.
        Returns False if others have made the object by then. If this makes none, its
        parts are removed; if others sent some of them, they are left to a collection.
        """
        from google.api_core.exceptions import NotFound

        made = False
        try:
            self._part = max(PART, size // _MOST_PARTS + 1)
            self._send(read, at_once)
            if not self._blob.exists(**self._patience):
                made = self._finish(attempt)
        except NotFound:  # others have finished it, or removed it
            if not self._blob.exists(**self._patience):
                if self._there:
                    raise Unfit from None
                raise
        finally:
            if not (made or self._there):
                with suppress(Exception):  # the error that brought us here says more
                    self._cancel()
        return made

    def _send(self, read: Callable[[int], bytes], at_once: int) -> None:
        def work() -> None:
            while part := self._next(read):
                if not self._has(*part[:2]):
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
            size, checksum = 0, new_checksum()
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
            return number, memoryview(part)[:size], written(checksum)

    def _has(self, number: int, data: memoryview) -> bool:
        """Return whether a part is there. Raises Unfit if it has other bytes.

        An ETag that is no MD5 proves nothing, so it counts as that of other bytes.
        """
        size, etag = self._there.get(number, (-1, ""))
        if size < 0:
            return False
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        if (size, etag.strip('"')) != (len(data), digest):
            raise Unfit
        self._etags[number] = etag
        return True

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
        sent = f"{self._size} bytes of CRC32C {written(self._checksum)}"
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
        found = list(uploads_in(bucket, root, patience))
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
                ask_api(
                    bucket.client, path_of(bucket, name), "DELETE", query, **patience
                )
    return keys
