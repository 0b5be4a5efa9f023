"""Uploads in parts, as Cloud Storage makes them in its XML API, for `FakeGcs`.

What it does and refuses is what these pages say:

- https://cloud.google.com/storage/docs/multipart-uploads
- https://cloud.google.com/storage/docs/xml-api/post-object-multipart
- https://cloud.google.com/storage/docs/xml-api/put-object-multipart
- https://cloud.google.com/storage/docs/xml-api/post-object-complete
- https://cloud.google.com/storage/docs/xml-api/get-bucket-uploads
- https://cloud.google.com/storage/docs/xml-api/get-object-multipart
- https://cloud.google.com/storage/docs/request-preconditions
- https://cloud.google.com/storage/docs/access-control/iam-xml
- https://cloud.google.com/storage/quotas
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import time
import urllib.parse
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from tests.fakes.gcs_answers import NO_BUCKET, Answer, Refusal, Request, crc32c, flipped

__all__ = ["PartsApi", "error_of", "route"]

#: Bytes of every part but the last at least, and the highest number of one.
SMALLEST = 5 << 20
MOST = 10_000
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
#: Headers that make a request depend on something.
CONDITIONS = ("if-match", "if-none-match", "x-goog-if-generation-match")
CODES = {
    400: "InvalidArgument",
    401: "AuthenticationRequired",
    403: "AccessDenied",
    404: "NoSuchKey",
    411: "MissingContentLength",
    429: "SlowDown",
    500: "InternalError",
    503: "ServiceUnavailable",
}


@dataclass
class Parts:
    """An upload that is not finished: parts by their numbers."""

    bucket: str
    name: str
    kind: str
    begun: float
    parts: dict[int, bytes] = field(default_factory=dict)


def route(method: str, path: str, query: dict[str, str]) -> tuple[str, str, str] | None:
    """Return the operation, the bucket and the object; None for others."""
    if path.startswith(("/storage/v1/", "/upload/", "/download/")):
        return None
    match = re.fullmatch(r"/([^/]+)(?:/([^/]+))?", path)
    operations = {
        ("POST", True, "uploads"): "parts.start",
        ("PUT", True, "uploadId"): "parts.send",
        ("POST", True, "uploadId"): "parts.finish",
        ("DELETE", True, "uploadId"): "parts.cancel",
        ("GET", False, "uploads"): "parts.list",
        ("GET", True, "uploadId"): "parts.look",
    }
    which = "uploads" if "uploads" in query else "uploadId"
    if not match or which not in query:
        return None
    bucket, name = match[1], match[2] or ""
    operation = operations.get((method, bool(name), which))
    unquote = urllib.parse.unquote
    return (operation, unquote(bucket), unquote(name)) if operation else None


def error_of(refusal: Refusal) -> Answer:
    """Return an error in the form of the XML API."""
    code = refusal.code or CODES.get(refusal.status, "InvalidArgument")
    if refusal.message == NO_BUCKET:
        code = "NoSuchBucket"
    text = f"<Code>{code}</Code><Message>{escape(refusal.message)}</Message>"
    return Answer(refusal.status, *_xml(f"<Error>{text}</Error>"))


def _xml(text: str) -> tuple[bytes, list[tuple[str, str]]]:
    head = "<?xml version='1.0' encoding='UTF-8'?>"
    return (head + text).encode(), [("Content-Type", "application/xml; charset=UTF-8")]


class PartsApi:
    """The operations, each called with the lock held.

    ``in_parts``
        the unfinished uploads by their ids,
    ``parts_page``
        the number of them in a page of a listing,
    ``xml``
        whether the service knows these requests at all: emulators do not.
    """

    buckets: dict[str, dict[str, Any]]
    denied: set[str]
    fault: Any
    store: Any
    received: int

    def __init__(self) -> None:
        self.in_parts: dict[str, Parts] = {}
        self.parts_page = 1000
        self.xml = True
        self._ids = itertools.count()

    def parts_start(self, request: Request) -> Answer:
        self._check(request)
        if request.bucket not in self.buckets:
            raise Refusal(404, NO_BUCKET)
        kind = request.headers.get("content-type", "application/octet-stream")
        upload_id = f"upload/{next(self._ids):04}=="
        self.in_parts[upload_id] = Parts(
            request.bucket, request.name, kind, time.time()
        )
        return self._answer(
            "InitiateMultipartUploadResult",
            Bucket=request.bucket,
            Key=request.name,
            UploadId=upload_id,
        )

    def parts_send(self, request: Request) -> Answer:
        self._check(request)
        upload = self._upload_of(request)
        number = int(request.query["partNumber"])
        if not 1 <= number <= MOST:
            raise Refusal(400, "Part number must be an integer between 1 and 10000.")
        data = request.body
        self.received += len(data)
        if data and self.fault("damage", "parts.send"):
            data = flipped(data)
        crc, md5 = crc32c(data), base64.b64encode(hashlib.md5(data).digest()).decode()
        for given in filter(None, request.headers.get("x-goog-hash", "").split(",")):
            name, _, value = given.strip().partition("=")
            if value != {"crc32c": crc, "md5": md5}[name]:
                text = "The CRC32C or MD5 you specified did not match what we received."
                raise Refusal(400, text, code="BadDigest")
        if data and self.fault("rot", "parts.send"):
            data = flipped(data)
        upload.parts[number] = data
        hashes = ("X-Goog-Hash", f"crc32c={crc}"), ("X-Goog-Hash", f"md5={md5}")
        answer = self._answer("")
        answer.headers = [
            ("ETag", f'"{hashlib.md5(request.body).hexdigest()}"'),
            *hashes,
        ]
        return answer

    def parts_finish(self, request: Request) -> Answer:
        self._check(request)
        upload = self._upload_of(request)
        listed = [
            (int(part.findtext("PartNumber") or 0), part.findtext("ETag") or "")
            for part in ET.fromstring(request.body).iter("Part")
        ]
        numbers = [number for number, _ in listed]
        if not numbers or numbers != sorted(set(numbers)):
            raise Refusal(
                400, "Parts are not in ascending order.", code="InvalidPartOrder"
            )
        for number, etag in listed:
            data = upload.parts.get(number)
            if data is None or etag.strip('"') != hashlib.md5(data).hexdigest():
                raise Refusal(
                    400, f"Part {number} is not there so.", code="InvalidPart"
                )
            if len(data) < SMALLEST and number != numbers[-1]:
                raise Refusal(
                    400, f"Part {number} is too small.", code="EntityTooSmall"
                )
        there = upload.name in self.buckets[upload.bucket]
        if there and "storage.objects.delete" in self.denied:
            text = "tester@example.com does not have storage.objects.delete access."
            raise Refusal(403, text)
        data = b"".join(upload.parts[number] for number in numbers)
        if self.fault("rot", "parts.finish"):
            data = flipped(data)
        self.store(upload.bucket, upload.name, data, upload.kind, in_parts=True)
        del self.in_parts[request.query["uploadId"]]
        return self._answer(
            "CompleteMultipartUploadResult", Bucket=upload.bucket, Key=upload.name
        )

    def parts_cancel(self, request: Request) -> Answer:
        self._check(request)
        self._upload_of(request)
        del self.in_parts[request.query["uploadId"]]
        answer = self._answer("")
        answer.status = 204
        return answer

    def parts_list(self, request: Request) -> Answer:
        self._check(request)
        query = request.query
        after = query.get("key-marker", ""), query.get("upload-id-marker", "")
        found = sorted(
            (upload.name, upload_id, upload.begun)
            for upload_id, upload in self.in_parts.items()
            if upload.bucket == request.bucket
            and upload.name.startswith(query.get("prefix", ""))
            and (upload.name, upload_id) > after
        )
        page = found[: self.parts_page]
        items = "".join(
            f"<Upload><Key>{escape(name)}</Key><UploadId>{upload_id}</UploadId><Initiated>"
            + time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(begun))
            + f".{int(begun * 1000) % 1000:03}Z</Initiated></Upload>"
            for name, upload_id, begun in page
        )
        more = len(found) > len(page)
        marks = {}
        if more:
            marks = {"NextKeyMarker": page[-1][0], "NextUploadIdMarker": page[-1][1]}
        return self._answer(
            "ListMultipartUploadsResult",
            items,
            Bucket=request.bucket,
            IsTruncated=str(more).lower(),
            **marks,
        )

    def parts_look(self, request: Request) -> Answer:
        self._check(request)
        upload = self._upload_of(request)
        after = int(request.query.get("part-number-marker", 0))
        found = sorted(number for number in upload.parts if number > after)
        page = found[: self.parts_page]
        items = "".join(
            f"<Part><PartNumber>{number}</PartNumber>"
            f'<ETag>"{hashlib.md5(upload.parts[number]).hexdigest()}"</ETag>'
            f"<Size>{len(upload.parts[number])}</Size></Part>"
            for number in page
        )
        more = len(found) > len(page)
        marks = {"NextPartNumberMarker": str(page[-1])} if more else {}
        return self._answer(
            "ListPartsResult",
            items,
            Bucket=request.bucket,
            Key=request.name,
            UploadId=request.query["uploadId"],
            IsTruncated=str(more).lower(),
            **marks,
        )

    def _check(self, request: Request) -> None:
        if not self.xml:
            raise Refusal(404, "Not Found")
        if any(name in request.headers for name in CONDITIONS):
            text = "Preconditions cannot be used in multipart uploads."
            raise Refusal(400, text, code="NotImplemented")

    def _upload_of(self, request: Request) -> Parts:
        upload = self.in_parts.get(request.query["uploadId"])
        if upload is None or (upload.bucket, upload.name) != (
            request.bucket,
            request.name,
        ):
            text = "The requested upload was not found."
            raise Refusal(404, text, code="NoSuchUpload")
        return upload

    def _answer(self, name: str, inner: str = "", **texts: str) -> Answer:
        if not name:
            return Answer()
        inner += "".join(
            f"<{tag}>{escape(text)}</{tag}>" for tag, text in texts.items()
        )
        return Answer(200, *_xml(f"<{name} xmlns='{NAMESPACE}'>{inner}</{name}>"))
