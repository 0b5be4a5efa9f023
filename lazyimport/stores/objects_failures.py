"""Failures of obstore: which error of lazyimport each becomes, by its text."""

from __future__ import annotations

import re
from typing import Any

from lazyimport.errors import StoreDenied, StoreError, StoreUnavailable
from lazyimport.stores.attempt import UNREACHABLE, Attempt
from lazyimport.stores.web_pages import is_page, page_error

#: What the services call a missing bucket or container.
NO_STORE = {"NoSuchBucket", "ContainerNotFound"}
#: What S3 says where the clocks differ by more than 15 minutes.
_SKEWED = {"RequestExpired", "RequestTimeTooSkewed"}

_STATUS = re.compile(r"status code: (\d{3}) ?([^:\n]*)")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_SAID = re.compile(r"<Message>([^<]+)")
_CAUSE = re.compile(r'(?:message|error): "([^"]+)"')
_URL = re.compile(r"\S+://\S+")
#: Azurite answers 206 where the service itself has 416.
_PAST_THE_END = re.compile('StartTooLarge|-1/0"')
_NETWORK = ("HttpError", "reqwest::Error", "hyper::Error")
_ASKED = re.compile(r"performing \w+ (\w+)://([^/\s]+)")
_HTTP = re.compile(r"(https?)://([^/\s]+)")
#: No page that somebody reads is as long as this; the large files of an archive, which
#: may be pages, are longer.
_LONGEST_PAGE = 1 << 20
#: What obstore says of an answer that is none of the service's.
_STRANGE = ("missing from response", "non-partial response", "list response: ")
_BROKEN = {
    "TimedOut": "timed out",
    "Incomplete": "the connection broke",
    "InvalidCertificate": "its certificate is not trusted",
    "InvalidContentType": "it does not speak TLS; its URL may begin with http://",
    "ProxyAuthRequired": "the proxy asks for a user and password",
    "TunnelUnsuccessful": "the proxy does not lead there",
}
#: Where machines in a cloud ask for their credentials.
_METADATA = "169.254.169.254"

_NO_RANGE = 416
#: What obstore says where nothing names the account of an Azure container.
_NO_ACCOUNT = "Account must be specified"


def explain(attempt: Attempt, error: Exception, log_in: str) -> StoreError | None:
    """Return lazyimport's error for one of obstore; None for any other.

    *log_in* says how a person gets access to a store of this kind.
    """
    if isinstance(error, ModuleNotFoundError):
        return attempt.not_installed("obstore", error)
    from obstore.exceptions import BaseError

    if not isinstance(error, (BaseError, FileNotFoundError, ValueError)):
        return None
    text = str(error)
    status = status_of(error)
    what = _reason(text)
    if _METADATA in text:
        what = f"no credentials were found, nor given by this machine ({what})"
        return attempt.error(StoreDenied, what, log_in)
    if code_of(error) in NO_STORE:
        return attempt.store_missing(what)
    if code_of(error) in _SKEWED:
        return attempt.error(StoreDenied, what, "set the clock of this machine")
    if status is not None:
        return attempt.answered(status, what, log_in)
    if any(sign in text for sign in _NETWORK):
        asked = _ASKED.search(text)
        advice = UNREACHABLE + (_by_proxy(*asked.groups()) if asked else "")
        return attempt.error(StoreUnavailable, what, advice)
    advice = "see whether the URL of the store and its options are right"
    if _NO_ACCOUNT in text:
        advice = "add ?account_name=NAME, or set AZURE_STORAGE_ACCOUNT_NAME"
    if any(sign in text for sign in _STRANGE):
        advice += ", and whether a proxy or a page to log in answers in its place"
    return attempt.error(StoreError, what, advice)


def refuse_web_page(attempt: Attempt, answer: Any, data: Any, log_in: str) -> None:
    """Raise StoreError if *answer*, which begins with *data*, is a page for people.

    *log_in* is as in `explain`.
    """
    kind = str(answer.attributes.get("Content-Type", ""))
    if is_page(kind, data) and answer.meta["size"] <= _LONGEST_PAGE:
        advice = "see whether the URL of the store is right, and what a proxy does"
        asked = _HTTP.match(attempt.url)
        advice += _by_proxy(*asked.groups()) if asked else ""
        advice += f"; if it asks who you are, {log_in}"
        raise page_error(attempt, kind, data, advice)


def is_past_the_end(error: Exception) -> bool:
    """Return whether a range was asked for that begins behind the object's end."""
    return status_of(error) == _NO_RANGE or bool(_PAST_THE_END.search(str(error)))


def status_of(error: Exception) -> int | None:
    """Return the HTTP status of the answer, None if there was none."""
    found = _STATUS.search(str(error))
    return int(found[1]) if found else None


def code_of(error: Exception) -> str:
    """Return the service's own word for what went wrong, "" if it gave none."""
    found = _CODE.search(str(error))
    return found[1] if found else ""


def _by_proxy(scheme: str, host: str) -> str:
    """Return which proxy is named for what was asked; "" if there is none."""
    from urllib.request import getproxies_environment, proxy_bypass

    proxies = getproxies_environment()
    name = scheme if scheme in proxies else "all"
    if name not in proxies or proxy_bypass(host):
        return ""
    proxy = re.sub(".*(//|@)", "", proxies[name].rstrip("/"))
    return f"; {name}_proxy sends it through {proxy}, unless no_proxy names the host"


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
    first = _URL.sub("", first.removeprefix("Generic ")).strip()
    why = broken or (cause[1] if cause else "")
    return f"{first} ({why})" if why else first
