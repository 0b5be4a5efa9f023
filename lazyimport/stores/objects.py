"""Stores in S3, in Azure Blob Storage, and behind any web server, with obstore."""

from __future__ import annotations

import mmap
import os
import re

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
    redact,
    store_error,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

__all__ = ["AzureStore", "HttpStore", "S3Store"]

#: Seconds to wait for a connection, and for the next bytes of an answer.
_CONNECT = 20.0
_ANSWER = 60.0
#: What a download passes on at a time.
_BUFFER = 1 << 20
#: An upload may take a second for each of these bytes, beside the timeout.
_SLOWEST = 1 << 20

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_STATUS = re.compile(r"status code: (\d{3}) ?([^:\n]*)")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_SAID = re.compile(r"<Message>([^<]+)")
_CAUSE = re.compile(r'(?:message|error): "([^"]+)"')
_NETWORK = ("HttpError", "reqwest::Error", "hyper::Error")
_METADATA = "169.254.169.254"

_UNAUTHORIZED = 401
_FORBIDDEN = 403
_NOT_FOUND = 404
_CONFLICT = 409
_NO_RANGE = 416
#: Request timeout, conflict with another request, too many requests.
_COME_BACK = {408, _CONFLICT, 429}

#: This process, once it has used obstore, or the one it was forked from.
_processes: set[int] = set()

_AWAY = (
    "see whether this machine reaches the network and the service is up, or raise "
    "LAZYIMPORT_TIMEOUT"
)
_BROKEN = {"TimedOut": "timed out", "Incomplete": "the connection broke"}


