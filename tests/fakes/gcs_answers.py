"""What the APIs of the stand-in for Cloud Storage share: requests and answers."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

import google_crc32c

NO_BUCKET = "The specified bucket does not exist."


@dataclass
class Answer:
    """``cut``: where the connection breaks; ``drip``: seconds between drops."""

    status: int = 200
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    cut: int | None = None
    drip: float = 0.0


class Refusal(Exception):
    """The error that ends the handling of a request."""

    def __init__(
        self, status: int, message: str, *headers: tuple[str, str], code: str = ""
    ) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.headers = list(headers)
        self.code = code  # of the XML API


@dataclass
class Request:
    operation: str
    bucket: str
    name: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes


def crc32c(data: bytes) -> str:
    value: int = google_crc32c.value(data)
    return base64.b64encode(value.to_bytes(4, "big")).decode()


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
