"""Foreign containers: a zip, wheel or tarball of another tool into an empty folder.

:func:`unpack` looks at the names, kinds and declared sizes of all members before
it writes the first byte, and refuses the whole container, naming the member, for

- a path that is absolute, has ``..`` in it, a backslash, a control character, or
  is not UTF-8;
- two members for one path, or for paths that some file systems take for one;
- a file where another member has a folder, or a member below a link;
- a link that leads out of the tree or nowhere;
- what is neither file, folder nor link: devices, pipes, sockets;
- an encrypted member, or a compression that this Python cannot undo;
- more than `MAX_FILES` members, or more than `MAX_BYTES` when unpacked, what links
  lead to counted each time.

Sizes are declared by who made the container, so what really comes out is counted
against them.
"""

from __future__ import annotations

import contextlib
import gzip
import math
import os
import re
import shutil
import stat
import tarfile
import tempfile
import unicodedata
import zipfile
from typing import NamedTuple, cast

from lazyimport.errors import LazyImportError, PackError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import IO

__all__ = ["MAX_BYTES", "MAX_FILES", "unpack"]

#: More is not a tree of code but a mistake, or a bomb.
MAX_FILES = 250_000
MAX_BYTES = 4 << 30

FILE, FOLDER, LINK, HARD_LINK = "file", "folder", "link", "hard link"

_CHUNK = 1 << 18
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

_FORBIDDEN = re.compile(r"[\\\x00-\x1f\x7f-\x9f]")
_DRIVE = re.compile(r"[A-Za-z]:")


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


def unpack(
    file: str,
    suffix: str,
    folder: str,
    *,
    what: str,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
) -> None:
    """Unpack the container at *file*, a ``.zip``, ``.whl``, or tarball by *suffix*.

    *folder* must be empty; *what* names the container in messages. Permissions
    are not kept but for the executable bit, and times not at all.

    Raises PackError, and may leave *folder* half filled then; OSError if the
    disk refuses.
    """
    limits = _Limits(what, max_files, max_bytes)
    kind = _zip_members if suffix in {".zip", ".whl"} else _tar_members
    with kind(file, suffix, os.path.dirname(folder), limits) as members:
        _check(members, limits)
        _write(members, folder, what)
        links = [member for member in members if member.kind == LINK]
        if links:
            _link(links, folder, what)
            _check_through_links(folder, limits)


class _Limits:
    """What a container may hold; raises PackError for one that holds more."""

    def __init__(self, what: str, max_files: int, max_bytes: int) -> None:
        self.what = what
        self.max_files = max_files
        self.max_bytes = max_bytes

    def files(self, count: int, name: str) -> None:
        if count > self.max_files:
            raise _refused(
                self.what, name, f"there are more than {self.max_files:,} members"
            )

    def bytes(self, total: int, name: str) -> None:
        if total > self.max_bytes:
            raise _refused(
                self.what,
                name,
                f"up to here it unpacks to {total:,} bytes, and {self.max_bytes:,} "
                "are the most",
            )


@contextlib.contextmanager
def _zip_members(
    file: str, _suffix: str, _scratch: str, limits: _Limits
) -> Iterator[list[Member]]:
    with open(file, "rb") as raw, contextlib.ExitStack() as stack:
        # zipfile reads the whole directory at once
        why = f"there are more than {limits.max_files:,} members"
        source = _Bounded(raw, limits, limits.max_files * _MAX_ROW + _MAX_END, why)
        with _reading(limits.what):
            container = stack.enter_context(zipfile.ZipFile(cast("IO[bytes]", source)))
        source.left = math.inf
        rows = container.infolist()
        if rows:
            limits.files(len(rows), rows[-1].filename)
        yield [_zip_member(container, row, limits.what) for row in rows]


def _zip_member(container: zipfile.ZipFile, row: zipfile.ZipInfo, what: str) -> Member:
    if row.flag_bits & _ENCRYPTED:
        raise _refused(what, row.filename, "it is encrypted")
    if "\0" in row.orig_filename:
        raise _refused(what, row.orig_filename, "its name has a control character")
    mode = row.external_attr >> 16
    kind = FOLDER if row.is_dir() else _kind_of(mode)
    if not kind:
        raise _refused(what, row.filename, "it is neither file, folder nor link")
    target = ""
    if kind == LINK:
        with _reading(what, row.filename), container.open(row) as link:
            target = link.read(_LONGEST_TARGET).decode("utf-8", "surrogateescape")
    return Member(
        row.filename,
        _path_of(row.filename, what),
        kind,
        row.file_size,
        bool(mode & stat.S_IXUSR),
        target,
        lambda: container.open(row),
    )


def _kind_of(mode: int) -> str:
    kinds = {0: FILE, stat.S_IFREG: FILE, stat.S_IFDIR: FOLDER, stat.S_IFLNK: LINK}
    return kinds.get(stat.S_IFMT(mode), "")


