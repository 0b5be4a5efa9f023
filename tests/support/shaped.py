"""A web server with a round trip, a bandwidth and faults, and what it was asked."""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.services import Quiet, Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Shaped:
    """Serves *folder*: each answer after *delay* seconds, all at *rate* bytes a second.

    One connection gets at most *each* of them. ``moved`` counts bytes and ``requests``
    requests. Without *ranges* it sends whole files only. No byte goes out while ``go``
    is cleared, or once ``most`` bytes have been moved.
    """

    def __init__(
        self,
        folder: Path,
        *,
        delay: float = 0,
        rate: float = 1e12,
        each: float = 1e12,
        ranges: bool = True,
    ) -> None:
        self.folder = folder
        self.delay = delay
        self.rate = rate
        self.each = each
        self.ranges = ranges
        self.moved = 0
        self.requests = 0
        self.most = 1e12
        self.go = threading.Event()
        self.go.set()
        self._lock = threading.Lock()
        self._free = 0.0

    def pay(self, size: int) -> None:
        """Wait until *size* bytes are through the line."""
        with self._lock:
            self.moved += size
            self._free = max(self._free, time.monotonic()) + size / self.rate
            until = self._free
        time.sleep(max(until - time.monotonic(), 0))

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve, and yield the URL."""
        shaped = self

        class Handler(Quiet):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # noqa: N802 - the name that it must have
                shaped.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        with Server(("127.0.0.1", 0), Handler) as server:
            threading.Thread(
                target=server.serve_forever, args=(0.02,), daemon=True
            ).start()
            yield f"http://127.0.0.1:{server.server_address[1]}"
            self.most = 1e12
            self.go.set()
            server.shutdown()

    def answer(self, handler: Quiet) -> None:
        """Answer one request."""
        with self._lock:
            self.requests += 1
        time.sleep(self.delay)
        path = f"{self.folder}{handler.path}"
        if not os.path.isfile(path):
            handler.send_response(404)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        size = os.path.getsize(path)
        start, stop = 0, size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range", ""))
        if asked and self.ranges:
            start, stop = int(asked[1]), int(asked[2] or size - 1) + 1
            stop = min(stop, size)
            handler.send_response(206 if start < stop else 416)
            about = f"{start}-{stop - 1}" if start < stop else "*"
            handler.send_header("Content-Range", f"bytes {about}/{size}")
        else:
            handler.send_response(200)
        handler.send_header("Content-Length", str(max(stop - start, 0)))
        handler.end_headers()
        with open(path, "rb") as file:
            file.seek(start)
            free = time.monotonic()
            while start < stop:
                self.go.wait()
                while self.moved >= self.most:
                    time.sleep(0.01)
                data = file.read(min(1 << 18, stop - start))
                self.pay(len(data))
                free = max(free, time.monotonic() - 0.01) + len(data) / self.each
                time.sleep(max(free - time.monotonic(), 0))
                try:
                    handler.wfile.write(data)
                except OSError:
                    return
                start += len(data)