class _Objects:
    """What can be read below a URL; obstore is imported by the first call.

    *timeout* is how many seconds one request may take with its answer. Nothing
    is repeated here: see `lazyimport.stores.retry`.

    obstore runs threads of its own, which a fork does not take along: a store
    that was used refuses to work in the child rather than to wait for ever.
    """

    __slots__ = ("_address", "_kept", "_ranges", "timeout", "url")

    _log_in = ""

    def __init__(self, address: str, *, timeout: float = 300.0) -> None:
        self.timeout = timeout
        self._address = address
        self._kept: Any = None
        self._ranges = True
        self.url = self._check(address)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r}, timeout={self.timeout})"

    def __getstate__(self) -> tuple[str, float]:
        return self._address, self.timeout

    def __setstate__(self, state: tuple[str, float]) -> None:
        self.__init__(state[0], timeout=state[1])  # type: ignore[misc]

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes from *start* up to and without *end*; see `ReadStore`."""
        check_key(key)
        check_range(start, end)
        with self._reported("read", key):
            # An empty range cannot be asked for; whether there is an object must.
            stop = None if end is None else max(end, start + 1)
            data = b"".join(bytes(piece) for piece in self._pieces(key, start, stop))
        return b"" if start == end else data

    def download(self, key: str, out: BinaryIO, start: int = 0) -> int:
        """Write the object from *start* on to *out*; see `ReadStore.download`.

        The length is checked, and no checksum: these services send none that
        all of them have.
        """
        check_key(key)
        check_range(start, None)
        reported = self._reported("read", key)
        total = 0
        with reported:
            pieces = self._pieces(key, start, None)
        while True:
            with reported:
                piece = next(pieces, None)
            if piece is None:
                return total
            out.write(piece)
            total += len(piece)

    def _pieces(self, key: str, start: int, end: int | None) -> Iterator[memoryview]:
        """Yield the bytes of a range as they come, in pieces of bounded size."""
        store = self._store()
        import obstore
        from obstore.exceptions import NotSupportedError

        part: Any = {"range": {"offset": start} if end is None else (start, end)}
        if (start, end) == (0, None) or not self._ranges:
            part = None
        try:
            try:
                answer = obstore.get(store, key, options=part)
            except NotSupportedError:  # the server sent all of it
                self._ranges, part = False, None
                answer = obstore.get(store, key)
        except Exception as error:
            if _is_past_the_end(error):
                return
            raise
        at = start if part else 0
        for piece in answer.stream(min_chunk_size=_BUFFER):
            view = memoryview(piece)
            low = max(start - at, 0)
            high = len(view) if end is None else min(end - at, len(view))
            at += len(view)
            if low < high:
                yield view[low:high]
            if end is not None and at >= end:
                return

    def _reported(self, verb: str, key: str | None) -> Reported:
        # What obstore raises holds the URLs it asked, with whatever is in them.
        return Reported(self._failed, verb, key, hide=True)

    def _store(self) -> Any:
        """Return the store of obstore."""
        if _processes - {os.getpid()}:
            raise StoreError(
                f"{self.url}: this process was forked from one that has used obstore, "
                "whose threads did not come along; use the start method 'spawn' or "
                "'forkserver', or fork before the first download",
                url=self.url,
                key=None,
            )
        _processes.add(os.getpid())
        if self._kept is None:
            self._kept = self._connect(self.timeout)
        return self._kept

    def _connect(self, seconds: float) -> Any:
        """Return a new store of obstore, whose requests may take *seconds*."""
        raise NotImplementedError

    def _check(self, address: str) -> str:
        """Return the URL without secrets; raise SettingsError if it is none."""
        raise NotImplementedError

    def _options(self, seconds: float) -> dict[str, Any]:
        from datetime import timedelta

        return {
            "client_options": {
                "allow_http": True,  # where the URL says http://
                "timeout": timedelta(seconds=seconds),
                "connect_timeout": timedelta(seconds=min(_CONNECT, self.timeout)),
                "read_timeout": timedelta(seconds=min(_ANSWER, self.timeout)),
            },
            "retry_config": {"max_retries": 0},
        }

    def _failed(
        self, verb: str, key: str | None, error: Exception
    ) -> StoreError | None:
        """Return the error of ours for one of obstore; None for any other."""
        if isinstance(error, ModuleNotFoundError):
            what = f"this store needs obstore, and {error}"
            advice = "run: pip install 'ray-lazyimport[objects]'"
            return self._error(StoreError, verb, key, what, advice)
        from obstore.exceptions import BaseError

        if not isinstance(error, (BaseError, FileNotFoundError, ValueError)):
            return None
        text = str(error)
        status = _status(error)
        what = _reason(text)
        if _METADATA in text:
            what = f"no credentials were found, nor given by this machine ({what})"
            return self._error(StoreDenied, verb, key, what, self._log_in)
        if status == _NOT_FOUND:
            return self._missing(verb, key, what, text)
        if status in {_UNAUTHORIZED, _FORBIDDEN}:
            return self._error(StoreDenied, verb, key, what, self._log_in)
        if status in _COME_BACK or (status is not None and status >= 500):
            return self._error(StoreUnavailable, verb, key, what, _AWAY)
        if status is None and any(sign in text for sign in _NETWORK):
            return self._error(StoreUnavailable, verb, key, what, _AWAY)
        advice = "see whether the URL of the store and its options are right"
        return self._error(StoreError, verb, key, what, advice)

    def _missing(self, verb: str, key: str | None, what: str, text: str) -> StoreError:
        if "NoSuchBucket" in text or "ContainerNotFound" in text or key is None:
            advice = "create it, or correct LAZYIMPORT_STORE"
            return self._error(StoreMissing, verb, key, what, advice)
        advice = "publish it, or correct the name or store"
        return self._error(KeyMissing, verb, key, what, advice)

    def _error(
        self, kind: type[StoreError], verb: str, key: str | None, what: str, advice: str
    ) -> StoreError:
        return store_error(kind, self.url, verb, key, what, advice)


class HttpStore(_Objects):
    """The files below a URL, to read: what serves the folder of a `FileStore` does.

    A server that cannot send a part of a file sends the whole one for every
    part that is read, of which the rest is thrown away as it comes.

    A server says of what is not there that it is not there, so a wrong folder
    looks like a missing object (KeyMissing).
    """

    __slots__ = ()

    _log_in = "write user and password as https://user:password@host/folder"

    def _check(self, address: str) -> str:
        parts = _split(address)
        if not parts.hostname or parts.query or parts.fragment:
            raise _wrong(
                address, "https://host/folder", "it has a host and no query in it"
            )
        return redact(address).rstrip("/")

    def _connect(self, seconds: float) -> Any:
        from obstore.store import HTTPStore

        options = self._options(seconds)
        parts = _split(self._address)
        if parts.username:
            from base64 import b64encode
            from urllib.parse import unquote

            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            proof = "Basic " + b64encode(user.encode()).decode()
            options["client_options"]["default_headers"] = {"authorization": proof}
        return HTTPStore(self.url, **options)


class _Bucket(_Objects):
    """Objects in a bucket or container, to read and to write."""

    __slots__ = ("_config", "bucket", "prefix")

    _form = ""
    _allowed: frozenset[str] = frozenset()
    #: the store's class in obstore
    _kind = ""
    #: bytes of an object that one request can create
    _most = 0

    def _connect(self, seconds: float) -> Any:
        from obstore import store

        return getattr(store, self._kind)(
            self.bucket,
            prefix=self.prefix or None,
            config=self._config,
            **self._options(seconds),
        )

    def _check(self, address: str) -> str:
        from urllib.parse import parse_qsl

        rest, _, query = address.partition("://")[2].partition("?")
        bucket, _, prefix = rest.partition("/")
        if not _NAME.fullmatch(bucket):
            raise _wrong(address, self._form, "a name has letters, digits, '-' and '.'")
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        if self.prefix:
            check_key(self.prefix)
        self._config = dict(parse_qsl(query, keep_blank_values=True))
        self._config.pop("allow_http", None)  # said by the endpoint
        for name in sorted(set(self._config) - self._allowed):
            raise _wrong(
                address,
                self._form,
                f"{name!r} is no option for a URL: those are "
                f"{', '.join(sorted(self._allowed))}, and secrets belong in the "
                "environment",
            )
        endpoint = self._config.get("endpoint")
        if endpoint is not None and (
            not _split(endpoint).hostname or "@" in _split(endpoint).netloc
        ):
            raise _wrong(address, self._form, "an endpoint is http(s)://host:port")
        shown = f"{address.partition('://')[0].lower()}://{bucket}/{self.prefix}"
        return shown.rstrip("/") + (f"?{query}" if query else "")

    def put(self, key: str, data: BinaryIO) -> bool:
        """Create the object unless it exists; see `Store.put`.

        One request, on the condition that there is no object (``If-None-Match:
        *``): the service decides, and takes some 5 GiB at most. An upload in
        parts could be larger, but obstore can put no condition on it. A real
        file is mapped, not read into memory.

        A request whose answer got lost may have created the object all the same.
        """
        check_key(key)
        with _Whole(data) as content, self._reported("store", key):
            return self._send(key, content, "create")

    def list(self, prefix: str = "") -> Iterator[Item]:
        """Yield the objects below *prefix*, ordered by key; see `Store.list`."""
        with self._reported("list", None):
            store = self._store()
            import obstore

            folder = prefix.rpartition("/")[0]
            if folder and not is_key(folder):
                return
            for page in obstore.list(store, folder or None):
                for found in page:
                    key = found["path"]
                    if key.startswith(prefix) and is_key(key):
                        yield Item(
                            key, found["size"], found["last_modified"].timestamp()
                        )

    def delete(self, key: str) -> None:
        """Delete the object; see `Store.delete`.

        S3 does not say whether there was one, so it is asked before: of two
        that delete at once both may succeed.
        """
        self.read(key, 0, 0)
        with self._reported("delete", key):
            store = self._store()
            import obstore

            obstore.delete(store, key)

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        """Return the object and its version; see `MutableStore.read_versioned`.

        The version is its ETag.
        """
        check_key(key)
        with self._reported("read", key):
            store = self._store()
            import obstore

            answer = obstore.get(store, key)
            data, version = bytes(answer.bytes()), answer.meta["e_tag"]
        if not version:
            what = "the answer names no ETag of the object"
            advice = "this service cannot keep what changes; use another"
            raise self._error(StoreError, "read", key, what, advice)
        return data, version

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        """Replace the object if it has *version*; see `MutableStore.replace`."""
        check_key(key)
        if version is not None and '"' not in version:  # of another store
            return False
        with self._reported("replace", key):
            mode = "create" if version is None else {"e_tag": version}
            return self._send(key, data, mode)

    def _send(self, key: str, content: Any, mode: Any) -> bool:
        if len(content) > self._most:
            what = f"it has {len(content):,} bytes, and {self._most:,} are the most"
            advice = "leave out of the tree what is no code, or use another store"
            raise self._error(StoreError, "store", key, what, advice)
        store = self._store()
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        if len(content) > _SLOWEST:
            store = self._connect(self.timeout + len(content) / _SLOWEST)
        try:
            obstore.put(store, key, content, mode=mode, use_multipart=False)
        except (AlreadyExistsError, PreconditionError) as error:
            # Another writer of the same object is not done yet; or no bucket.
            if _status(error) == _CONFLICT and "<Code>" in str(error):
                if "AlreadyExists" in _code(error):  # Azure says so with 409
                    return False
                raise self._conflict(key, error) from None
            if _code(error) in {"NoSuchBucket", "ContainerNotFound"}:
                raise self._missing(
                    "store", key, _reason(str(error)), str(error)
                ) from None
            return False
        return True

    def _conflict(self, key: str, error: Exception) -> StoreError:
        what = _reason(str(error))
        return self._error(StoreUnavailable, "store", key, what, "try again")


class S3Store(_Bucket):
    """The objects of ``s3://bucket/prefix``, in S3 or what speaks its protocol."""

    __slots__ = ()

    _form = "s3://bucket/prefix?option=value"
    _kind = "S3Store"
    _most = 5 << 30
    _allowed = frozenset(
        {"endpoint", "region", "skip_signature", "virtual_hosted_style_request"}
    )
    _log_in = (
        "on EKS bind the pod's service account to a role, elsewhere set "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; a public bucket takes "
        "?skip_signature=true; reading takes s3:GetObject and s3:ListBucket, "
        "publishing s3:PutObject, deleting s3:DeleteObject"
    )