@contextlib.contextmanager
def _tar_members(
    file: str, suffix: str, scratch: str, limits: _Limits
) -> Iterator[list[Member]]:
    with tempfile.TemporaryFile(dir=scratch) as plain:
        cut = _decompress(file, suffix, plain, limits)
        plain.seek(0)
        with contextlib.ExitStack() as stack:
            why = f"a header has more than {_MAX_HEADER:,} bytes"
            container = _Bounded(plain, limits, _MAX_HEADER, why)
            with _reading(limits.what):
                tar = stack.enter_context(
                    tarfile.open(fileobj=cast("IO[bytes]", container), mode="r:")
                )
            members: list[Member] = []
            total = 0
            while True:
                container.left = _MAX_HEADER
                with _reading(limits.what, members[-1].name if members else ""):
                    row = tar.next()
                if row is None:
                    break
                total += row.size
                limits.files(len(members) + 1, row.name)
                limits.bytes(total, row.name)
                members.append(_tar_member(tar, row, limits.what))
            if cut:
                raise _refused(
                    limits.what,
                    "",
                    f"it unpacks to more than {limits.max_bytes:,} bytes, and these "
                    "are the most",
                )
            # tarfile takes a header that makes no sense for the end
            plain.seek(tar.offset)
            if plain.read(tarfile.BLOCKSIZE).strip(b"\0") or tar.offset == plain.tell():
                raise _refused(limits.what, "", "it is cut or damaged: it has no end")
            container.left = math.inf
            yield members


class _Bounded:
    """A file of which no more than ``left`` bytes are read on the word of a size."""

    def __init__(self, file: IO[bytes], limits: _Limits, left: int, why: str) -> None:
        self._file = file
        self._what = limits.what
        self._why = why
        self.left: float = left
        self.tell = file.tell
        self.seek = file.seek
        self.seekable = file.seekable

    def read(self, size: int = -1) -> bytes:
        """Return *size* bytes; refuse more than are ``left``, and say why."""
        if size > self.left:
            raise _refused(self._what, "", self._why)
        # zipfile looks for the end without a size
        data = self._file.read(_MAX_END if size < 0 else size)
        self.left -= len(data)
        return data


def _tar_member(tar: tarfile.TarFile, row: tarfile.TarInfo, what: str) -> Member:
    if row.isfile():
        kind = FILE
    elif row.isdir():
        kind = FOLDER
    elif row.issym():
        kind = LINK
    elif row.islnk():
        kind = HARD_LINK
    else:
        raise _refused(what, row.name, "it is neither file, folder nor link")

    def opened() -> IO[bytes]:
        source = tar.extractfile(row)
        assert source is not None
        return source

    return Member(
        row.name,
        _path_of(row.name, what),
        kind,
        row.size if kind == FILE else 0,
        bool(row.mode & stat.S_IXUSR),
        _path_of(row.linkname, what) if kind == HARD_LINK else row.linkname,
        opened,
    )


def _decompress(file: str, suffix: str, plain: IO[bytes], limits: _Limits) -> bool:
    """Fill *plain* with the tarball; whether it was cut, since it is too large.

    Headers, and members rounded up to blocks, are not counted by the limit.
    """
    left = limits.max_bytes + limits.max_files * 2048
    with open(file, "rb") as raw, _decompressor(raw, suffix, limits.what) as source:
        while True:
            with _reading(limits.what):
                chunk = source.read(_CHUNK)
            if not chunk:
                return False
            plain.write(chunk)
            left -= len(chunk)
            if left < 0:
                return True


def _decompressor(raw: IO[bytes], suffix: str, what: str) -> IO[bytes]:
    if suffix != ".tar.zst":
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        try:
            import zstandard
        except ImportError:
            raise PackError(
                f"{what}: this Python has no zstd; install 'zstandard' "
                "(pip install zstandard), or upload a .tar.gz or .zip"
            ) from None
        context = zstandard.ZstdDecompressor()
        return context.stream_reader(raw, read_across_frames=True, closefd=False)
    return zstd.ZstdFile(raw)  # type: ignore[no-any-return,return-value,unused-ignore]


def _path_of(name: str, what: str) -> str:
    """Return a member's path below the folder, "" for the folder itself."""
    if name.startswith("/") or _DRIVE.match(name):
        raise _refused(what, name, "its path is absolute")
    if _FORBIDDEN.search(name):
        raise _refused(what, name, "its name has a backslash or a control character")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise _refused(what, name, "its name is not UTF-8") from None
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise _refused(what, name, "'..' in its path may lead out of the tree")
    if size > _LONGEST_PATH or len(parts) > _DEEPEST_PATH:
        raise _refused(what, name, "its path is too long")
    if any(len(part.encode()) > _LONGEST_NAME for part in parts):
        raise _refused(what, name, "its name is too long")
    return "/".join(parts)


