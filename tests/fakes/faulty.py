"""A bad line to a good service: a proxy that spoils some of the traffic."""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
import struct
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FAULTS", "Faulty"]

#: "reset" breaks the connection, "stall" never answers, "truncate" breaks the
#: connection in the middle of the content, "short" sends the first half as if that
#: were all, "long" promises more than there is; numbers are the status of an answer.
FAULTS = ("429", "500", "503", "reset", "stall", "truncate", "short", "long")


class Faulty:
    """Pass requests on to *upstream*, a *share* of them with one of *faults*.

    The same *seed* spoils the same requests. ``requests`` counts all requests,
    ``faults`` the spoiled ones by kind.
    """

    def __init__(
        self,
        upstream: str,
        *,
        seed: int,
        share: float = 0.3,
        faults: Sequence[str] = FAULTS,
    ) -> None:
        self.upstream = urlsplit(upstream)
        self.requests = 0
        self.faults: Counter[str] = Counter()
        self.closing = threading.Event()
        self._kinds = faults
        self._share = share
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def __enter__(self) -> Faulty:
        handler = type("BoundHandler", (_Handler,), {"faulty": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The URL that leads to *upstream* over the bad line."""
        port = self._server.server_address[1]
        return f"http://127.0.0.1:{port}{self.upstream.path}"

    def choose(self) -> str:
        """Return the fault of the next request, "" for none."""
        with self._lock:
            self.requests += 1
            if self._random.random() >= self._share:
                return ""
            kind = self._random.choice(self._kinds)
            self.faults[kind] += 1
            return kind


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    faulty: Faulty
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing; ``Faulty.faults`` has the record."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.faulty.choose()
        if kind == "reset":
            self._break()
        elif kind == "stall":
            self.faulty.closing.wait()
            self.close_connection = True
        elif kind.isdigit():
            self.send_response(int(kind))
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._pass_on(kind, body)

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET  # noqa: N815

    def _pass_on(self, kind: str, body: bytes) -> None:
        upstream = self.faulty.upstream
        connection = http.client.HTTPConnection(upstream.netloc, timeout=30)
        with contextlib.closing(connection):
            headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
            headers["Host"] = upstream.netloc
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            data = answer.read()
        half = data[: len(data) // 2]
        size, sent = len(data), data
        if kind == "short":
            size, sent = len(half), half
        elif kind == "truncate":
            sent = half
        elif kind == "long":
            size += 1000
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"content-length", "connection", "date", "server"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(sent)
        if size > len(sent):
            self._break()

    def _break(self) -> None:
        self.wfile.flush()
        linger = struct.pack("ii", 1, 0)  # a reset in place of an orderly end
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
