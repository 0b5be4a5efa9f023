"""Artifacts: what another tool uploaded becomes an archive, once for the node.

An artifact is a zip, wheel or tarball, named by URL: a store's, and the key::

    gs://bucket/code/app-<sha256>.zip
    https://host/app.whl#sha256=<sha256>
    file:///mnt/builds/app.tar.gz#subdirectory=backend/src

The cache remembers which archive an artifact was made into::

    <cache>/artifacts/<name>     the archive's hash, for one artifact and Python
    <cache>/staging/             where one is being unpacked; removed by the next
    <cache>/locks/artifacts      held by the process that makes one

With a SHA-256 the artifact cannot change: a process that finds it remembered
asks nobody. Without, every process that starts downloads it, to see what it is
now; those that come while one is at it share what that one gets, and it is made
into an archive again only if it has changed.
"""

from __future__ import annotations

import os
import sys

from lazyimport.cache.layout import ARTIFACTS
from lazyimport.cache.node import NodeCache
from lazyimport.errors import (
    ArchiveError,
    ArchiveMissing,
    CacheError,
    DamagedArchive,
    KeyMissing,
    SettingsError,
)
from lazyimport.files import AtomicFile
from lazyimport.format.archive import Archive
from lazyimport.format.digest import sha256
from lazyimport.settings import artifact_suffix, is_sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from lazyimport.settings import Settings

__all__ = ["Artifact", "artifact_url", "deliver", "download", "is_artifact"]

#: Changes when the same artifact would become another archive.
_RULES = 1
_HASH_SIZE = 64


class Artifact:
    """A container in a store.

    ``url`` names it in messages; ``store`` and ``key`` find it; ``name`` and
    ``suffix`` of the file; ``sha256``, hex digits, or None if nobody says;
    ``subdirectory`` of it, "" for what is found by looking.
    """

    __slots__ = ("_place", "key", "name", "sha256", "store", "subdirectory", "suffix")

    def __init__(self, text: str) -> None:
        """Take *text* apart; raises SettingsError."""
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
        if folder == "file://":
            folder = "file:///"
        self._place = place
        self.store = folder + mark + query
        self.key = self.name = name
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
                raise _no_artifact(text, f"{pair!r} after the # is not understood")

    @property
    def url(self) -> str:
        """Where it is, to be shown."""
        return _shown(self._place)


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


def deliver(
    settings: Settings, tell: Callable[[str], object] | None = None
) -> tuple[Archive, int]:
    """Return the archive of ``settings.artifact`` and the bytes downloaded for it.

    Makes it if the node has it not. With *tell*, a cache that cannot be written
    is done without: the archive is made in memory, and *tell* is given a line.

    Raises SettingsError; StoreError or ArchiveMissing; DamagedArchive for an
    artifact with another SHA-256 than it should have; PackError for one that
    cannot become an archive; CacheError.
    """
    assert settings.artifact is not None
    artifact = Artifact(settings.artifact)
    if settings.cache_mode == "memory":
        return _in_memory(artifact, settings)
    try:
        return _through_cache(artifact, settings)
    except CacheError as error:
        from lazyimport.delivery.fetch import NO_DISK

        if tell is None or error.errno not in NO_DISK:
            raise
        tell(
            f"the artifact {artifact.url} runs from memory, downloaded and unpacked by "
            f"each process for itself, and code finds no files beside it: {error}"
        )
        return _in_memory(artifact, settings)


def _through_cache(artifact: Artifact, settings: Settings) -> tuple[Archive, int]:
    cache = NodeCache(settings.cache_dir)
    memory = _Memory(cache, artifact)
    before = memory.read()
    if artifact.sha256:
        archive = _cached(cache, before)
        if archive is not None:
            return _as_asked(archive, settings), 0
    with cache.lock(ARTIFACTS, settings.timeout):
        now = memory.read()
        if artifact.sha256 or now != before:
            archive = _cached(cache, now)
            if archive is not None:
                return _as_asked(archive, settings), 0
        archive, size = _make(artifact, settings, cache)
    return _as_asked(archive, settings), size


def download(artifact: Artifact, path: str, timeout: float) -> tuple[int, str]:
    """Download *artifact* to *path*; return its size and its SHA-256 in hex.

    Raises what `deliver` raises for it.
    """
    from lazyimport.stores import open_store

    store = open_store(artifact.store, timeout=timeout)
    with open(path, "wb") as file:
        out = _Hashed(file)
        try:
            size = store.download(artifact.key, out)  # type: ignore[arg-type]
        except KeyMissing as error:
            raise ArchiveMissing(
                f"there is no artifact {artifact.url}; correct LAZYIMPORT_ARTIFACT or "
                "artifact=, or upload it there",
                hash=artifact.sha256 or "",
                store=store.url,
            ) from error
    actual = out.hash.hexdigest()
    if artifact.sha256 not in {None, actual}:
        raise DamagedArchive(
            f"the artifact {artifact.url} has SHA-256 {actual}, and not "
            f"{artifact.sha256}; upload it again under its name, or, if the digits in "
            "the name are no SHA-256 of the file, give that as #sha256=... behind the URL "
            "or in LAZYIMPORT_ARTIFACT_SHA256",
            member=artifact.name,
            expected=artifact.sha256,
            actual=actual,
        )
    return size, actual


