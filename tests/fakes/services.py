"""Services that others wrote, run on this machine: moto, Azurite, web servers."""

from __future__ import annotations

import base64
import contextlib
import functools
import hmac
import http.server
import logging
import os
import re
import shutil
import subprocess
import threading
import urllib.request
from email.utils import formatdate

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

#: Microsoft's own emulator of Azure Blob Storage: npm install -g azurite
AZURITE = "azurite-blob"
#: The account and the key that every Azurite has, from its documentation.
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """Serve S3 with moto and yield the URL.

    moto may handle another request after it checks a condition and before it writes.
    S3 does both at once, so this handles one request at a time.
    """
    moto = pytest.importorskip("moto.server", reason="needs moto")
    serving = pytest.importorskip("werkzeug.serving")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    inner = moto.create_backend_app("s3")
    lock = threading.Lock()

    def one_at_a_time(environ: dict[str, Any], start_response: Any) -> Any:
        with lock:
            return inner(environ, start_response)

    server = serving.make_server("127.0.0.1", 0, one_at_a_time, threaded=True)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def has_azurite() -> bool:
    return shutil.which(AZURITE) is not None


@contextlib.contextmanager
def azurite(folder: Path) -> Iterator[str]:
    """Serve Azure Blob Storage with Azurite and yield the URL of the account."""
    process = subprocess.Popen(
        [
            *(AZURITE, "--blobPort", "0", "--skipApiVersionCheck", "--silent"),
            *("--inMemoryPersistence", "--disableTelemetry"),
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.search(r"successfully listens on (http://\S+)", line):
                    threading.Thread(target=process.stdout.read, daemon=True).start()
                    yield f"{found[1]}/{AZURITE_ACCOUNT}"
                    return
            pytest.fail("azurite-blob ended before it printed its port")
        finally:
            process.terminate()


def make_container(blobs: str, name: str) -> None:
    """Make a container in Azurite with a Shared Key, since obstore cannot."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    path = f"/{AZURITE_ACCOUNT}/{AZURITE_ACCOUNT}/{name}\nrestype:container"
    canonical = "".join(f"{key}:{value}\n" for key, value in sorted(headers.items()))
    signed = hmac.digest(
        base64.b64decode(AZURITE_KEY),
        ("PUT" + "\n" * 12 + canonical + path).encode(),
        "sha256",
    )
    signature = base64.b64encode(signed).decode()
    headers["Authorization"] = f"SharedKey {AZURITE_ACCOUNT}:{signature}"
    ask("PUT", f"{blobs}/{name}?restype=container", headers)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Python's own web server, which always sends the whole file."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        if not self.instead():
            super().do_GET()

    def instead(self) -> bool:
        """Answer and return True, or return False to leave the answer to Python."""
        return False


class Ranges(Quiet):
    """A web server that can send a part of a file, as most can."""

    def instead(self) -> bool:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        path = self.translate_path(self.path)
        if not asked or not os.path.isfile(path):
            return False
        size = os.path.getsize(path)
        start = int(asked[1])
        stop = min(int(asked[2]) + 1 if asked[2] else size, size)
        if start >= stop:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return True
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        with open(path, "rb") as file:
            file.seek(start)
            self.wfile.write(file.read(stop - start))
        return True


class Portal(Quiet):
    """What stands in the way: it answers everything with a page to log in."""

    def instead(self) -> bool:
        page = b"<!DOCTYPE html>\n<html><title>Please\n sign in</title>" + b"<p>" * 999
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
        return True

    do_PUT = do_POST = do_HEAD = do_DELETE = Quiet.do_GET  # noqa: N815


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextlib.contextmanager
def web_server(folder: Path, handler: type[Quiet] = Quiet) -> Iterator[str]:
    """Serve *folder* and yield the URL."""
    bound = functools.partial(handler, directory=str(folder))
    with Server(("127.0.0.1", 0), bound) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def ask(method: str, url: str, headers: dict[str, str] | None = None) -> bytes:
    """Send a request without using the store under test, and return the answer."""
    request = urllib.request.Request(url, method=method, headers=headers or {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        data: bytes = answer.read()
    return data
