"""Artifacts: a zip, wheel or tarball that another tool uploaded, named by its URL.

That is the URL of a store, a key, and options after a ``#``::

    gs://bucket/code/app-<sha256>.zip
    https://host/app.whl#sha256=<sha256>
    file:///mnt/builds/app.tar.gz#subdirectory=backend/src
"""

from __future__ import annotations

import os

from lazyimport.errors import ArchiveMissing, DamagedArchive, KeyMissing, SettingsError
from lazyimport.reporting import SILENT, Reporter
from lazyimport.stores import open_store
from lazyimport.stores.tee import Tee
from lazyimport.values import artifact_suffix, is_hex, is_sha256, redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DIGITS = 64


class Artifact:
    """A container in a store.

    ``url`` names it in messages; ``store`` and ``key``, its file name, find it;
    ``suffix`` is how that ends; ``sha256`` is in hex digits, or None if it is
    unknown; ``subdirectory`` is the part of it to pack, "" to go by what is found.
    """

    __slots__ = ("key", "sha256", "store", "subdirectory", "suffix", "url")

    def __init__(self, text: str) -> None:
        """Take the URL *text* apart; raises SettingsError."""
        address, _, fragment = text.partition("#")
        place, mark, query = address.partition("?")
        folder, slash, name = place.rpartition("/")
        scheme, separator, _ = folder.partition("://")
        if scheme in {"file", "http", "https"} and "%" in name:
            from urllib.parse import unquote

            name = unquote(name, errors="surrogateescape")
        suffix = artifact_suffix(name)
        if not (separator and slash and suffix) or "/" in name:
            raise _no_artifact(text, "it names no file in a store")
        if scheme in {"http", "https"} and query:
            why = "it has a query, as a signed URL that ends soon; name its bucket"
            raise _no_artifact(text, why)
        if folder == "file://":
            folder = "file:///"
        self.url = redact(place)
        self.store = folder + mark + query
        self.key = name
        self.suffix = suffix
        self.subdirectory = ""
        self.sha256 = _sha256_in(name[: -len(suffix)])
        for pair in fragment.split("&") if fragment else ():
            option, _, value = pair.partition("=")
            if option == "sha256" and is_sha256(value):
                self.sha256 = value.lower()
            elif option == "subdirectory" and _stays_inside(value):
                self.subdirectory = value.strip("/")
            else:
                raise _no_artifact(text, "what follows the # is not understood")

    def identity(self, digest: str = "") -> tuple[str, str, str]:
        """Return what distinguishes it from other artifacts.

        That is *digest*, its SHA-256 in hex digits, or where it lies if nobody knows
        that, and how to unpack it.
        """
        where = digest or self.sha256 or f"{self.store} {self.key}"
        return where, self.suffix, self.subdirectory


def is_artifact(text: str) -> bool:
    """Whether *text* names a zip, wheel or tarball, and not a folder called so."""
    path = text.partition("#")[0].partition("?")[0]
    return bool(artifact_suffix(path)) and not os.path.isdir(text)


def artifact_url(text: str) -> str:
    """Return the URL of an artifact, for which *text* may be the path of a file."""
    if "://" in text:
        return text
    path, mark, options = text.rpartition("#") if "#" in text else (text, "", "")
    path = os.path.abspath(os.path.expanduser(path))
    for character in "%#?":
        path = path.replace(character, f"%{ord(character):02X}")
    return f"file://{path}{mark}{options}"


def download(
    artifact: Artifact, path: str, timeout: float, reporter: Reporter = SILENT
) -> tuple[int, str]:
    """Download *artifact* to *path*; return its size and its SHA-256 in hex digits.

    *reporter* shows how many bytes have come.

    Raises ArchiveMissing, StoreError, or DamagedArchive for another SHA-256 than
    the artifact should have.
    """
    import hashlib

    store = open_store(artifact.store, timeout=timeout)
    digest = hashlib.sha256()
    text = f"reading {artifact.url}"
    reporter.step(text)

    def tell(data: bytes) -> None:
        digest.update(data)
        reporter.step(text, file.tell(), None, "bytes")

    with open(path, "wb") as file:
        out: Any = Tee(file, tell)
        try:
            size = store.download(artifact.key, out)
        except KeyMissing:
            raise ArchiveMissing(
                f"there is no artifact {artifact.url}; correct LAZYIMPORT_ARTIFACT or "
                "artifact=, or upload it there",
                hash=artifact.sha256 or "",
                store=store.url,
            ) from None
    actual = digest.hexdigest()
    if artifact.sha256 not in {None, actual}:
        raise DamagedArchive(
            f"the artifact {artifact.url} has SHA-256 {actual}, not "
            f"{artifact.sha256}; upload it again under its name, or, if the digits in "
            "the name are no SHA-256 of the file, pass that as #sha256=... after the "
            "URL or in LAZYIMPORT_ARTIFACT_SHA256",
            member=artifact.key,
            expected=artifact.sha256,
            actual=actual,
        )
    return size, actual


def _sha256_in(stem: str) -> str | None:
    """Return the SHA-256 that *stem*, a file's name without suffix, ends with."""
    digits = stem[-_DIGITS:]
    before = stem[-_DIGITS - 1 : -_DIGITS]
    if not is_sha256(digits) or (before and is_hex(before)):
        return None
    return digits.lower()


def _stays_inside(path: str) -> bool:
    return bool(path.strip("/")) and ".." not in path.split("/")


def _no_artifact(text: str, why: str) -> SettingsError:
    shown = redact(text)
    return SettingsError(
        f"not an artifact: {shown!r} ({why}; an artifact is the URL of a .zip, .whl, "
        ".tar.gz, .tgz or .tar.zst such as gs://bucket/code/app-<sha256>.zip, with "
        "#sha256=... and #subdirectory=... if needed; set LAZYIMPORT_ARTIFACT or pass "
        "artifact=)",
        name="artifact",
        value=shown,
    )