def _check(members: list[Member], limits: _Limits) -> None:
    """Look for what only the whole shows; raises PackError."""
    what = limits.what
    kinds: dict[str, str] = {}
    sizes: dict[str, int] = {}
    total = 0
    for member in members:
        size = member.size
        if member.kind == HARD_LINK:
            if member.target not in sizes:
                raise _refused(
                    what,
                    member.name,
                    f"it is a hard link to {member.target!r}, which is no file before it",
                )
            size = sizes[member.target]
        if member.kind in {FILE, HARD_LINK}:
            sizes[member.path] = size
        total += size
        limits.bytes(total, member.name)
        before = kinds.get(member.path, FOLDER if not member.path else None)
        if before is not None and not before == member.kind == FOLDER:
            raise _refused(what, member.name, f"the tree has a {before} of this path")
        kinds[member.path] = member.kind
    for member in members:
        parent = member.path.rpartition("/")[0]
        while parent:
            kind = kinds.setdefault(parent, FOLDER)
            if kind != FOLDER:
                raise _refused(what, member.name, f"{parent!r} above it is a {kind}")
            parent = parent.rpartition("/")[0]
    _check_collisions(kinds, limits)


def _check_collisions(paths: Iterable[str], limits: _Limits) -> None:
    """Refuse paths that are one on a file system that folds names."""
    first: dict[str, str] = {}
    for count, path in enumerate(paths, 1):
        limits.files(count, path)  # folders that no member names count too
        folder, slash, name = path.rpartition("/")
        key = folder + slash + unicodedata.normalize("NFC", name).casefold()
        other = first.setdefault(key, path)
        if other != path:
            raise _refused(
                limits.what,
                path,
                f"{other!r} differs only in case or in the form of accents, and some "
                "file systems hold only one of them",
            )


def _write(members: list[Member], folder: str, what: str) -> None:
    """Make the files. Links come after, so that nothing is written through one."""
    for member in members:
        place = os.path.join(folder, member.path)
        if member.kind == FOLDER:
            os.makedirs(place, exist_ok=True)
            continue
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if member.kind == FILE:
            _write_file(member, place, what)
        elif member.kind == HARD_LINK:
            shutil.copy(os.path.join(folder, member.target), place)


def _link(links: list[Member], folder: str, what: str) -> None:
    """Make the links and see where they lead, together and with all files there."""
    for member in links:
        if not member.target or "\0" in member.target:
            raise _refused(what, member.name, "it is a link to nothing")
        os.symlink(member.target, os.path.join(folder, member.path))
    inside = os.path.realpath(folder) + "/"
    for member in links:
        try:
            real = os.path.realpath(os.path.join(folder, member.path), strict=True)
        except OSError:
            real = ""
        if not f"{real}/".startswith(inside):
            raise _refused(
                what,
                member.name,
                f"it is a link to {member.target!r}, which is not in the tree",
            )


def _check_through_links(folder: str, limits: _Limits) -> None:
    """Refuse links to folders of links to folders, which few members multiply by.

    Who packs the tree reads all that they lead to, as often as they do.
    """
    files = total = 0
    for place, folders, names in os.walk(folder, followlinks=True):
        shown = os.path.relpath(place, folder)
        files += len(folders) + len(names)
        limits.files(files, shown)
        for name in names:
            # a link to a folder that it lies in ends somewhere; collect() names it
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(place, name)).st_size
        limits.bytes(total, shown)


def _write_file(member: Member, place: str, what: str) -> None:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    descriptor = os.open(place, flags, 0o755 if member.executable else 0o644)
    left = member.size
    with open(descriptor, "wb") as out, contextlib.ExitStack() as stack:
        with _reading(what, member.name):
            source = stack.enter_context(member.open())
        while True:
            with _reading(what, member.name):
                chunk = source.read(_CHUNK)
            left -= len(chunk)
            if left < 0 or (left and not chunk):
                raise _refused(
                    what,
                    member.name,
                    f"it does not hold the {member.size:,} bytes it says",
                )
            if not chunk:
                return
            out.write(chunk)


@contextlib.contextmanager
def _reading(what: str, name: str = "") -> Iterator[None]:
    """Turn what a library raises while it reads into a PackError."""
    try:
        yield
    except LazyImportError:
        raise
    # zipfile, tarfile and what they decompress with raise all sorts of things
    except Exception as error:
        reason = f"it cannot be read ({type(error).__name__}: {error})"
        raise _refused(what, name, reason) from error


def _refused(what: str, name: str, why: str) -> PackError:
    text = (
        f"{what}: refused, for its member {name!r}: {why}" if name else f"{what}: {why}"
    )
    return PackError(text, issues=(text,))
