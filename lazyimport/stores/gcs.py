"""A store in a bucket of Google Cloud Storage."""

from __future__ import annotations

import io
import os
import time

from lazyimport.errors import (
    KeyMissing,
    SettingsError,
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreUnavailable,
)
from lazyimport.stores.protocol import (
    Item,
    Reported,
    check_key,
    check_range,
    is_key,
    store_error,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, BinaryIO

    Errors = list[Exception]  # in the class, "list" is a method

__all__ = ["GcsStore"]

#: Seconds to wait for a connection, and for the next bytes of an answer.
_CONNECT = 20.0
_ANSWER = 60.0
#: What a download passes on at a time; between two of them it looks at the clock.
_BUFFER = 1 << 16
#: What an upload sends, and holds in memory, at a time. A multiple of 256 KiB.
_PIECE = 16 << 20

_BUCKET_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")
_LOG_IN = (
    "on GKE give the pod's service account access by workload identity (in a pod's "
    "first seconds its metadata server may not answer yet), elsewhere run 'gcloud auth "
    "application-default login' or set GOOGLE_APPLICATION_CREDENTIALS"
)
_GRANT = (
    "reading takes roles/storage.objectViewer on the bucket, publishing "
    "roles/storage.objectCreator beside it, deleting roles/storage.objectUser"
)
_AWAY = (
    "see whether this machine reaches the network and the service is up "
    "(https://status.cloud.google.com), or raise LAZYIMPORT_TIMEOUT"
)
_LONGEST_REASON = 400

_OK = 200
_PARTIAL = 206
_UNAUTHORIZED = 401
_FORBIDDEN = 403
#: Not found, and "gone", which a dropped upload may also get.
_GONE = {404, 410}
#: Request timeout, too many requests, and the server's own errors.
_COME_BACK = {408, 429, 500, 502, 503, 504}


class GcsStore:
    """The objects are those of *bucket* whose names begin with *prefix* and a slash.

    The google-cloud-storage library talks to the service: it finds the
    credentials, repeats what may be repeated, and obeys
    ``STORAGE_EMULATOR_HOST``. It is imported, and a client made, by the first
    call in each process: importing it costs 190 ms and 38 MB, and a client's
    connections must not be used on both sides of a fork.

    *timeout* is how many seconds reading, downloading, one page of a listing
    and deleting may take altogether, with all repetitions. For storing it
    counts for each piece, so that a large archive may go up over a slow line
    as long as it goes on.
    """

    __slots__ = ("_client", "_root", "bucket", "prefix", "timeout", "url")

    _client: tuple[int, Any] | None

    def __init__(
        self, bucket: str, prefix: str = "", *, timeout: float = 300.0
    ) -> None:
        if not bucket or not _BUCKET_CHARACTERS.issuperset(bucket):
            shown = bucket.rpartition("@")[2]  # before it, it may be a password
            raise SettingsError(
                f"not a bucket's name: {shown!r} (write gs://bucket/prefix; a name has "
                "lower-case letters, digits, '-', '_' and '.', and no user)",
                name="store",
                value=shown,
            )
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        self.timeout = timeout
        self.url = f"gs://{bucket}/{self.prefix}".rstrip("/")
        self._root = f"{self.prefix}/" if self.prefix else ""
        self._client = None

    @classmethod
    def from_url(cls, url: str, *, timeout: float = 300.0) -> GcsStore:
        """Return the store that ``gs://bucket/prefix`` names.

        Nothing in it is escaped: names of objects may hold any character.

        Raises SettingsError for a URL without a usable bucket.
        """
        bucket, _, prefix = url.partition("://")[2].partition("/")
        return cls(bucket, prefix, timeout=timeout)

    def __repr__(self) -> str:
        return f"GcsStore({self.bucket!r}, {self.prefix!r}, timeout={self.timeout})"

    def __getstate__(self) -> tuple[str, str, float]:
        return self.bucket, self.prefix, self.timeout

    def __setstate__(self, state: tuple[str, str, float]) -> None:
        bucket, prefix, timeout = state
        GcsStore.__init__(self, bucket, prefix, timeout=timeout)

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes from *start* up to and without *end*; see `ReadStore`.

        A whole object is checked against its CRC32C. The service has no
        checksum for a part of one.
        """
        check_key(key)
        check_range(start, end)
        out = io.BytesIO()
        with Reported(self._failed, "read", key):
            if start == 0 and end is None:
                self._fetch(key, _Sink(out, self.timeout))
                return out.getvalue()
            # An empty range cannot be asked for; whether there is an object must.
            last = None if end is None else max(end - 1, start)
            self._range(key, _Sink(out, self.timeout, start, last))
        return b"" if start == end else out.getvalue()

    def download(self, key: str, out: BinaryIO, start: int = 0) -> int:
        """Write the object from *start* on to *out*; see `ReadStore.download`.

        A whole object is checked against its CRC32C, also when the connection
        broke and what was missing came in another answer.
        """
        check_key(key)
        check_range(start, None)
        with Reported(self._failed, "read", key):
            sink = _Sink(out, self.timeout, start)
            if start:
                self._range(key, sink)
            else:
                self._fetch(key, sink)
        return sink.size

    def put(self, key: str, data: BinaryIO) -> bool:
        """Create the object unless it exists; see `Store.put`.

        The service compares the CRC32C before there is an object.

        The condition is "no object of this name", and an upload whose answer
        got lost is repeated. If the first one had succeeded, the second one
        finds its object: the answer is then False, although this call created
        it. That does no harm where keys name contents, as those of archives do.
        """
        check_key(key)
        size = data.seek(0, os.SEEK_END)
        with Reported(self._failed, "store", key):
            return self._send(key, data, size, 0)

    def list(self, prefix: str = "") -> Iterator[Item]:
        """Yield the objects below *prefix*, ordered by key; see `Store.list`."""
        skip = len(self._root)
        with Reported(self._failed, "list", None):
            for blob in self._connected().list_blobs(
                self.bucket,
                prefix=self._root + prefix,
                fields="items(name,size,updated),nextPageToken",
                **self._patience(),
            ):
                key = blob.name[skip:]
                if is_key(key):
                    yield Item(key, blob.size, blob.updated.timestamp())

    def delete(self, key: str) -> None:
        """Delete the object; see `Store.delete`.

        If the answer gets lost, the repeated request finds no object any more,
        and KeyMissing is raised although this call deleted it.
        """
        check_key(key)
        with Reported(self._failed, "delete", key):
            self._bucket().blob(self._root + key).delete(**self._patience())

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        """Return the object and its version; see `MutableStore.read_versioned`.

        The version is the generation of the object.
        """
        check_key(key)
        out = io.BytesIO()
        with Reported(self._failed, "read", key):
            sink = _Sink(out, self.timeout)
            self._fetch(key, sink)
        if sink.generation is None:
            what = "the answer names no generation of the object"
            advice = "this emulator or proxy cannot keep what changes; use another"
            raise self._error(StoreError, "read", key, what, advice)
        return out.getvalue(), sink.generation

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        """Replace the object if it has *version*; see `MutableStore.replace`.

        If an answer got lost and the repeated request was refused, the object
        tells whether the first one had succeeded.
        """
        check_key(key)
        if version is not None and (not version.isdecimal() or not int(version)):
            return False  # it is that of another store
        repeated: Errors = []
        with Reported(self._failed, "replace", key):
            generation = int(version or 0)
            if self._send(key, io.BytesIO(data), len(data), generation, repeated):
                return True
        try:
            return bool(repeated) and self.read(key) == data
        except KeyMissing:
            return False

    def _send(
        self,
        key: str,
        data: BinaryIO,
        size: int,
        generation: int,
        repeated: Errors | None = None,
    ) -> bool:
        """Send all of *data* if the object has *generation* (0: if there is none).

        Appends to *repeated* why a request was sent again.
        """
        bucket = self._bucket()
        from google.api_core.exceptions import PreconditionFailed

        blob = bucket.blob(self._root + key, chunk_size=_PIECE)

        def upload(**patience: Any) -> None:
            blob.upload_from_file(
                data,
                rewind=True,
                size=size,
                content_type="application/octet-stream",
                if_generation_match=generation,
                checksum="crc32c",
                **patience,
            )

        patience = self._patience(repeated)
        try:
            if repeated is None:
                upload(**patience)
            else:
                # Around the whole: before 3.0 uploads are repeated in silence.
                retry = patience.pop("retry")
                retry(upload)(retry=None, **patience)
        except PreconditionFailed:
            return False
        return True

    def _range(self, key: str, sink: _Sink) -> None:
        client = self._connected()
        from google.api_core.exceptions import RequestRangeNotSatisfiable

        try:
            self._stream(client, key, sink)
        except RequestRangeNotSatisfiable:
            pass  # it ends before

    def _fetch(self, key: str, sink: _Sink) -> None:
        client = self._connected()
        from google.api_core.exceptions import RequestRangeNotSatisfiable

        try:
            self._stream(client, key, sink)
        except RequestRangeNotSatisfiable:
            if not sink.size:
                raise
            # The connection broke when all of it was there: the checksum tells.
        expected = sink.expected
        if expected is None:  # in no header of the answer
            blob = client.bucket(self.bucket).blob(self._root + key)
            blob.reload(**self._patience())
            expected = blob.crc32c
        if expected != sink.checksum():
            what = f"{sink.size} bytes of CRC32C {sink.checksum()}, not {expected}"
            raise self._damaged("read", key, what)

    def _stream(self, client: Any, key: str, sink: _Sink) -> None:
        """Bring to *sink* what it misses, in as many answers as that takes.

        The library could do so, but in pieces of 8 KiB, which is three times
        slower, and it checks no more than what came in one answer.
        """
        from google.api_core.exceptions import from_http_response

        patience = self._patience()
        path = client.bucket(self.bucket).blob(self._root + key).path
        connection = client._connection  # noqa: SLF001

        def ask() -> None:
            query = {"alt": "media", **sink.query()}
            url = connection.build_api_url(path, query_params=query)
            with client._http.get(  # noqa: SLF001
                url, headers=sink.headers(), timeout=patience["timeout"], stream=True
            ) as response:
                if response.status_code not in (_OK, _PARTIAL):
                    raise from_http_response(response)
                sink.begin(response.status_code, response.headers)
                for piece in response.raw.stream(_BUFFER, decode_content=False):
                    sink.write(piece)

        patience["retry"](ask)()

    def _patience(self, repeated: Errors | None = None) -> dict[str, Any]:
        from google.cloud.storage.retry import DEFAULT_RETRY

        def may_be_repeated(error: Exception) -> bool:
            may = _may_be_repeated(error)
            if may and repeated is not None:
                repeated.append(error)
            return may

        retry = DEFAULT_RETRY.with_predicate(may_be_repeated)
        retry = retry.with_delay(initial=0.2, maximum=10.0, multiplier=2.0)
        return {
            "retry": retry.with_timeout(self.timeout),
            "timeout": (min(_CONNECT, self.timeout), min(_ANSWER, self.timeout)),
        }

    def _bucket(self) -> Any:
        return self._connected().bucket(self.bucket)

    def _connected(self) -> Any:
        """Return the client of this process."""
        process = os.getpid()
        if self._client is None or self._client[0] != process:
            # Two threads may come here at once: the later client stays, and
            # both work. A lock would have to be mended after a fork.
            self._client = process, self._connect()
        return self._client[1]

    def _connect(self) -> Any:
        import google.cloud.storage
        from google.auth.exceptions import DefaultCredentialsError

        try:
            # Objects belong to buckets; no project is needed, nor looked for.
            client = google.cloud.storage.Client(project=None)
        except (OSError, ValueError) as error:
            # A file of credentials that cannot be read, or makes no sense.
            raise DefaultCredentialsError(str(error)) from error
        # For labels of traces, also where tracing is off, the library asks for
        # the bucket in a thread of its own: a request, a permission and a
        # thread (before a fork) that nobody here wants. None switches it off.
        client._bucket_metadata_cache = None  # noqa: SLF001
        return client

    def _failed(
        self, verb: str, key: str | None, error: Exception
    ) -> StoreError | None:
        """Return the error of ours for one of the library; None for any other."""
        if isinstance(error, ModuleNotFoundError):
            what = f"gs:// stores need google-cloud-storage, and {error}"
            advice = "run: pip install 'ray-lazyimport[gcs]'"
            return self._error(StoreError, verb, key, what, advice)
        from google.api_core.exceptions import GoogleAPICallError, RetryError
        from google.auth.exceptions import GoogleAuthError
        from requests.exceptions import RequestException
        from urllib3.exceptions import HTTPError

        network = (RequestException, HTTPError, ConnectionError, TimeoutError)
        kind: type[StoreError] = StoreUnavailable
        what = _reason(error)
        advice = _AWAY
        if isinstance(error, GoogleAPICallError):
            return self._refused(verb, key, error, what)
        if type(error).__name__ == "DataCorruption":  # its module changed with 3.0
            return self._damaged(verb, key, what)
        if isinstance(error, RetryError):
            what = f"gave up after {self.timeout:g} s ({_reason(error.cause or error)})"
        elif isinstance(error, GoogleAuthError):
            if not _may_pass(error):
                kind, advice = StoreDenied, _LOG_IN
        elif isinstance(error, network):
            if isinstance(error, ValueError):  # as requests has it for a bad address
                kind, advice = StoreError, "see STORAGE_EMULATOR_HOST and the proxies"
        elif isinstance(error, ValueError) and "unexpected state" in what:
            # The service kept less of a piece than was sent, which it may.
            what, advice = "the upload lost its place", "try again"
        else:
            return None
        return self._error(kind, verb, key, what, advice)

    def _refused(
        self, verb: str, key: str | None, error: Any, reason: str
    ) -> StoreError:
        """Return the error for an answer with an HTTP status other than success."""
        if "match calculated" in reason:  # what an upload with a wrong CRC32C gets
            return self._damaged(verb, key, reason)
        kind: type[StoreError] = StoreError
        advice = "the answer says why"
        if error.code in _COME_BACK:
            kind, advice = StoreUnavailable, _AWAY
        elif error.code == _UNAUTHORIZED:
            kind, advice = StoreDenied, _LOG_IN
        elif error.code == _FORBIDDEN:
            kind, advice = StoreDenied, _GRANT
        elif error.code in _GONE:
            if verb == "list" or not self._has_bucket(reason):
                kind, advice = StoreMissing, "create it, or correct LAZYIMPORT_STORE"
            elif verb in {"store", "replace"}:  # the unfinished upload, not the bucket
                kind, advice = StoreUnavailable, "try again"
            else:
                kind, advice = KeyMissing, "publish it, or correct the name or store"
        what = f"Cloud Storage answered {error.code}, {reason}"
        return self._error(kind, verb, key, what, advice)

    def _has_bucket(self, reason: str) -> bool:
        """Return whether the bucket is there, given the text of an answer 404."""
        if "bucket does not exist" in reason or "No such object" in reason:
            return "No such object" in reason
        from google.api_core.exceptions import GoogleAPIError, NotFound

        # Emulators and proxies have words of their own.
        objects = self._connected().list_blobs(
            self.bucket, max_results=1, **self._patience()
        )
        try:
            next(iter(objects), None)
        except NotFound:
            return False
        except (GoogleAPIError, OSError):
            pass  # may read but not list, say: then it is there
        return True

    def _damaged(self, verb: str, key: str | None, what: str) -> StoreError:
        error = self._error(
            StoreError, verb, key, what, "it was damaged on the way; try again"
        )
        error.retryable = True
        return error

    def _error(
        self, kind: type[StoreError], verb: str, key: str | None, what: str, advice: str
    ) -> StoreError:
        return store_error(kind, self.url, verb, key, what, advice)


class _Sink:
    """Passes on the bytes of an object from *start* to *last*, inclusive.

    Sums them up, knows what to ask for next, and keeps the deadline: a timeout
    of the connection strikes only when no byte comes at all, so that an answer
    that drips would hold a worker for ever.
    """

    __slots__ = (
        "_checksum",
        "_last",
        "_out",
        "_start",
        "_timeout",
        "_until",
        "expected",
        "generation",
        "size",
    )

    def __init__(
        self, out: BinaryIO, timeout: float, start: int = 0, last: int | None = None
    ) -> None:
        import google_crc32c

        checksum: Any = google_crc32c.Checksum  # without types in some releases
        self.size = 0
        self.expected: str | None = None
        self._checksum = checksum()
        self.generation: str | None = None
        self._last = last
        self._out = out
        self._start = start
        self._timeout = timeout
        self._until = time.monotonic() + timeout

    def query(self) -> dict[str, str]:
        """Return the parameters that keep to the object that was begun."""
        return {"generation": self.generation} if self.generation else {}

    def headers(self) -> dict[str, str]:
        """Return the headers that ask for what is missing."""
        # With gzip allowed, objects come as they are stored.
        headers = {"Accept-Encoding": "gzip"}
        start = self._start + self.size
        if start or self._last is not None:
            headers["Range"] = (
                f"bytes={start}-{'' if self._last is None else self._last}"
            )
        return headers

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Take note of an answer that succeeded."""
        if status == _OK and "Range" in self.headers():
            raise ConnectionError("the whole object came where a part was asked for")
        self.generation = headers.get("X-Goog-Generation")
        for part in headers.get("X-Goog-Hash", "").split(","):
            name, _, value = part.strip().partition("=")
            if name == "crc32c":
                self.expected = value

    def write(self, data: bytes) -> None:
        """Pass *data* on.

        Raises TimeoutError when the time for all of it is up.
        """
        if time.monotonic() > self._until:
            raise TimeoutError(
                f"only {self.size} bytes came within {self._timeout:g} s"
            )
        self._out.write(data)
        self._checksum.update(data)
        self.size += len(data)

    def checksum(self) -> str:
        """Return the CRC32C so far, as the service writes it."""
        from base64 import b64encode

        return b64encode(self._checksum.digest()).decode("ascii")


def _may_be_repeated(error: Exception) -> bool:
    """Return whether the library shall send the request again."""
    from google.auth.exceptions import TransportError
    from requests.exceptions import (
        ChunkedEncodingError,
        ConnectionError as NoConnection,
        RequestException,
        Timeout,
    )
    from urllib3.exceptions import HTTPError

    response = getattr(error, "response", None)
    if response is not None:
        return response.status_code in _COME_BACK
    if isinstance(error, RequestException):
        return isinstance(error, (ChunkedEncodingError, NoConnection, Timeout))
    return isinstance(error, (ConnectionError, HTTPError, TransportError))


def _may_pass(error: Exception) -> bool:
    """Return whether the trouble with the credentials is one of the network."""
    from google.auth.exceptions import TransportError

    return (
        isinstance(error, TransportError)
        or isinstance(error.__cause__, TransportError)
        or bool(getattr(error, "retryable", False))
    )


def _reason(error: object) -> str:
    """Return what the service said, or else what the library says, on one line."""
    response = getattr(error, "response", None)
    text = ""
    if response is not None:
        try:
            text = response.json()["error"]["message"]
        except (ValueError, LookupError, TypeError):
            text = response.text
    text = " ".join(str(text or error).split())
    return text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + " ..."
