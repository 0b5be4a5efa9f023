"""A store in a bucket of Google Cloud Storage."""

from __future__ import annotations

import io
import os

from lazyimport.errors import KeyMissing, SettingsError, StoreError
from lazyimport.stores.attempt import Attempt
from lazyimport.stores.gcs_download import Download
from lazyimport.stores.gcs_failures import explain, may_be_repeated
from lazyimport.stores.keys import check_key, check_range, is_key
from lazyimport.stores.protocol import Item

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

    Errors = list[Exception]  # in the class, "list" is a method

__all__ = ["GcsStore"]

#: Seconds to wait for a connection, and for the next bytes of an answer.
_CONNECT = 20.0
_ANSWER = 60.0
#: Bytes that an upload sends, and has in memory, at a time. A multiple of 256 KiB.
_PIECE = 16 << 20

_BUCKET_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


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
        # An empty range cannot be asked for; whether there is an object must.
        last = None if end is None else max(end - 1, start)
        with self._attempt("read", key) as attempt:
            download = Download(out.write, self.timeout, start, last)
            self._receive(attempt, download, whole=start == 0 and end is None)
        return b"" if start == end else out.getvalue()

    def download(self, key: str, out: BinaryIO, start: int = 0) -> int:
        """Write the object from *start* on to *out*; see `ReadStore.download`.

        A whole object is checked against its CRC32C, also when the connection
        broke and what was missing came in another answer.
        """
        check_key(key)
        check_range(start, None)
        with self._attempt("read", key) as attempt:

            def write(data: bytes) -> None:
                attempt.pass_through(out.write, data)

            download = Download(write, self.timeout, start)
            self._receive(attempt, download, whole=not start)
        return download.size

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
        with self._attempt("store", key):
            return self._send(key, data, size, 0)

    def list(self, prefix: str = "") -> Iterator[Item]:
        """Yield the objects below *prefix*, ordered by key; see `Store.list`."""
        skip = len(self._root)
        with self._attempt("list", None):
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
        with self._attempt("delete", key):
            self._blob(key).delete(**self._patience())

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        """Return the object and its version; see `MutableStore.read_versioned`.

        The version is the generation of the object.
        """
        check_key(key)
        out = io.BytesIO()
        with self._attempt("read", key) as attempt:
            download = Download(out.write, self.timeout)
            self._receive(attempt, download, whole=True)
            if download.generation is None:
                what = "the answer names no generation of the object"
                advice = "this emulator or proxy cannot keep what changes; use another"
                raise attempt.error(StoreError, what, advice)
        return out.getvalue(), download.generation

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        """Replace the object if it has *version*; see `MutableStore.replace`.

        If an answer got lost and the repeated request was refused, the object
        tells whether the first one had succeeded.
        """
        check_key(key)
        if version is not None and (not version.isdecimal() or not int(version)):
            return False  # it is that of another store
        repeated: Errors = []
        with self._attempt("replace", key):
            generation = int(version or 0)
            if self._send(key, io.BytesIO(data), len(data), generation, repeated):
                return True
        try:
            return bool(repeated) and self.read(key) == data
        except KeyMissing:
            return False

    def _receive(self, attempt: Attempt, download: Download, *, whole: bool) -> None:
        """Bring all that *download* misses; if it is the *whole* object, check it."""
        client = self._connected()
        from google.api_core.exceptions import RequestRangeNotSatisfiable

        blob = self._blob(str(attempt.key))
        try:
            download.run(client, blob.path, **self._patience())
        except RequestRangeNotSatisfiable:
            if whole and not download.size:
                raise
            # The part begins behind the end; or the connection broke when all of
            # the object was there, and the checksum tells.
        if whole:
            if download.expected is None:  # in no header of the answer
                blob.reload(**self._patience())
                download.expected = blob.crc32c
            actual = download.checksum
            if download.expected != actual:
                raise attempt.damaged(
                    f"{download.size} bytes of CRC32C {actual}, not {download.expected}"
                )

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
        blob = self._blob(key, chunk_size=_PIECE)
        from google.api_core.exceptions import PreconditionFailed

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

    def _patience(self, repeated: Errors | None = None) -> dict[str, Any]:
        """Return how long to try; why a request was repeated goes to *repeated*."""
        from google.cloud.storage.retry import DEFAULT_RETRY

        def shall_be_repeated(error: Exception) -> bool:
            may = may_be_repeated(error)
            if may and repeated is not None:
                repeated.append(error)
            return may

        retry = DEFAULT_RETRY.with_predicate(shall_be_repeated)
        retry = retry.with_delay(initial=0.2, maximum=10.0, multiplier=2.0)
        return {
            "retry": retry.with_timeout(self.timeout),
            "timeout": (min(_CONNECT, self.timeout), min(_ANSWER, self.timeout)),
        }

    def _blob(self, key: str, **options: Any) -> Any:
        bucket = self._connected().bucket(self.bucket)
        return bucket.blob(self._root + key, **options)

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

    def _attempt(self, verb: str, key: str | None) -> Attempt:
        return Attempt(self.url, verb, key, self._explain)

    def _explain(self, attempt: Attempt, error: Exception) -> StoreError | None:
        return explain(attempt, error, self.timeout, self._has_bucket)

    def _has_bucket(self) -> bool:
        from google.api_core.exceptions import GoogleAPIError, NotFound

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