class AzureStore(_Bucket):
    """The blobs of ``az://container/prefix``, in Azure Blob Storage."""

    __slots__ = ()

    _form = "az://container/prefix?account_name=NAME"
    _kind = "AzureStore"
    _most = 5000 << 20
    _allowed = frozenset({"account_name", "endpoint", "skip_signature", "use_emulator"})
    _log_in = (
        "on AKS use workload identity, elsewhere set AZURE_STORAGE_ACCOUNT_KEY or "
        "AZURE_STORAGE_SAS_TOKEN; reading takes the role Storage Blob Data Reader, "
        "publishing and deleting Storage Blob Data Contributor"
    )


class _Whole:
    """All of a file as one buffer: mapped if it is a real file, else in memory."""

    __slots__ = ("_data", "_map")

    def __init__(self, data: BinaryIO) -> None:
        self._data = data
        self._map: mmap.mmap | None = None

    def __enter__(self) -> bytes | mmap.mmap:
        self._data.seek(0)
        try:
            descriptor = self._data.fileno()
            self._data.flush()
        except OSError:  # io.UnsupportedOperation: not a real file
            return self._data.read()
        if not os.fstat(descriptor).st_size:
            return b""
        self._map = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        return self._map

    def __exit__(self, *_: object) -> None:
        self._map = None  # closed with the last buffer of it


