"""Objects that obstore reads: in buckets, and behind any web server."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from lazyimport.errors import StoreError
from lazyimport.stores.attempt import Attempt
from lazyimport.stores.base import ReadBase, Write
from lazyimport.stores.keys import not_a_store
from lazyimport.stores.objects_failures import explain, is_past_the_end, refuse_web_page
from lazyimport.stores.retry import retrying

#: Seconds to wait for a connection, and for the next bytes of an answer.
_CONNECT = 20.0
_ANSWER = 60.0
#: Bytes that a download passes on at a time.
BUFFER = 1 << 18

#: This process, once it has used obstore, or the one it was forked from.
_processes: set[int] = set()


class Objects(ReadBase):
    """What can be read below a URL; obstore is imported by the first call.

    *timeout* is how many seconds one request may take with its answer. Nothing
    is repeated here but parts of an upload: see `lazyimport.stores.retry`. The length
    of an answer is checked, and no checksum: these services have none that all of them
    send.

    obstore runs threads of its own, which a fork does not take along: a store
    that was used refuses to work in the child rather than to wait for ever.
    """

    __slots__ = ("_address", "_opened", "_ranges", "timeout", "url")

    #: How a person gets access to a store of this kind.
    log_in = ""
    #: What obstore raises names the URLs it asked, with whatever is in them.
    _hides_causes = True

    def __init__(self, address: str, *, timeout: float = 300.0) -> None:
        self.timeout = timeout
        self._address = address
        self._opened: Any = None
        self._ranges = True
        self.url = self._check(address)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r}, timeout={self.timeout})"

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), timeout=self.timeout), (self._address,)

    @classmethod
    def from_url(cls, url: str, timeout: float = 300.0) -> Any:
        """Return the store that *url* names, which repeats what can succeed later.

        Raises SettingsError.
        """
        return retrying(cls(url, timeout=timeout), timeout)

    @property
    def ranges(self) -> bool:
        """Whether the server has sent, or never refused, a part of an object."""
        return self._ranges

    def _receive(
        self, attempt: Attempt, write: Write, start: int, end: int | None
    ) -> None:
        store = self._store()
        import obstore
        from obstore.exceptions import NotSupportedError

        part: Any = {"range": {"offset": start} if end is None else (start, end)}
        if (start, end) == (0, None) or not self._ranges:
            part = None
        try:
            try:
                answer = obstore.get(store, attempt.key, options=part)
            except NotSupportedError:  # the server sent all of it
                self._ranges, part = False, None
                answer = obstore.get(store, attempt.key)
        except Exception as error:
            if is_past_the_end(error):
                return
            raise
        at = start if part else 0
        for piece in answer.stream(min_chunk_size=BUFFER):
            view = memoryview(piece)
            if at == 0:
                refuse_web_page(attempt, answer, view, self.log_in)
            low = max(start - at, 0)
            high = len(view) if end is None else min(end - at, len(view))
            at += len(view)
            if low < high:
                write(view[low:high])
            if end is not None and at >= end:
                return

    def _explain(self, attempt: Attempt, error: Exception) -> StoreError | None:
        return explain(attempt, error, self.log_in)

    def _store(self) -> Any:
        if _processes - {os.getpid()}:
            raise StoreError(
                f"{self.url}: this process was forked from one that has used obstore, "
                "whose threads did not come along; use the start method 'spawn' or "
                "'forkserver', or fork before the first download",
                url=self.url,
                key=None,
            )
        _processes.add(os.getpid())
        if self._opened is None:
            self._opened = self._connect(self.timeout)
        return self._opened

    def _connect(self, seconds: float, retries: int = 0) -> Any:
        raise NotImplementedError

    def _check(self, address: str) -> str:
        """Return the URL without secrets; raise SettingsError if it is none."""
        raise NotImplementedError

    def _options(self, seconds: float, retries: int) -> dict[str, Any]:
        from datetime import timedelta

        return {
            "client_options": {
                "allow_http": True,  # where the URL says http://
                "timeout": timedelta(seconds=seconds),
                "connect_timeout": timedelta(seconds=min(_CONNECT, self.timeout)),
                "read_timeout": timedelta(seconds=min(_ANSWER, self.timeout)),
            },
            "retry_config": {
                "max_retries": retries,
                "retry_timeout": timedelta(seconds=self.timeout),
            },
        }


class HttpStore(Objects):
    """The files below a URL, to read: what serves the folder of a `FileStore` does.

    A server that cannot send a part of a file sends the whole one for every
    part that is read, of which the rest is thrown away as it comes.

    A server answers 404 for a wrong folder as for a missing object, so both are
    KeyMissing.
    """

    __slots__ = ()

    log_in = "write user and password as https://user:password@host/folder"

    def _check(self, address: str) -> str:
        parts = split_url(address)
        if not parts.hostname or parts.query or parts.fragment or "@" in parts.path:
            raise not_a_store(
                address,
                "https://host/folder",
                "it has a host and no query; in a password '@' is %40, '/' %2F, '?' "
                "%3F and '#' %23, in a folder '@' is %40",
            )
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host}{parts.path}".rstrip("/")

    def _connect(self, seconds: float, retries: int = 0) -> Any:
        from obstore.store import HTTPStore

        options = self._options(seconds, retries)
        parts = split_url(self._address)
        if parts.username:
            from base64 import b64encode
            from urllib.parse import unquote

            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            proof = "Basic " + b64encode(user.encode()).decode()
            options["client_options"]["default_headers"] = {"authorization": proof}
        return HTTPStore(self.url, **options)


def split_url(url: str) -> Any:
    """Return the parts of an HTTP URL; all empty if it is none."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for what is no number
    except ValueError:
        return urlsplit("")
    return parts if parts.scheme.lower() in {"http", "https"} else urlsplit("")
