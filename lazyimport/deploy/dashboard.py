"""Ray's dashboard: one question over HTTP, one answer from JSON."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request

from lazyimport.deploy.errors import DeployError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Dashboard"]

#: Serve itself is started by the first request that needs it.
_SECONDS = 120
_SECONDS_BETWEEN = 0.5


class _BusyError(DeployError):
    """The dashboard answers, but cannot do it yet: it has just started, or is busy."""

    retryable = True


class Dashboard:
    """The dashboard at *address*, such as ``http://localhost:8265``.

    *token* is sent with every question. Raises DeployError for what is no address of
    a dashboard.
    """

    def __init__(self, address: str, token: str | None = None) -> None:
        address = address.rstrip("/")
        self.address = address if "://" in address else f"http://{address}"
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        if not self.address.startswith(("http://", "https://")):
            raise DeployError(
                f"{self.address} is no address of Ray's dashboard, which is "
                "http://host:8265; ray:// is that of the Ray Client"
            )

    def ask(
        self, method: str, path: str, value: object = None, until: float = 0
    ) -> Any:
        """Return the answer to a request that sends *value*.

        While Ray says that it cannot do it yet, asks again, up to the time *until*
        of the monotonic clock. Raises DeployError if Ray refuses, is unreachable, or
        *value* is not one of JSON.
        """
        request = self._request(method, path, value)
        while True:
            try:
                return self._send(request)
            except _BusyError:
                if time.monotonic() > until:
                    raise
            time.sleep(_SECONDS_BETWEEN)

    def _request(self, method: str, path: str, value: object) -> urllib.request.Request:
        try:
            data = None if value is None else json.dumps(value).encode()
        except TypeError as error:
            raise DeployError(
                f"cannot send to {self.address} what JSON does not have ({error}): "
                "YAML takes a plain date for one, so put it in quotes"
            ) from error
        return urllib.request.Request(  # noqa: S310 - the scheme was checked
            self.address + path, data, self._headers, method=method
        )

    def _send(self, request: urllib.request.Request) -> Any:
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
                text = answer.read()
            return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            with error:
                said = error.read().decode(errors="replace").strip()
            raise (_BusyError if error.code >= 500 else DeployError)(
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