def _split(url: str) -> Any:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for what is no number
    except ValueError:
        return urlsplit("")
    return parts if parts.scheme.lower() in {"http", "https"} else urlsplit("")


def _wrong(url: str, form: str, why: str) -> SettingsError:
    shown = redact(url)
    return SettingsError(
        f"not a store: {shown!r} (write {form}; {why})", name="store", value=shown
    )


def _status(error: Exception) -> int | None:
    found = _STATUS.search(str(error))
    return int(found[1]) if found else None


def _is_past_the_end(error: Exception) -> bool:
    text = str(error)  # Azurite answers 206 where the service itself has 416
    return _status(error) == _NO_RANGE or bool(re.search('StartTooLarge|-1/0"', text))


def _code(error: Exception) -> str:
    found = _CODE.search(str(error))
    return found[1] if found else ""


def _reason(text: str) -> str:
    """Return what went wrong, on one line and without any URL."""
    status, code, said = _STATUS.search(text), _CODE.search(text), _SAID.search(text)
    if status:
        words = [code[1] if code else status[2].strip(), said[1] if said else ""]
        what = ": ".join(" ".join(word.split()) for word in words if word)
        return f"the service answered {status[1]}, {what}".rstrip(", ")
    cause = _CAUSE.search(text)
    broken = next((word for sign, word in _BROKEN.items() if sign in text), "")
    first = text.partition("\n")[0].rpartition(" - ")[2]
    first = re.sub(r"\S+://\S+", "", first.removeprefix("Generic ")).strip()
    why = broken or (cause[1] if cause else "")
    return f"{first} ({why})" if why else first