class _Memory:
    """Which archive an artifact was made into: its hash, and a mark of when."""

    def __init__(self, cache: NodeCache, artifact: Artifact, digest: str = "") -> None:
        identity = (
            str(_RULES),
            digest or artifact.sha256 or artifact.store + " " + artifact.key,
            artifact.suffix,
            artifact.subdirectory,
            sys.implementation.cache_tag or "",
        )
        name = sha256("\n".join(identity).encode("utf-8", "surrogateescape")).hex()
        self._path = f"{cache.folder(ARTIFACTS)}/{name}"

    def read(self) -> str:
        """Return what is remembered; "" if nothing is."""
        try:
            with open(self._path, encoding="ascii", errors="replace") as file:
                return file.read(200)
        except OSError:
            return ""

    def write(self, hash: str) -> None:
        with AtomicFile(self._path, durable=False) as file:
            file.write(f"{hash} {os.urandom(8).hex()}\n".encode())


def _make(
    artifact: Artifact, settings: Settings, cache: NodeCache
) -> tuple[Archive, int]:
    """Download the artifact and make it an archive; the lock must be held."""
    import shutil

    from lazyimport.cache.evict import make_room

    staging = cache.staging_path()
    cache.make_folder(ARTIFACTS)
    shutil.rmtree(staging, ignore_errors=True)  # a killed process left it
    try:
        os.mkdir(staging, 0o700)
        file = f"{staging}/{artifact.key}"
        size, digest = download(artifact, file, settings.timeout)
        memory = _Memory(cache, artifact, digest)
        archive = _cached(cache, memory.read())
        if archive is None:
            archive = _convert(artifact, file, staging, cache, settings)
            memory.write(archive.hash)
        if not artifact.sha256:
            _Memory(cache, artifact).write(archive.hash)
    except OSError as error:
        raise CacheError(
            f"cannot unpack the artifact {artifact.url} in {staging}: "
            f"{error.strerror or error}; free space there, or set LAZYIMPORT_CACHE_DIR "
            "to another disk",
            path=staging,
            errno=error.errno,
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    make_room(cache, settings.cache_limit)
    return archive, size


def _convert(
    artifact: Artifact, file: str, staging: str, cache: NodeCache, settings: Settings
) -> Archive:
    from dataclasses import replace

    from lazyimport.packing.container import pack_container

    packed = pack_container(
        file,
        artifact.suffix,
        staging,
        cache,
        what=artifact.url,
        subdirectory=artifact.subdirectory,
        # whatever Pythons it asks for, this node has this one
        adjust=lambda config: replace(config, python=()),
    )
    if settings.cache_mode == "zstd":
        from lazyimport.format.writer import recode

        with cache.lock(packed.hash, settings.timeout):
            cache.publish(
                packed.hash, lambda out: recode(packed.archive, out, raw=False)
            )
        return _cached(cache, packed.hash) or packed.archive
    return packed.archive


def _in_memory(artifact: Artifact, settings: Settings) -> tuple[Archive, int]:
    """Make the archive in a folder for temporary files, and keep it in memory."""
    from tempfile import TemporaryDirectory

    try:
        with TemporaryDirectory(prefix="lazyimport-") as folder:
            made, size = _make(artifact, settings, NodeCache(folder))
            with open(NodeCache(folder).archive_path(made.hash), "rb") as file:
                archive = Archive(file.read(), made.hash, artifact.url)
    except OSError as error:
        raise CacheError(
            f"cannot make an archive of the artifact {artifact.url} in a folder for "
            f"temporary files: {error.strerror or error}; set TMPDIR to one that this "
            "user may write, or LAZYIMPORT_CACHE_DIR",
            path=settings.cache_dir,
            errno=error.errno,
        ) from error
    return _as_asked(archive, settings), size


def _cached(cache: NodeCache, remembered: str) -> Archive | None:
    hash = remembered[:_HASH_SIZE]
    if not is_sha256(hash):
        return None
    try:
        return cache.open(hash)
    except ArchiveError:
        return None  # damaged: made anew


def _as_asked(archive: Archive, settings: Settings) -> Archive:
    """Return *archive*; refuse another than the process that started this one has."""
    if settings.hash in {None, archive.hash}:
        return archive
    raise ArchiveMissing(
        f"archive {settings.hash}, which another process made from the artifact "
        f"{_shown(str(settings.artifact))}, is not in the node cache any more, and for "
        f"this Python the artifact now gives {archive.hash}; start the parent process anew, or "
        "unset LAZYIMPORT_HASH",
        hash=str(settings.hash),
    )


class _Hashed:
    """A file to write to, and the SHA-256 of what was written."""

    def __init__(self, file: BinaryIO) -> None:
        import hashlib

        self.hash = hashlib.sha256()
        self._file = file

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        return self._file.write(data)


def _sha256_in(stem: str) -> str | None:
    """Return the SHA-256 that *stem*, a file's name without suffix, ends with."""
    digits = stem[-_HASH_SIZE:]
    before = stem[-_HASH_SIZE - 1 : -_HASH_SIZE]
    if not is_sha256(digits) or before in set("0123456789abcdefABCDEF"):
        return None
    return digits.lower()


def _stays_inside(path: str) -> bool:
    return bool(path.strip("/")) and ".." not in path.split("/")


def _shown(url: str) -> str:
    """Return *url* without password."""
    from lazyimport.stores.protocol import redact  # whoever finds it has no need

    return redact(url)


def _no_artifact(text: str, why: str) -> SettingsError:
    shown = _shown(text)
    return SettingsError(
        f"not an artifact: {shown!r} ({why}; an artifact is the URL of a .zip, .whl, "
        ".tar.gz, .tgz or .tar.zst such as gs://bucket/code/app-<sha256>.zip, with "
        "#sha256=... and #subdirectory=... if needed; set LAZYIMPORT_ARTIFACT or pass "
        "artifact=)",
        name="artifact",
        value=shown,
    )
