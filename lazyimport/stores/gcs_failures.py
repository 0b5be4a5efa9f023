"""Failures of google-cloud-storage: which may pass, and which error each becomes."""

from __future__ import annotations

from collections.abc import Callable

from lazyimport.errors import StoreDenied, StoreError, StoreUnavailable
from lazyimport.stores.attempt import NOT_FOUND, UNREACHABLE, Attempt, comes_back
from lazyimport.stores.web_pages import is_page, page_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LOG_IN = (
    "on GKE give the pod's service account access by workload identity (in a pod's "
    "first seconds its metadata server may not answer yet), elsewhere run 'gcloud auth "
    "application-default login' or set GOOGLE_APPLICATION_CREDENTIALS"
)
_GRANT = (
    "reading takes roles/storage.objectViewer on the bucket, publishing "
    "roles/storage.objectCreator beside it, deleting roles/storage.objectUser"
)
#: What errors of urllib.parse are about.
_OF_URLLIB = ("netloc", "IPv6", "Port", "URL")

_UNAUTHORIZED = 401
#: "Not found", and "gone", which a dropped upload may also get.
_GONE = {NOT_FOUND, 410}


class WebPage(Exception):
    """An answer for people: its type *kind*, and *data*, how it begins."""

    def __init__(self, kind: str, data: bytes) -> None:
        super().__init__(kind, data)
        self.kind = kind
        self.data = data


def refuse_page(answer: Any, data: Callable[[], bytes]) -> None:
    """Raise WebPage if *answer*, of requests, is none of the service's.

    *data* returns how it begins.
    """
    headers = answer.headers
    kind = headers.get("Content-Type", "")
    # An object may be a page, too.
    if is_page(kind, b"<") and "X-Goog-Generation" not in headers:
        raise WebPage(kind, data())


def may_be_repeated(error: Exception) -> bool:
    """Return whether a request that failed so may be sent again."""
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
        return comes_back(response.status_code) or _is_damaged(response.text)
    if isinstance(error, RequestException):
        return isinstance(error, (ChunkedEncodingError, NoConnection, Timeout))
    return isinstance(error, (ConnectionError, HTTPError, TransportError))


def explain(
    attempt: Attempt,
    error: Exception,
    timeout: float,
    has_bucket: Callable[[], bool],
) -> StoreError | None:
    """Return lazyimport's error for one of the library; None for any other.

    *timeout* is how many seconds the attempt had; *has_bucket* asks the service.
    """
    if isinstance(error, ModuleNotFoundError):
        return attempt.not_installed("google-cloud-storage", error)
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    if (page := _page_in(error)) is not None:
        advice = "see where the proxies lead, and STORAGE_EMULATOR_HOST if it is set"
        return page_error(attempt, *page, advice)
    what = _reason(error)
    if isinstance(error, GoogleAPICallError):
        return _explain_answer(attempt, error, what, has_bucket)
    if type(error).__name__ == "DataCorruption":  # its module changed with 3.0
        return attempt.damaged(what)
    if isinstance(error, RetryError):
        what = f"gave up after {timeout:g} s ({_reason(error.cause or error)})"
        return attempt.error(StoreUnavailable, what, UNREACHABLE)
    if isinstance(error, GoogleAuthError):
        if _may_pass(error):
            return attempt.error(StoreUnavailable, what, UNREACHABLE)
        return attempt.error(StoreDenied, what, _LOG_IN)
    if isinstance(error, ValueError):
        return _explain_value(attempt, error, what)
    if isinstance(error, (RequestException, HTTPError, ConnectionError, TimeoutError)):
        return attempt.error(StoreUnavailable, what, UNREACHABLE)
    return None


def _explain_value(attempt: Attempt, error: ValueError, what: str) -> StoreError | None:
    """Return the error for one of the upload, of requests or of urllib.parse."""
    from requests.exceptions import RequestException

    if "unexpected state" in what:
        # The service stored less of a piece than was sent, which it may.
        what = "the upload lost its place"
        return attempt.error(StoreUnavailable, what, "try again")
    if isinstance(error, (RequestException, UnicodeError)) or any(
        word in what for word in _OF_URLLIB
    ):
        attempt.hide = True  # it has a part of the address, and so of a password
        what = f"the client cannot go on ({type(error).__name__})"
        advice = "see whether STORAGE_EMULATOR_HOST and the proxies are addresses"
        return attempt.error(StoreError, what, advice)
    return None


def _page_in(error: Exception) -> tuple[str, bytes] | None:
    """Return type and beginning of the page that came as an answer, or None."""
    if isinstance(error, WebPage):
        return error.kind, error.data
    said = str(getattr(error, "doc", "")).encode()  # in place of JSON
    return ("", said) if is_page("", said) else None


def _explain_answer(
    attempt: Attempt, error: Any, reason: str, has_bucket: Callable[[], bool]
) -> StoreError:
    """Return the error for an answer with an HTTP status other than success."""
    what = f"Cloud Storage answered {error.code}, {reason}"
    if "match calculated" in reason or _is_damaged(reason):
        return attempt.damaged(reason)
    if error.code in _GONE:
        if attempt.verb == "list" or not _says_bucket(reason, has_bucket):
            return attempt.store_missing(what)
        if attempt.verb in {"store", "replace"}:  # the unfinished upload
            return attempt.error(StoreUnavailable, what, "try again")
        return attempt.key_missing(what)
    access = _LOG_IN if error.code == _UNAUTHORIZED else _GRANT
    return attempt.answered(error.code, what, access)


def _is_damaged(answer: str) -> bool:
    """Whether a part of an upload was refused because its checksum does not hold."""
    return any(code in answer for code in ("BadDigest", "CrcMismatch", "InvalidDigest"))


def _says_bucket(reason: str, has_bucket: Callable[[], bool]) -> bool:
    """Return whether the bucket is there, given the text of an answer 404."""
    if "No such object" in reason:
        return True
    # Emulators and proxies have words of their own.
    return "bucket does not exist" not in reason and has_bucket()


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
            import re  # a fetcher starts without it

            text = response.text
            xml = re.search(r"<Code>(.*?)</Code>\s*<Message>(.*?)</Message>", text)
            text = ": ".join(xml.groups()) if xml else text
    return " ".join(str(text or error).split())
