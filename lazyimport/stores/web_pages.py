"""Web pages that a proxy, a portal or a login sends in the place of a store.

Their status is that of success.
"""

from __future__ import annotations

from lazyimport.errors import StoreError
from lazyimport.stores.attempt import Attempt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KINDS = {"text/html", "application/xhtml+xml"}
_TITLE = rb"<title[^>]*>(.{1,200}?)</title"
#: Bytes in which a page says what it is.
BEGINNING = 4096


def is_page(kind: str, data: Any) -> bool:
    """Return whether an answer of type *kind* that begins with *data* is a web page."""
    beginning = _beginning(data).lower()
    is_one = kind.partition(";")[0].strip() in _KINDS and beginning.startswith(b"<")
    return is_one or beginning.startswith((b"<!doctype html", b"<html"))


def page_error(attempt: Attempt, kind: str, data: Any, advice: str) -> StoreError:
    """Return the error for such an answer; *advice* says what to do."""
    import re  # a fetcher starts without it

    title = re.search(_TITLE, _beginning(data), re.IGNORECASE | re.DOTALL)
    words = " ".join(title[1].decode("utf-8", "replace").split()) if title else ""
    named = f" titled {words!r}" if words else ""
    kind = kind.partition(";")[0].strip() or "text/html"
    what = f"it answered with a web page{named} ({kind}) in place of what was asked for"
    return attempt.error(StoreError, what, advice)


def _beginning(data: Any) -> bytes:
    return bytes(data[:BEGINNING]).lstrip(b"\xef\xbb\xbf \t\r\n")
