"""The members of a zip, wheel or tarball of another tool, listed within limits.

Whoever made the container declares the sizes in it, so nothing beyond what a `Guard`
allows is read or allocated because of one.
"""

from __future__ import annotations

import contextlib
import gzip
import math
import re
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, NamedTuple, cast

from lazyimport.errors import LazyImportError, PackError
from lazyimport.format.codec import python_zstandard
from lazyimport.packing.names import forbidden_in

FILE, FOLDER, LINK, HARD_LINK = "file", "folder", "link", "hard link"

#: Bytes that are read at once.
CHUNK = 1 << 18
#: The largest header that a tarball may have: long names, PAX records.
_MAX_HEADER = 1 << 20
#: A row of a zip's directory has 46 bytes; with name and extra fields, about 200.
_MAX_ROW = 400
#: More than zipfile reads to find that directory: a comment of 64 KiB, and records.
_MAX_END = 1 << 17
_LONGEST_TARGET = 4096
_LONGEST_PATH = 2048
_LONGEST_NAME = 240
_DEEPEST_PATH = 100
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_DRIVE = re.compile(r"[A-Za-z]:")
_NEITHER = "it is neither file, folder nor link"


class Member(NamedTuple):
    """One member: ``name`` as the container has it, ``path`` below the folder.

    ``target`` is what a link points to; ``open`` gives a file's bytes.
    """

    name: str
    path: str
    kind: str
    size: int
    executable: bool
    target: str
    open: Callable[[], IO[bytes]]


class Guard:
    """Refuses the container *what* with a PackError that names it and the member."""

    def __init__(self, what: str, max_files: int, max_bytes: int) -> None:
        self.what = what
        self.max_files = max_files
        self.max_bytes = max_bytes

    def refused(self, name: str, why: str) -> PackError:
        """Return the error for the member *name*, "" if it is none of them."""
        text = f"{self.what}: {why}"
        if name:
            text = f"{self.what}: refused, for its member {name!r}: {why}"
        return PackError(text, issues=(text,))

    def files(self, count: int, name: str) -> None:
        """Refuse more members than there may be."""
        if count > self.max_files:
            raise self.refused(name, f"there are more than {self.max_files:,} members")

    def bytes(self, total: int, name: str) -> None:
        """Refuse more bytes, up to the member *name*, than there may be."""
        if total > self.max_bytes:
            raise self.refused(
                name,
                f"up to here it unpacks to {total:,} bytes, and {self.max_bytes:,} "
                "are the most",
            )

    @contextlib.contextmanager
    def reading(self, name: str = "") -> Iterator[None]:
        """Turn what a library raises while it reads into a PackError."""
        try:
            yield
        except LazyImportError:
            raise
        # zipfile, tarfile and what they decompress with raise all sorts of things
        except Exception as error:
            reason = f"it cannot be read ({type(error).__name__}: {error})"
            raise self.refused(name, reason) from error


@contextlib.contextmanager
def listed(
    file: str, suffix: str, scratch: str, guard: Guard
) -> Iterator[list[Member]]:
    """Give the members of the container at *file*, open until the block ends.

    *suffix* says what it is; what a tarball unpacks to is kept in *scratch*.
    """
    if suffix in {".zip", ".whl"}:
        with open(file, "rb") as raw, _opened_zip(raw, guard) as container:
            rows = container.infolist()
            if rows:
                guard.files(len(rows), rows[-1].filename)
            yield [_zip_member(container, row, guard) for row in rows]
    else:
        with tempfile.TemporaryFile(dir=scratch) as plain:
            cut = _decompress(file, suffix, plain, guard)
            yield from _tar_members(plain, cut, guard)


@contextlib.contextmanager
def _opened_zip(raw: IO[bytes], guard: Guard) -> Iterator[zipfile.ZipFile]:
    # zipfile reads the whole directory at once
    why = f"there are more than {guard.max_files:,} members"
    source = _Bounded(raw, guard, guard.max_files * _MAX_ROW + _MAX_END, why)
    with contextlib.ExitStack() as stack:
        with guard.reading():
            container = stack.enter_context(zipfile.ZipFile(cast("IO[bytes]", source)))
        source.left = math.inf
        yield container


def _zip_member(
    container: zipfile.ZipFile, row: zipfile.ZipInfo, guard: Guard
) -> Member:
    name = row.filename
    if row.flag_bits & _ENCRYPTED:
        raise guard.refused(name, "it is encrypted")
    if "\0" in row.orig_filename:
        raise guard.refused(row.orig_filename, "its name has a control character")
    mode = row.external_attr >> 16
    kinds = {0: FILE, stat.S_IFREG: FILE, stat.S_IFDIR: FOLDER, stat.S_IFLNK: LINK}
    kind = FOLDER if row.is_dir() else kinds.get(stat.S_IFMT(mode), "")
    if not kind:
        raise guard.refused(name, _NEITHER)
    target = ""
    if kind == LINK:
        with guard.reading(name), container.open(row) as link:
            target = link.read(_LONGEST_TARGET).decode("utf-8", "surrogateescape")
    path, executable = _path_of(name, guard), bool(mode & stat.S_IXUSR)
    opened = partial(container.open, row)
    return Member(name, path, kind, row.file_size, executable, target, opened)


