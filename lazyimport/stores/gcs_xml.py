"""Requests of Cloud Storage's XML API, for uploads in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import quote, urlencode

from lazyimport.stores.gcs_failures import refuse_page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def parts_of(ask: Callable[..., Any], upload_id: str) -> dict[int, tuple[int, str]]:
    """Return size and ETag of what has been sent of an upload, by number of part."""
    query: dict[str, str] = {"uploadId": upload_id}
    found = {}
    while True:
        answer = ask("GET", urlencode(query))
        for number, size, etag in _rows(answer, "PartNumber", "Size", "ETag"):
            found[int(number)] = int(size), etag
        if texts_in(answer, "IsTruncated") != ["true"]:
            return found
        query["part-number-marker"] = texts_in(answer, "NextPartNumberMarker")[0]


def uploads_in(
    bucket: Any, prefix: str, patience: dict[str, Any]
) -> Iterator[tuple[str, str, float]]:
    """Yield names, ids and times of the unfinished uploads below *prefix*."""
    from datetime import datetime

    query = {"prefix": prefix}
    more = True
    while more:
        text = f"uploads&{urlencode(query)}"
        answer = ask_api(bucket.client, path_of(bucket), "GET", text, **patience)
        for name, upload_id, time in _rows(answer, "Key", "UploadId", "Initiated"):
            moment = datetime.fromisoformat(time.replace("Z", "+00:00"))
            yield name, upload_id, moment.timestamp()
        more = texts_in(answer, "IsTruncated") == ["true"]
        if more:
            query["key-marker"] = texts_in(answer, "NextKeyMarker")[0]
            query["upload-id-marker"] = texts_in(answer, "NextUploadIdMarker")[0]


def ask_api(
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


def _rows(answer: Any, *tags: str) -> Iterator[tuple[str, ...]]:
    """Yield what stands in the elements of an answer that have these *tags* in turn."""
    return zip(*(texts_in(answer, tag) for tag in tags), strict=True)


def path_of(bucket: Any, *names: str) -> str:
    """Return the path of *bucket*, or of an object in it, for `ask_api`."""
    return "".join(f"/{quote(name, safe='~')}" for name in (bucket.name, *names))


def texts_in(answer: Any, tag: str) -> list[str]:
    """Return what stands in all elements called *tag* of an answer."""
    from xml.etree import ElementTree as ET

    root = ET.fromstring(answer.content)  # noqa: S314 - the service's own
    return [found.text or "" for found in root.findall(f".//{{*}}{tag}")]
