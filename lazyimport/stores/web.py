"""A store behind any web server, to read."""

from __future__ import annotations

from lazyimport.stores.objects import Objects, not_a_store, split_url
from lazyimport.values import redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["HttpStore"]


class HttpStore(Objects):
    """The files below a URL, to read: what serves the folder of a `FileStore` does.

    A server that cannot send a part of a file sends the whole one for every
    part that is read, of which the rest is thrown away as it comes.

    A server says of what is not there that it is not there, so a wrong folder
    looks like a missing object (KeyMissing).
    """

    __slots__ = ()

    log_in = "write user and password as https://user:password@host/folder"

    def _check(self, address: str) -> str:
        parts = split_url(address)
        if not parts.hostname or parts.query or parts.fragment:
            raise not_a_store(
                address, "https://host/folder", "it has a host and no query in it"
            )
        return redact(address).rstrip("/")

    def _connect(self, seconds: float) -> Any:
        from obstore.store import HTTPStore

        options = self._options(seconds)
        parts = split_url(self._address)
        if parts.username:
            from base64 import b64encode
            from urllib.parse import unquote

            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            proof = "Basic " + b64encode(user.encode()).decode()
            options["client_options"]["default_headers"] = {"authorization": proof}
        return HTTPStore(self.url, **options)
