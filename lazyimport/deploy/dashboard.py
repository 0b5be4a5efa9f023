"""Ray's dashboard, asked over HTTP, and again while it cannot answer yet."""

from __future__ import annotations

import base64
import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from lazyimport.deploy.errors import DeployError
from lazyimport.deploy.kubectl import Forward
from lazyimport.values import escaped, redact

_LOOPBACK = re.compile(r"https?://(127\.[\d.]+|localhost|\[::1\])([:/]|$)")
_HEADERS = {"Content-Type": "application/json"}
#: Serve itself is started by the first request that needs it.
_SECONDS = 120
#: Bytes that are read of what comes with an error.
_LARGEST = 1 << 16
#: Bytes that a message has of an answer that is none of the dashboard's.
_SHOWN = 80
_SECONDS_BETWEEN = 0.5
#: Seconds after which a lost link may be there again, or a busy dashboard answer.
_SECONDS_OF_SILENCE = 120.0


class _BusyError(DeployError):
    """The dashboard answers, but cannot do it yet: it has just started, or is busy."""

    retryable = True


class Dashboard:
    """The dashboard at *address*, such as ``http://localhost:8265``.

    *token* is sent where one is asked for, else the user and password of the address,
    which are left out of it then. Raises DeployError for what is no address of a
    dashboard; so does every method if it is unreachable or refuses.
    """

    def __init__(self, address: str, token: str | None = None) -> None:
        self.address, self._authorization = _without_password(address)
        if token:
            self._authorization = f"Bearer {token}"
        here = _LOOPBACK.match(self.address)  # no proxy leads there
        proxies = [urllib.request.ProxyHandler({})] if here else []
        self._open = urllib.request.build_opener(*proxies).open

    def ask(
        self, method: str, path: str, value: object = None, until: float = 0
    ) -> Any:
        """Return the answer to a request that sends *value*.

        Asks again while Ray cannot do it yet, until the monotonic clock says *until*,
        and for a while if an answer to a question gets lost.
        """
        try:
            data = None if value is None else json.dumps(value).encode()
        except TypeError as error:
            raise DeployError(
                f"cannot send to {self.address} what is no JSON ({error}): YAML reads a "
                "plain date as such a value, so put it in quotes"
            ) from error
        lost = min(until, time.monotonic() + _SECONDS_OF_SILENCE)
        while True:
            try:
                return self.send(method, path, data)
            except _BusyError:
                if time.monotonic() > until:
                    raise
            except DeployError as error:
                asks = error.retryable and method == "GET"
                if not asks or time.monotonic() > lost:
                    raise
            time.sleep(_SECONDS_BETWEEN)

    def send(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        decode: Callable[[bytes], Any] = json.loads,
    ) -> Any:
        """Return the answer to one request that sends *data*, as *decode* reads it."""
        url = self.address + path
        request = urllib.request.Request(url, data, _HEADERS, method=method)  # noqa: S310 - the scheme was checked
        if self._authorization:  # not for whoever it redirects to
            request.add_unredirected_header("Authorization", self._authorization)
        try:
            with self._open(request, timeout=_SECONDS) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(_LARGEST).decode(errors="replace").strip()
            busy = error.code >= 500 and error.code != HTTPStatus.NOT_IMPLEMENTED
            raise (_BusyError if busy else DeployError)(
                f"Ray at {self.address} refuses ({error.code} {error.reason}): {said}"
            ) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise DeployError(
                f"cannot reach Ray's dashboard at {self.address}: "
                f"{getattr(error, 'reason', error)}; name it with --address or "
                "RAY_DASHBOARD_ADDRESS (its port is 8265, not that of GCS or of the "
                "Ray Client)",
                retryable=True,
            ) from error
        try:
            return decode(text) if text else None
        except (ValueError, RecursionError) as error:
            said = text[:_SHOWN].decode(errors="replace")
            raise DeployError(
                f"what answers at {self.address} is not Ray's dashboard: {said!r}; see "
                "whether a proxy or a page to log in answers in its place, and name the "
                "dashboard with --address or RAY_DASHBOARD_ADDRESS"
            ) from error


def _without_password(address: str) -> tuple[str, str]:
    """Return *address* without user and password, and what authorizes by these."""
    address = address.strip().rstrip("/")
    address = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = None
    # a password that was not escaped ends anywhere
    odd = parts is None or "@" in parts.path or parts.query or parts.fragment
    if parts is None or odd or parts.scheme not in {"http", "https"}:
        raise DeployError(
            f"{escaped(redact(address))} is no address of Ray's dashboard, which is "
            "http://host:8265, with no query; in a password '@' is %40, '/' %2F, '?' "
            "%3F and '#' %23; ray:// is that of the Ray Client"
        )
    user, at, host = parts.netloc.rpartition("@")
    coded = base64.b64encode(unquote_to_bytes(user)).decode()
    return f"{parts.scheme}://{host}{parts.path}", f"Basic {coded}" if at else ""


class ForwardedDashboard(Dashboard):
    """The dashboard to which *forward* leads; its address may change."""

    def __init__(self, forward: Forward, token: str | None = None) -> None:
        super().__init__(forward.address(), token)
        self._forward = forward

    def send(self, *request: Any, **options: Any) -> Any:
        """Return the answer to one request."""
        self.address = self._forward.address()
        answer = super().send(*request, **options)
        self._forward.note_answer()
        return answer
