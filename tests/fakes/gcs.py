"""A small and strict stand-in for Google Cloud Storage, for tests.

It speaks as much of the JSON API as the google-cloud-storage library uses for
objects, and of the XML API what uploads in parts take (`tests.fakes.gcs_parts`), and
keeps the promises of the service: preconditions, checksums in both directions, ranges,
pages, the order of listings. It refuses everything that it does not know, even an
unknown parameter, so that no test passes because something was ignored. ::

    with FakeGcs(buckets=["b"]) as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)  # or fake.environ
        fake.objects["b/key"] = b"content"
        fake.fail(2, 503, only="object.media")
        ...
        assert fake.requests["object.media"] == 3
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import re
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.fakes.gcs_answers import NO_BUCKET, Answer, Refusal, Request, crc32c, flipped
from tests.fakes.gcs_parts import PartsApi, error_of, route

#: every piece of an upload but the last is a multiple of this
PIECE = 256 << 10

#: the parameters of each operation, beside those in `COMMON`
PARAMETERS = {
    "bucket.get": {"projection"},
    "object.delete": {"generation", "ifGenerationMatch", "ifMetagenerationMatch"},
    "object.get": {"generation", "projection", "ifGenerationMatch"},
    "object.insert": {"uploadType", "name", "ifGenerationMatch"},
    "object.list": {"prefix", "pageToken", "maxResults", "projection"},
    "object.media": {"alt", "generation", "ifGenerationMatch"},
    "parts.cancel": {"uploadId"},
    "parts.finish": {"uploadId"},
    "parts.list": {"uploads", "prefix", "key-marker", "upload-id-marker"},
    "parts.look": {"uploadId", "part-number-marker"},
    "parts.send": {"partNumber", "uploadId"},
    "parts.start": {"uploads"},
    "token": set(),
    "upload.cancel": {"uploadType", "upload_id"},
    "upload.piece": {"uploadType", "upload_id"},
    "upload.start": {"uploadType", "name", "ifGenerationMatch"},
}
COMMON = {"fields", "prettyPrint"}
PERMISSIONS = {
    "bucket.get": "storage.buckets.get",
    "object.delete": "storage.objects.delete",
    "object.get": "storage.objects.get",
    "object.insert": "storage.objects.create",
    "object.list": "storage.objects.list",
    "object.media": "storage.objects.get",
    "parts.cancel": "storage.multipartUploads.abort",
    "parts.finish": "storage.multipartUploads.create",
    "parts.list": "storage.multipartUploads.list",
    "parts.look": "storage.multipartUploads.listParts",
    "parts.send": "storage.multipartUploads.create",
    "parts.start": "storage.multipartUploads.create",
    "upload.cancel": "storage.objects.create",
    "upload.piece": "storage.objects.create",
    "upload.start": "storage.objects.create",
}
REASONS = {
    400: "invalid",
    401: "required",
    403: "forbidden",
    404: "notFound",
    408: "uploadBrokenConnection",
    411: "required",
    412: "conditionNotMet",
    416: "requestedRangeNotSatisfiable",
    429: "rateLimitExceeded",
    500: "internalError",
    503: "backendError",
}
CONDITION = "At least one of the pre-conditions you specified did not hold."


@dataclass(frozen=True)
class Stored:
    """One generation of an object."""

    data: bytes
    generation: int
    modified: float
    content_type: str = "application/octet-stream"
    in_parts: bool = False

    @property
    def crc32c(self) -> str:
        return crc32c(self.data)

    @property
    def md5(self) -> str:
        return base64.b64encode(hashlib.md5(self.data).digest()).decode()

    @property
    def etag(self) -> str:
        return base64.b64encode(self.generation.to_bytes(8, "big")).decode()


@dataclass
class Upload:
    """A resumable upload; ``done`` is its last answer."""

    bucket: str
    name: str
    metadata: dict[str, Any]
    query: dict[str, str]
    size: int | None
    data: bytearray = field(default_factory=bytearray)
    done: Answer | None = None


@dataclass
class Fault:
    """The next ``times`` requests of operations that begin with ``only`` go wrong."""

    kind: str
    times: int
    only: str
    status: int = 0
    at: int = 0
    seconds: float = 0.0


class Objects(MutableMapping[str, bytes]):
    """The contents by ``bucket/name``; writing here changes what the server has."""

    def __init__(self, fake: FakeGcs) -> None:
        self._fake = fake

    def __getitem__(self, path: str) -> bytes:
        bucket, _, name = path.partition("/")
        return self._fake.buckets[bucket][name].data

    def __setitem__(self, path: str, data: bytes) -> None:
        bucket, _, name = path.partition("/")
        with self._fake.lock:
            self._fake.store(bucket, name, data)

    def __delitem__(self, path: str) -> None:
        bucket, _, name = path.partition("/")
        del self._fake.buckets[bucket][name]

    def __iter__(self) -> Iterator[str]:
        for bucket, names in sorted(self._fake.buckets.items()):
            yield from (f"{bucket}/{name}" for name in sorted(names))

    def __len__(self) -> int:
        return sum(map(len, self._fake.buckets.values()))


class FakeGcs(PartsApi):
    """The service on a port of this machine, while the ``with`` block lasts.

    ``objects``
        the contents by ``bucket/name``, to read and to set up,
    ``requests``
        how often each operation of `PARAMETERS` was requested, even if refused,
    ``sent``, ``received``
        bytes of content sent and received,
    ``denied``
        the permissions (``storage.objects.get``) that are denied with 403,
    ``anonymous``
        whether every request is denied with 401,
    ``hashes``
        whether answers with content have checksums,
    ``ranges``
        whether a request for a range gets the range, or the whole object,
    ``conditions_at_start``
        whether a condition is checked before a resumable upload begins, or, as the
        service has also done, when the last piece has arrived
        (https://github.com/googleapis/google-cloud-java/issues/201),
    ``page``
        the number of objects in a page of a listing,
    ``each``, ``delay``
        bytes a second that a connection takes, and seconds before an answer.
    """

    def __init__(self, buckets: Iterable[str] = ("bucket",)) -> None:
        super().__init__()
        self.buckets: dict[str, dict[str, Stored]] = {name: {} for name in buckets}
        self.uploads: dict[str, Upload] = {}
        self.objects = Objects(self)
        self.requests: Counter[str] = Counter()
        self.sent = 0
        self.received = 0
        self.denied: set[str] = set()
        self.anonymous = False
        self.hashes = True
        self.ranges = True
        self.conditions_at_start = True
        self.page = 1000
        self.each = 0.0
        self.delay = 0.0
        self.lock = threading.RLock()
        self.closing = threading.Event()
        self._faults: list[Fault] = []
        self._generations = itertools.count(int(time.time() * 1e6))
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> FakeGcs:
        handler = type("BoundHandler", (Handler,), {"fake": self})
        self._server = Server(("127.0.0.1", 0), handler)
        threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        ).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def environ(self) -> dict[str, str]:
        """The variables that point the library to this server."""
        return {"STORAGE_EMULATOR_HOST": self.url, "NO_PROXY": "127.0.0.1"}

    # Faults. "only" is the beginning of the names of operations.

    def fail(self, times: int = 1, status: int = 503, *, only: str = "") -> None:
        """Answer with *status* and do nothing; 0 breaks the connection."""
        self._faults.append(Fault("fail", times, only, status))

    def lose(self, times: int = 1, status: int = 503, *, only: str = "") -> None:
        """Do what is requested, but answer with *status*."""
        self._faults.append(Fault("lose", times, only, status))

    def hang(self, times: int = 1, *, only: str = "") -> None:
        """Do not answer as long as the server runs."""
        self._faults.append(Fault("hang", times, only))

    def corrupt(self, times: int = 1) -> None:
        """Send content with one wrong byte."""
        self._faults.append(Fault("corrupt", times, "object.media"))

    def truncate(self, times: int = 1, *, at: int = 0) -> None:
        """Break the connection after *at* bytes of content."""
        self._faults.append(Fault("truncate", times, "object.media", at=at))

    def drip(self, times: int = 1, *, seconds: float) -> None:
        """Send content in drops of 1 KiB, with *seconds* in between."""
        self._faults.append(Fault("drip", times, "object.media", seconds=seconds))

    def damage(self, times: int = 1, *, only: str = "") -> None:
        """Change one byte of content that arrives, before its checksum is checked."""
        self._faults.append(Fault("damage", times, only))

    def rot(self, times: int = 1) -> None:
        """Change one byte of an upload in pieces after its checksum is checked."""
        self._faults.append(Fault("rot", times, "upload.piece"))

    def keep_less(self, times: int = 1) -> None:
        """Keep only the first 256 KiB of a piece of an upload, and answer so."""
        self._faults.append(Fault("keep_less", times, "upload.piece"))

    def break_off(self, times: int = 1, *, at: int, only: str = "parts.send") -> None:
        """Break the connection after *at* bytes of content have arrived."""
        self._faults.append(Fault("break_off", times, only, at=at))

    def fault(self, kind: str, operation: str) -> Fault | None:
        with self.lock:
            for fault in self._faults:
                if (
                    fault.kind == kind
                    and fault.times > 0
                    and operation.startswith(fault.only)
                ):
                    fault.times -= 1
                    return fault
        return None

    def store(
        self,
        bucket: str,
        name: str,
        data: bytes,
        content_type: str = "application/octet-stream",
        *,
        in_parts: bool = False,
    ) -> Stored:
        number, now = next(self._generations), time.time()
        stored = Stored(bytes(data), number, now, content_type, in_parts)
        self.buckets[bucket][name] = stored
        return stored

    # The operations, each called with the lock held.

    def bucket_get(self, request: Request) -> Answer:
        self._bucket(request)
        name = request.bucket
        resource = {"kind": "storage#bucket", "id": name, "name": name}
        return as_json(resource, request.query)

    def object_get(self, request: Request) -> Answer:
        stored = self._existing(request)
        return as_json(resource_of(request.bucket, request.name, stored), request.query)

    def object_media(self, request: Request) -> Answer:
        stored = self._existing(request)
        size = len(stored.data)
        headers = [
            ("Content-Type", stored.content_type),
            ("Accept-Ranges", "bytes"),
            ("ETag", stored.etag),
            ("Last-Modified", formatdate(stored.modified, usegmt=True)),
            ("X-Goog-Generation", str(stored.generation)),
            ("X-Goog-Metageneration", "1"),
            ("X-Goog-Storage-Class", "STANDARD"),
            ("X-Goog-Stored-Content-Encoding", "identity"),
            ("X-Goog-Stored-Content-Length", str(size)),
        ]
        if self.hashes:
            headers.append(("X-Goog-Hash", f"crc32c={stored.crc32c}"))
            if not stored.in_parts:
                headers.append(("X-Goog-Hash", f"md5={stored.md5}"))
        status, body = 200, stored.data
        asked = request.headers.get("range")
        if asked is not None and self.ranges:
            status = 206
            start, stop = range_of(asked, size)
            body = body[start:stop]
            headers.append(("Content-Range", f"bytes {start}-{stop - 1}/{size}"))
        if body and self.fault("corrupt", "object.media"):
            body = flipped(body)
        answer = Answer(status, body, headers)
        if fault := self.fault("truncate", "object.media"):
            answer.cut = fault.at
        if fault := self.fault("drip", "object.media"):
            answer.drip = fault.seconds
        self.sent += len(body) if answer.cut is None else answer.cut
        return answer

    def object_list(self, request: Request) -> Answer:
        bucket = self._bucket(request)
        prefix = request.query.get("prefix", "")
        most = int(request.query.get("maxResults", "1000"))
        if most <= 0:
            raise Refusal(400, f"Invalid value for maxResults: {most}")
        names = sorted(
            (name for name in bucket if name.startswith(prefix)), key=str.encode
        )
        if token := request.query.get("pageToken"):
            after = base64.urlsafe_b64decode(token)
            names = [name for name in names if name.encode() > after]
        names, more = names[: min(most, self.page)], len(names) > min(most, self.page)
        listing: dict[str, Any] = {"kind": "storage#objects"}
        if more:
            token = base64.urlsafe_b64encode(names[-1].encode()).decode()
            listing["nextPageToken"] = token
        if names:
            listing["items"] = [
                resource_of(request.bucket, name, bucket[name]) for name in names
            ]
        return as_json(listing, request.query)

    def object_delete(self, request: Request) -> Answer:
        self._existing(request)
        del self.buckets[request.bucket][request.name]
        return Answer(204)

    def object_insert(self, request: Request) -> Answer:
        self._bucket(request)
        if request.query["uploadType"] == "media":
            metadata: dict[str, Any] = {"name": request.query["name"]}
            data, content_type = request.body, request.headers.get("content-type", "")
        else:
            metadata, data, content_type = multipart(request)
        self.received += len(data)
        name = metadata.get("name") or request.query.get("name")
        if not name:
            raise Refusal(400, "Required")
        if data and self.fault("damage", "object.insert"):
            data = flipped(data)
        return self._finish(request.bucket, name, data, metadata, request, content_type)

    def token(self, request: Request) -> Answer:
        """Give a token to anybody; ``token_uri`` of a service account is url/token."""
        token = {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}
        return as_json(token, {})

    def upload_start(self, request: Request) -> Answer:
        self._bucket(request)
        metadata: dict[str, Any] = json.loads(request.body or b"{}")
        name = metadata.get("name") or request.query.get("name")
        if not name:
            raise Refusal(400, "Required")
        if self.conditions_at_start:
            self._conditions(request.query, self.buckets[request.bucket].get(name))
        declared = request.headers.get("x-upload-content-length")
        key = base64.urlsafe_b64encode(str(next(self._generations)).encode()).decode()
        self.uploads[key] = Upload(
            request.bucket,
            name,
            metadata,
            dict(request.query),
            int(declared) if declared else None,
        )
        query = urllib.parse.urlencode({"uploadType": "resumable", "upload_id": key})
        bucket = urllib.parse.quote(request.bucket)
        location = f"{self.url}/upload/storage/v1/b/{bucket}/o?{query}"
        return Answer(200, b"", [("Location", location), ("X-GUploader-UploadID", key)])

    def upload_piece(self, request: Request) -> Answer:
        upload = self._upload(request)
        if upload.done is not None:
            return upload.done
        asked = request.headers.get("content-range", "")
        match = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", asked)
        if not match:
            raise Refusal(400, f"Failed to parse Content-Range header: {asked!r}")
        start, last, total = match.groups()
        if start is not None:
            self._keep(upload, request, int(start), int(last), last_piece=total != "*")
        if total != "*" and upload.size not in (None, int(total)):
            raise Refusal(400, f"Invalid size {total}: {upload.size} was declared.")
        if total == "*" or len(upload.data) < int(total):
            kept = len(upload.data)
            headers = [("Range", f"bytes=0-{kept - 1}")] if kept else []
            return Answer(308, b"", headers)
        data = bytes(upload.data)
        if data and self.fault("damage", "upload.piece"):
            data = flipped(data)
        upload.done = self._finish(
            upload.bucket, upload.name, data, upload.metadata, request, "", upload.query
        )
        return upload.done

    def upload_cancel(self, request: Request) -> Answer:
        self._upload(request)
        del self.uploads[request.query["upload_id"]]
        return Answer(499)

    def _keep(
        self,
        upload: Upload,
        request: Request,
        start: int,
        last: int,
        *,
        last_piece: bool,
    ) -> None:
        body = request.body
        if len(body) != last - start + 1:
            raise Refusal(400, "Content-Range does not fit the length of the body.")
        final = last_piece and last + 1 == int(
            request.headers["content-range"].rpartition("/")[2]
        )
        if len(body) % PIECE and not final:
            raise Refusal(400, f"Invalid request. A piece is a multiple of {PIECE}.")
        have = len(upload.data)
        if start > have or body[: have - start] != upload.data[start : last + 1]:
            raise Refusal(400, f"Invalid request. Expected to go on at byte {have}.")
        self.received += len(body)
        new = body[have - start :]
        if self.fault("keep_less", "upload.piece"):
            new = new[:PIECE]
        upload.data += new

    def _finish(
        self,
        bucket: str,
        name: str,
        data: bytes,
        metadata: dict[str, Any],
        request: Request,
        content_type: str,
        query: dict[str, str] | None = None,
    ) -> Answer:
        hashes = dict(
            part.strip().split("=", 1)
            for part in request.headers.get("x-goog-hash", "").split(",")
            if part
        )
        md5 = base64.b64encode(hashlib.md5(data).digest()).decode()
        for label, given, actual in (
            ("CRC32C", metadata.get("crc32c"), crc32c(data)),
            ("CRC32C", hashes.get("crc32c"), crc32c(data)),
            ("MD5 hash", metadata.get("md5Hash"), md5),
            ("MD5 hash", hashes.get("md5"), md5),
        ):
            if given not in (None, actual):
                raise Refusal(
                    400,
                    f'Provided {label} "{given}" doesn\'t match calculated {label} '
                    f'"{actual}".',
                )
        conditions = request.query if query is None else query
        self._conditions(conditions, self.buckets[bucket].get(name))
        if data and self.fault("rot", request.operation):
            data = flipped(data)
        kind = metadata.get("contentType") or content_type or "application/octet-stream"
        stored = self.store(bucket, name, data, kind)
        return as_json(resource_of(bucket, name, stored), {})

    def _bucket(self, request: Request) -> dict[str, Stored]:
        try:
            return self.buckets[request.bucket]
        except KeyError:
            raise Refusal(404, NO_BUCKET) from None

    def _existing(self, request: Request) -> Stored:
        stored = self._bucket(request).get(request.name)
        generation = request.query.get("generation")
        if stored is None or generation not in (None, str(stored.generation)):
            raise Refusal(404, f"No such object: {request.bucket}/{request.name}")
        self._conditions(request.query, stored)
        return stored

    def _conditions(self, query: dict[str, str], stored: Stored | None) -> None:
        wanted = query.get("ifGenerationMatch")
        if wanted is not None and int(wanted) != (stored.generation if stored else 0):
            raise Refusal(412, CONDITION)
        if query.get("ifMetagenerationMatch") not in (None, "1"):
            raise Refusal(412, CONDITION)

    def _upload(self, request: Request) -> Upload:
        try:
            return self.uploads[request.query["upload_id"]]
        except KeyError:
            raise Refusal(404, "Not Found") from None


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class Handler(BaseHTTPRequestHandler):
    fake: FakeGcs
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing; ``FakeGcs.requests`` has the record."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_GET  # noqa: N815

    def _serve(self) -> None:
        fake = self.fake
        operation = "unknown"
        try:
            request = self._request()
            operation = request.operation
            with fake.lock:
                fake.requests[operation] += 1
            if fake.fault("hang", operation):
                fake.closing.wait()
                self.close_connection = True
                return
            if fault := fake.fault("fail", operation):
                self._fail(fault)
            time.sleep(fake.delay)
            self._permit(operation)
            call: Callable[[Request], Answer] = getattr(
                fake, operation.replace(".", "_")
            )
            lost = fake.fault("lose", operation)
            with fake.lock:
                answer = call(request)
            if lost:
                self._fail(lost)
        except Refusal as refusal:
            if refusal.status == 0:
                self.close_connection = True
                return
            if operation.startswith("parts."):
                answer = error_of(refusal)
            else:
                answer = refused(refusal, plain=operation == "object.media")
        self._send(answer)

    def _fail(self, fault: Fault) -> None:
        text = "We encountered an internal error. Please try again."
        raise Refusal(fault.status, text)

    def _permit(self, operation: str) -> None:
        if operation == "token":
            return
        permission = PERMISSIONS[operation]
        tail = (
            f"have {permission} access to the Google Cloud Storage object. "
            f"Permission '{permission}' denied on resource (or it may not exist)."
        )
        if self.fake.anonymous:
            raise Refusal(401, f"Anonymous caller does not {tail}")
        if permission in self.fake.denied:
            raise Refusal(403, f"tester@example.com does not {tail}")

    def _request(self) -> Request:
        headers = {name.lower(): value for name, value in self.headers.items()}
        path, _, text = self.path.partition("?")
        text = re.sub(r"^uploads(?=&|$)", "uploads=", text)
        pairs = urllib.parse.parse_qsl(
            text, keep_blank_values=True, strict_parsing=bool(text)
        )
        query = dict(pairs)
        operation, bucket, name = self._route(path, query)
        body = b""
        if self.command in {"POST", "PUT", "PATCH"}:
            if "content-length" not in headers:
                self.close_connection = True
                raise Refusal(411, "Length Required")
            length = int(headers["content-length"])
            if fault := self.fake.fault("break_off", operation):
                self.rfile.read(min(fault.at, length))
                self.fake.requests[operation] += 1
                raise Refusal(0, "")
            body = self._receive(length)
        unknown = set(query) - PARAMETERS[operation] - COMMON
        if unknown or len(query) != len(pairs):
            raise Refusal(400, f"Unknown or repeated parameters: {unknown or pairs}")
        return Request(operation, bucket, name, query, headers, body)

    def _receive(self, length: int) -> bytes:
        if not self.fake.each:
            return self.rfile.read(length)
        pieces, free = [], time.monotonic()
        for start in range(0, length, 1 << 18):
            pieces.append(self.rfile.read(min(1 << 18, length - start)))
            free = max(free, time.monotonic() - 0.01) + len(pieces[-1]) / self.fake.each
            time.sleep(max(free - time.monotonic(), 0))
        return b"".join(pieces)

    def _route(self, path: str, query: dict[str, str]) -> tuple[str, str, str]:
        if (self.command, path) == ("POST", "/token"):
            return "token", "", ""
        if found := route(self.command, path, query):
            return found
        match = re.fullmatch(
            r"(/upload|/download)?/storage/v1/b/([^/]+)(/o(?:/([^/]+))?)?", path
        )
        if not match:
            raise Refusal(404, "Not Found")
        side, bucket, objects, name = match.groups()
        method, kind = self.command, query.get("uploadType")
        media = "media" if query.get("alt") == "media" or side else "get"
        routes = {
            ("GET", False, False): "bucket.get",
            ("GET", True, False): "object.list",
            ("GET", True, True): f"object.{media}",
            ("DELETE", True, True): "object.delete",
        }
        uploads = {
            ("POST", "media"): "object.insert",
            ("POST", "multipart"): "object.insert",
            ("POST", "resumable"): "upload.start",
            ("PUT", "resumable"): "upload.piece",
            ("DELETE", "resumable"): "upload.cancel",
        }
        if side == "/upload":
            operation = uploads.get((method, kind or "")) if not name else None
        else:
            operation = routes.get((method, bool(objects), bool(name)))
        if operation is None or (side == "/download" and operation != "object.media"):
            raise Refusal(404, "Not Found")
        unquote = urllib.parse.unquote
        return operation, unquote(bucket), unquote(name or "", errors="strict")

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        body = answer.body
        if answer.cut is not None:
            body = body[: answer.cut]
            self.close_connection = True
        if not answer.drip:
            self.wfile.write(body)
            return
        for start in range(0, len(body), 1024):
            self.wfile.write(body[start : start + 1024])
            self.wfile.flush()
            if self.fake.closing.wait(answer.drip):
                return


def refused(refusal: Refusal, *, plain: bool) -> Answer:
    """Return the error in the form of the service: plain text for content."""
    if plain:
        body, kind = refusal.message.encode(), "text/html; charset=UTF-8"
    else:
        reason = REASONS.get(refusal.status, "invalid")
        error = {
            "code": refusal.status,
            "message": refusal.message,
            "errors": [
                {"message": refusal.message, "domain": "global", "reason": reason}
            ],
        }
        body = json.dumps({"error": error}).encode()
        kind = "application/json; charset=UTF-8"
    return Answer(refusal.status, body, [*refusal.headers, ("Content-Type", kind)])


def as_json(resource: dict[str, Any], query: dict[str, str]) -> Answer:
    """Return *resource*, or those of its fields that were requested."""
    if mask := query.get("fields"):
        resource = masked(resource, mask)
    headers = [("Content-Type", "application/json; charset=UTF-8")]
    return Answer(200, json.dumps(resource).encode(), headers)


def masked(resource: dict[str, Any], mask: str) -> dict[str, Any]:
    """Apply a mask such as ``items(name,size),nextPageToken``."""
    if not re.fullmatch(r"\w+(\([\w,]+\))?(,\w+(\([\w,]+\))?)*", mask):
        raise Refusal(400, f"Invalid field selection {mask}")
    kept: dict[str, Any] = {}
    for name, inner in re.findall(r"(\w+)(?:\(([\w,]+)\))?", mask):
        if name not in resource:
            continue
        kept[name] = resource[name]
        if inner:
            names = inner.split(",")
            kept[name] = [
                {part: item[part] for part in names if part in item}
                for item in resource[name]
            ]
    return kept


def resource_of(bucket: str, name: str, stored: Stored) -> dict[str, Any]:
    when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(stored.modified))
    when += f".{int(stored.modified * 1000) % 1000:03d}Z"
    return {
        "kind": "storage#object",
        "id": f"{bucket}/{name}/{stored.generation}",
        "name": name,
        "bucket": bucket,
        "generation": str(stored.generation),
        "metageneration": "1",
        "contentType": stored.content_type,
        "storageClass": "STANDARD",
        "size": str(len(stored.data)),
        "crc32c": stored.crc32c,
        **({} if stored.in_parts else {"md5Hash": stored.md5}),
        "etag": stored.etag,
        "timeCreated": when,
        "updated": when,
    }


def multipart(request: Request) -> tuple[dict[str, Any], bytes, str]:
    """Return metadata, content and content type of a multipart upload."""
    match = re.fullmatch(
        r'multipart/related; boundary="([^"]+)"',
        request.headers.get("content-type", ""),
    )
    if not match:
        raise Refusal(400, "Multipart must have two parts")
    mark = b"--" + match[1].encode()
    body = request.body
    end = b"\r\n" + mark + b"--"
    if not body.startswith(mark + b"\r\n") or not body.rstrip(b"\r\n").endswith(end):
        raise Refusal(400, "Missing end boundary in multipart body.")
    first, found, second = body[len(mark) + 2 :].partition(b"\r\n" + mark + b"\r\n")
    if not found:
        raise Refusal(400, "Multipart must have two parts")
    metadata = json.loads(first.partition(b"\r\n\r\n")[2])
    head, _, content = second.partition(b"\r\n\r\n")
    kind = head.decode().partition(":")[2].strip()
    return metadata, content[: content.rindex(end)], kind


def range_of(asked: str, size: int) -> tuple[int, int]:
    """Return the start and the exclusive end of a Range header."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", asked)
    if not match or asked == "bytes=-":
        raise Refusal(400, f"Invalid range {asked!r}")
    first, last = match.groups()
    if first:
        start, stop = int(first), min(int(last) + 1 if last else size, size)
    else:
        start, stop = max(size - int(last), 0), size
    if start >= stop:
        text = "The requested range cannot be satisfied."
        raise Refusal(416, text, ("Content-Range", f"bytes */{size}"))
    return start, stop
