"""Stores in S3 and in Azure Blob Storage: buckets whose objects can be changed."""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from lazyimport.errors import StoreError
from lazyimport.stores.attempt import CONFLICT, Attempt
from lazyimport.stores.base import StoreBase
from lazyimport.stores.keys import check_key, is_key, not_a_store
from lazyimport.stores.objects import BUFFER, Objects, split_url
from lazyimport.stores.objects_failures import (
    NO_STORE,
    code_of,
    refuse_web_page,
    status_of,
)
from lazyimport.stores.protocol import Item

#: Bytes a second of the slowest upload that is waited for, beside the timeout.
_SLOWEST = 1 << 20
#: Bytes of a part of an upload at least, and how many parts there may be (S3: 10,000).
_PART = 8 << 20
_MOST_PARTS = 9000
#: Times that a part is sent again, so that a large object does not begin anew.
_RETRIES = 10
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class _Bucket(Objects, StoreBase):
    """Objects in a bucket or container, to read and to write.

    An object is created by one request, on the condition that there is none
    (``If-None-Match: *``): the service decides, and takes some 5 GiB at most. A real
    file is mapped, not read into memory. A request whose answer got lost may have
    created the object all the same.

    `put_in_parts` sends several parts at a time, and takes larger objects. obstore can
    put no condition on it, so it is for keys that name contents: a second writer writes
    the same bytes again.

    If two callers delete an object at once, both may succeed. The version of an object
    is its ETag.
    """

    __slots__ = ("_config", "bucket", "prefix")

    _form = ""
    _allowed: frozenset[str] = frozenset()
    #: whether the service lists objects by key
    _in_order = True
    #: the store's class in obstore
    _kind = ""
    #: bytes of an object that one request can create
    _most = 0

    def _connect(self, seconds: float, retries: int = 0) -> Any:
        from obstore import store

        return getattr(store, self._kind)(
            self.bucket,
            prefix=self.prefix or None,
            config=self._config,
            **self._options(seconds, retries),
        )

    def _check(self, address: str) -> str:
        from urllib.parse import parse_qsl

        rest, _, query = address.partition("://")[2].partition("?")
        bucket, _, prefix = rest.partition("/")
        if not _NAME.fullmatch(bucket):
            raise not_a_store(
                address, self._form, "a name has letters, digits, '-' and '.'"
            )
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        if self.prefix:
            check_key(self.prefix)
        self._config = dict(parse_qsl(query, keep_blank_values=True))
        self._config.pop("allow_http", None)  # said by the endpoint
        if set(self._config) - self._allowed:
            raise not_a_store(
                address,
                self._form,
                f"its options are {', '.join(sorted(self._allowed))}, and secrets "
                "belong in the environment",
            )
        endpoint = self._config.get("endpoint")
        if endpoint is not None and (
            not split_url(endpoint).hostname or set("@?#") & set(endpoint)
        ):
            raise not_a_store(address, self._form, "an endpoint is http(s)://host:port")
        shown = f"{address.partition('://')[0].lower()}://{bucket}/{self.prefix}"
        return shown.rstrip("/") + (f"?{query}" if query else "")

    def _put(self, attempt: Attempt, data: BinaryIO) -> bool:
        content = attempt.pass_through(_whole_of, data)
        return self._send(attempt, content, "create")

    def put_in_parts(self, key: str, data: BinaryIO, at_once: int) -> bool:
        """Create the object from *data*, or overwrite it; see `Store.put`.

        It is there whole or not at all. *at_once* parts go up at a time, from memory.
        """
        check_key(key)
        with self._attempt("store", key) as attempt:
            store = self._store()
            import obstore

            size = attempt.pass_through(data.seek, 0, os.SEEK_END)
            attempt.pass_through(data.seek, 0)
            store = self._connect(self.timeout + size / _SLOWEST, _RETRIES)
            part = max(_PART, size // _MOST_PARTS + 1)
            obstore.put(
                store,
                key,
                data,
                use_multipart=True,
                chunk_size=part,
                max_concurrency=at_once,
            )
        return True

    def _list(self, prefix: str) -> Iterator[Item]:
        store = self._store()
        import obstore

        folder, _, name = prefix.rpartition("/")
        if folder and not is_key(folder):
            return
        if not self._in_order:
            pages = obstore.list(store, folder or None)
            found = [each for page in pages for each in page]
            yield from map(_item, sorted(found, key=lambda each: each["path"]))
            return
        # obstore lists whole folders: thousands of objects, where one is asked for.
        before = prefix[:-1] if name and is_key(prefix[:-1]) else None
        for page in obstore.list(store, folder or None, offset=before):
            for each in page:
                if each["path"] > prefix and not each["path"].startswith(prefix):
                    return
                yield _item(each)

    def _delete(self, attempt: Attempt) -> None:
        # S3 does not say whether it deleted anything, so ask before.
        self._receive(attempt, lambda _: None, 0, 1)
        store = self._store()
        import obstore

        obstore.delete(store, attempt.key)

    def _read_versioned(self, attempt: Attempt, write: Callable[[Any], bool]) -> str:
        store = self._store()
        import obstore

        answer = obstore.get(store, attempt.key)
        at = 0
        for piece in answer.stream(min_chunk_size=BUFFER):
            view = memoryview(piece)
            if at == 0:
                refuse_web_page(attempt, answer, view, self.log_in)
            at += len(view)
            if write(view):
                break
        version: str | None = answer.meta["e_tag"]
        if not version:
            raise attempt.unversioned("ETag")
        return version

    def _replace(self, attempt: Attempt, data: bytes, version: str | None) -> bool:
        if version is not None and '"' not in version:  # of another store
            return False
        mode = "create" if version is None else {"e_tag": version}
        return self._send(attempt, data, mode)

    def _send(self, attempt: Attempt, content: Any, mode: Any) -> bool:
        if len(content) > self._most:
            what = f"it has {len(content):,} bytes, and at most {self._most:,} are possible"
            advice = "leave out of the tree what is no code, or use another store"
            raise attempt.error(StoreError, what, advice)
        store = self._store()
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        if len(content) > _SLOWEST:
            store = self._connect(self.timeout + len(content) / _SLOWEST)
        try:
            obstore.put(store, attempt.key, content, mode=mode, use_multipart=False)
        except (AlreadyExistsError, PreconditionError) as error:
            if _has_failed(error):
                raise
            return False
        return True


def _item(found: Any) -> Item:
    modified = found["last_modified"].timestamp()
    version = found["e_tag"] or str(modified)
    return Item(found["path"], found["size"], modified, version)


def _has_failed(error: Exception) -> bool:
    """Return whether a refusal says more than that the condition was not met."""
    code = code_of(error)
    if "AlreadyExists" in code:  # Azure says so with 409
        return False
    # with another code: another writer of the same object is not done yet
    return code in NO_STORE or bool(code and status_of(error) == CONFLICT)


class S3Store(_Bucket):
    """The objects of ``s3://bucket/prefix``, in S3 or what speaks its protocol."""

    __slots__ = ()

    _form = "s3://bucket/prefix?option=value"
    _kind = "S3Store"
    _most = 5 << 30
    _allowed = frozenset(
        {"endpoint", "region", "skip_signature", "virtual_hosted_style_request"}
    )
    log_in = (
        "on EKS bind the pod's service account to a role, elsewhere set "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; a public bucket takes "
        "?skip_signature=true; reading takes s3:GetObject and s3:ListBucket, "
        "publishing s3:PutObject, deleting s3:DeleteObject"
    )

    @property
    def _in_order(self) -> bool:  # type: ignore[override]
        """Whether it is no directory bucket (S3 Express), as its name must say."""
        return not self.bucket.endswith("--x-s3")


class AzureStore(_Bucket):
    """The blobs of ``az://container/prefix``, in Azure Blob Storage."""

    __slots__ = ()

    _form = "az://container/prefix?account_name=NAME"
    _kind = "AzureStore"
    _most = 5000 << 20
    _allowed = frozenset({"account_name", "endpoint", "skip_signature", "use_emulator"})
    log_in = (
        "on AKS use workload identity, elsewhere set AZURE_STORAGE_ACCOUNT_KEY or "
        "AZURE_STORAGE_SAS_TOKEN; reading takes the role Storage Blob Data Reader, "
        "publishing and deleting Storage Blob Data Contributor"
    )


def _whole_of(data: BinaryIO) -> bytes | mmap.mmap:
    """Return all of a file as one buffer: mapped if it is a real file."""
    data.seek(0)
    try:
        descriptor = data.fileno()
        data.flush()
    except OSError:  # io.UnsupportedOperation: not a real file
        return data.read()
    if not os.fstat(descriptor).st_size:
        return b""
    return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
