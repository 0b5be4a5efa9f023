"""A store in a bucket of Google Cloud Storage."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial

from lazyimport.errors import KeyMissing, StoreError
from lazyimport.stores.attempt import Attempt
from lazyimport.stores.base import StoreBase, Write
from lazyimport.stores.gcs_download import Download
from lazyimport.stores.gcs_failures import explain, may_be_repeated
from lazyimport.stores.keys import check_key, not_a_store
from lazyimport.stores.protocol import Item

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

#: Seconds to wait for a connection, and for the next bytes of an answer.
_CONNECT = 20.0
_ANSWER = 60.0
#: Bytes that an upload sends, and has in memory, at a time. A multiple of 256 KiB.
_PIECE = 16 << 20
#: Seconds after which nobody goes on with an upload in parts.
_UNDER_WAY = 7 * 86400.0

_BUCKET_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


class _Enough(Exception):
    """No more bytes are wanted."""


class GcsStore(StoreBase):
    """The objects are those of *bucket* whose names begin with *prefix* and a slash.

    google-cloud-storage talks to the service, and repeats what may be repeated. It
    is imported, and a client made, by the first call in each process: it costs 190 ms
    and 38 MB, and connections must not be used on both sides of a fork.

    *timeout* is how many seconds a call may take with all repetitions; a listing for
    each page, and storing for each piece, as long as it goes on.

    A whole object is checked against its CRC32C, also if it came in several answers,
    and an upload by the service. The version of an object is its generation.

    Where an answer got lost, the repeated request finds what the first one did:
    `put` then returns False, `delete` raises KeyMissing, and `replace` looks at the
    object, which tells whether the first one had succeeded.
    """

    __slots__ = ("_client", "_root", "bucket", "prefix", "timeout", "url")

    _client: tuple[int, Any] | None

    def __init__(
        self, bucket: str, prefix: str = "", *, timeout: float = 300.0
    ) -> None:
        if not bucket or not _BUCKET_CHARACTERS.issuperset(bucket):
            shown = "***" if set(":@") & set(bucket) else bucket  # a password
            why = "a name has lower-case letters, digits, '-', '_' and '.', and no user"
            raise not_a_store(f"gs://{shown}", "gs://bucket/prefix", why)
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        self.timeout = timeout
        self.url = f"gs://{bucket}/{self.prefix}".rstrip("/")
        self._root = f"{self.prefix}/" if self.prefix else ""
        self._client = None

    @classmethod
    def from_url(cls, url: str, timeout: float = 300.0) -> GcsStore:
        """Return the store that ``gs://bucket/prefix`` names.

        Nothing in it is escaped: names of objects may have any character in them.

        Raises SettingsError for a URL without a usable bucket.
        """
        bucket, _, prefix = url.partition("://")[2].partition("/")
        return cls(bucket, prefix, timeout=timeout)

    def __repr__(self) -> str:
        return f"GcsStore({self.bucket!r}, {self.prefix!r}, timeout={self.timeout})"

    def __reduce__(self) -> tuple[object, ...]:
        return partial(GcsStore, timeout=self.timeout), (self.bucket, self.prefix)

    def _receive(
        self, attempt: Attempt, write: Write, start: int, end: int | None
    ) -> None:
        whole = start == 0 and end is None
        last = None if end is None else end - 1
        self._download(attempt, Download(write, self.timeout, start, last), whole=whole)

    def _download(self, attempt: Attempt, download: Download, *, whole: bool) -> None:
        """Bring all that *download* misses; if it is the *whole* object, check it."""
        client = self._connected()
        from google.api_core.exceptions import RequestRangeNotSatisfiable

        blob = self._blob(attempt.key)
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

    def _put(self, attempt: Attempt, data: BinaryIO) -> bool:
        size = attempt.pass_through(data.seek, 0, os.SEEK_END)
        return self._send(attempt.key, data, size, 0)

    def put_in_parts(self, key: str, data: BinaryIO, at_once: int) -> bool:
        """Create the object from *data*, *at_once* parts at a time; see `Store.put`.

        The service takes no condition for this. So this looks for the object before it
        sends anything, and before the parts become one. Of two writers who do so at
        once, the second writes the same bytes again, so this is for keys that name
        contents. What a killed process has sent is not sent again.
        """
        from lazyimport.stores.gcs_parts import PART, Unfit, begin_upload, find_upload

        check_key(key)
        with self._attempt("store", key) as attempt:
            size = attempt.pass_through(data.seek, 0, os.SEEK_END)
            if size <= PART:
                return self._send(key, data, size, 0)
            blob, patience = self._blob(key), self._patience()
            if blob.exists(**patience):
                return False
            read = partial(attempt.pass_through, data.read)
            for begin in (find_upload, begin_upload):
                if (upload := begin(blob, patience)) is None:
                    continue
                attempt.pass_through(data.seek, 0)
                with suppress(Unfit):
                    return upload.run(attempt, read, size, at_once)
            return self._send(key, data, size, 0)

    def sweep(
        self, folders: Iterable[str], before: float, *, dry_run: bool = False
    ) -> list[str]:
        """Remove the parts that killed writers left in *folders*: `FileStore.sweep`.

        Only those of uploads that began a week before *before*, because nothing says
        whether a younger one is under way; none if this user may not list uploads.
        """
        from lazyimport.stores.gcs_parts import remove_unfinished

        with self._attempt("delete", ""):
            keys = remove_unfinished(
                self._connected().bucket(self.bucket),
                self._root,
                tuple(folders),
                before - _UNDER_WAY,
                self._patience(),
                dry_run=dry_run,
            )
            return [f"{self.url}/{key}" for key in keys]

    def _list(self, prefix: str) -> Iterator[Item]:
        skip = len(self._root)
        for blob in self._connected().list_blobs(
            self.bucket,
            prefix=self._root + prefix,
            fields="items(name,size,updated,generation),nextPageToken",
            **self._patience(),
        ):
            modified, version = blob.updated.timestamp(), str(blob.generation)
            yield Item(blob.name[skip:], blob.size, modified, version)

    def _delete(self, attempt: Attempt) -> None:
        self._blob(attempt.key).delete(**self._patience())

    def _read_versioned(self, attempt: Attempt, write: Callable[[bytes], bool]) -> str:
        def write_some(data: bytes) -> None:
            if write(data):
                raise _Enough

        download = Download(write_some, self.timeout)
        try:
            self._download(attempt, download, whole=True)
        except _Enough:
            pass
        if download.generation is None:
            raise attempt.unversioned("generation")
        return download.generation

    def _replace(self, attempt: Attempt, data: bytes, version: str | None) -> bool:
        if version is not None and (not version.isdecimal() or not int(version)):
            return False  # it is that of another store
        repeated: list[Exception] = []
        generation = int(version or 0)
        if self._send(attempt.key, io.BytesIO(data), len(data), generation, repeated):
            return True
        try:  # was it a request with a lost answer that made the object what it is?
            return bool(repeated) and self.read(attempt.key, 0, len(data) + 1) == data
        except KeyMissing:
            return False

    def _send(
        self,
        key: str,
        data: BinaryIO,
        size: int,
        generation: int,
        repeated: list[Exception] | None = None,
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

    def _patience(self, repeated: list[Exception] | None = None) -> dict[str, Any]:
        """Return how long to try; why a request was repeated goes to *repeated*."""
        from google.cloud.storage.retry import DEFAULT_RETRY

        def repeats(error: Exception) -> bool:
            may = may_be_repeated(error)
            if may and repeated is not None:
                repeated.append(error)
            return may

        retry = DEFAULT_RETRY.with_predicate(repeats)
        retry = retry.with_delay(initial=0.2, maximum=10.0, multiplier=2.0)
        return {
            "retry": retry.with_timeout(self.timeout),
            "timeout": (min(_CONNECT, self.timeout), min(_ANSWER, self.timeout)),
        }

    def _blob(self, key: str, **options: Any) -> Any:
        bucket = self._connected().bucket(self.bucket)
        return bucket.blob(self._root + key, **options)

    def _connected(self) -> Any:
        process = os.getpid()
        if self._client is None or self._client[0] != process:
            # If two threads come here at once, the later client stays, and both
            # work. A lock would have to be made again after a fork.
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
        # For labels of traces, even if tracing is off, the library asks for the
        # bucket in a thread of its own: a request, a permission and a thread
        # (before a fork) too many. None switches it off.
        client._bucket_metadata_cache = None  # noqa: SLF001
        return client

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