def _tar_members(plain: IO[bytes], cut: bool, guard: Guard) -> Iterator[list[Member]]:
    plain.seek(0)
    why = f"a header has more than {_MAX_HEADER:,} bytes"
    source = _Bounded(plain, guard, _MAX_HEADER, why)
    with contextlib.ExitStack() as stack:
        with guard.reading():
            tar = stack.enter_context(
                tarfile.open(fileobj=cast("IO[bytes]", source), mode="r:")
            )
        members: list[Member] = []
        total = 0
        while True:
            source.left = _MAX_HEADER
            with guard.reading(members[-1].name if members else ""):
                row = tar.next()
            if row is None:
                break
            total += row.size
            guard.files(len(members) + 1, row.name)
            guard.bytes(total, row.name)
            members.append(_tar_member(tar, row, guard))
        if cut:
            why = f"it unpacks to more than {guard.max_bytes:,} bytes, and these are"
            raise guard.refused("", f"{why} the most")
        # tarfile takes a header that makes no sense for the end
        plain.seek(tar.offset)
        if plain.read(tarfile.BLOCKSIZE).strip(b"\0") or tar.offset == plain.tell():
            raise guard.refused("", "it is cut or damaged: it has no end")
        source.left = math.inf
        yield members


def _tar_member(tar: tarfile.TarFile, row: tarfile.TarInfo, guard: Guard) -> Member:
    kinds = [(row.isfile(), FILE), (row.isdir(), FOLDER), (row.issym(), LINK)]
    kinds.append((row.islnk(), HARD_LINK))
    kind = next((kind for holds, kind in kinds if holds), "")
    if not kind:
        raise guard.refused(row.name, _NEITHER)

    def opened() -> IO[bytes]:
        source = tar.extractfile(row)
        assert source is not None
        return source

    path, executable = _path_of(row.name, guard), bool(row.mode & stat.S_IXUSR)
    size = row.size if kind == FILE else 0
    target = _path_of(row.linkname, guard) if kind == HARD_LINK else row.linkname
    return Member(row.name, path, kind, size, executable, target, opened)


class _Bounded:
    """A file of which at most ``left`` bytes are read, whatever a size in it says."""

    def __init__(self, file: IO[bytes], guard: Guard, left: int, why: str) -> None:
        self._file = file
        self._guard = guard
        self._why = why
        self.left: float = left
        self.tell = file.tell
        self.seek = file.seek
        self.seekable = file.seekable

    def read(self, size: int = -1) -> bytes:
        """Return *size* bytes; refuse more than are ``left``, and say why."""
        if size > self.left:
            raise self._guard.refused("", self._why)
        # zipfile looks for the end without a size
        data = self._file.read(_MAX_END if size < 0 else size)
        self.left -= len(data)
        return data


def _decompress(file: str, suffix: str, plain: IO[bytes], guard: Guard) -> bool:
    """Fill *plain* with the tarball; return whether it was cut for its size.

    Headers, and members rounded up to blocks, are not counted by the limit.
    """
    left = guard.max_bytes + guard.max_files * 2048
    with open(file, "rb") as raw, _decompressor(raw, suffix, guard.what) as source:
        while left >= 0:
            with guard.reading():
                chunk = source.read(CHUNK)
            if not chunk:
                return False
            plain.write(chunk)
            left -= len(chunk)
    return True


def _decompressor(raw: IO[bytes], suffix: str, what: str) -> IO[bytes]:
    if suffix != ".tar.zst":
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        try:
            zstandard = python_zstandard()
        except ImportError:
            raise PackError(
                f"{what}: this Python has no zstd; install 'zstandard' "
                "(pip install zstandard), or upload a .tar.gz or .zip"
            ) from None
        context = zstandard.ZstdDecompressor()
        options = {"read_across_frames": True, "closefd": False}
        return context.stream_reader(raw, **options)  # type: ignore[no-any-return]
    return zstd.ZstdFile(raw)  # type: ignore[no-any-return,return-value,unused-ignore]


def _path_of(name: str, guard: Guard) -> str:
    """Return a member's path below the folder, "" for the folder itself."""
    if name.startswith("/") or _DRIVE.match(name):
        raise guard.refused(name, "its path is absolute")
    if wrong := forbidden_in(name):
        raise guard.refused(name, f"its name {wrong}")
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise guard.refused(name, "'..' in its path may lead out of the tree")
    if len(name.encode()) > _LONGEST_PATH or len(parts) > _DEEPEST_PATH:
        raise guard.refused(name, "its path is too long")
    if any(len(part.encode()) > _LONGEST_NAME for part in parts):
        raise guard.refused(name, "its name is too long")
    return "/".join(parts)
