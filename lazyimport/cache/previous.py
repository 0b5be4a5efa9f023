"""The previous packing of some roots: what it found and made, for the next to skip.

One file, ``<cache>/packs/<name>``: what stat() said of every file that was packed,
the hash that came out, and that archive, as a delta to one in the node cache. It is
also where an archive is found that was packed on this machine and not written whole.
If anything is wrong with the file, it counts as missing.
"""

from __future__ import annotations

import os
from _struct import Struct, error as StructError  # type: ignore[attr-defined]  # noqa: N812

from lazyimport.cache.growth import Growing
from lazyimport.cache.layout import PACKS
from lazyimport.errors import ArchiveError
from lazyimport.files import AtomicFile, is_unfinished, remove_leftovers
from lazyimport.format import sha256
from lazyimport.regular import open_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Protocol

    from lazyimport.cache.node import NodeCache
    from lazyimport.format.delta import Revision

    class _PackedFile(Protocol):
        """A file that was packed: its archive path, and what stat() said of it."""

        @property
        def path(self) -> str: ...
        @property
        def executable(self) -> bool: ...
        @property
        def signature(self) -> tuple[int, int, int, int, int]: ...


_MAGIC = b"LZYPACK1"
_HEAD = Struct("<8s32sQQ")  # magic, SHA-256 of what lies before the delta, sizes
#: size, mtime, ctime, inode, device (all as in SourceFile.signature), flags
_STAT = Struct("<qqqQQB")
#: How the JSON after the head begins.
_HASH = b'{"hash": "'
_HASH_SIZE = 64
_LOCK_SECONDS = 600.0
#: Two edits within one tick of a file system's clock leave the same times behind.
#: Ticks are milliseconds, on old file systems up to two seconds; as git does with
#: its index, what was touched so shortly before it was read is read again.
_TICK = 2_000_000_000


class Previous:
    """The previous packing: the archive it made, and what it knew of its files.

    ``flags`` are those of the index by path; ``problems`` says by path why a
    source has no bytecode.
    """

    __slots__ = ("_signatures", "flags", "problems", "revision")

    def __init__(
        self,
        revision: Revision,
        signatures: Mapping[str, tuple[int, ...]],
        flags: Mapping[str, int],
        problems: Mapping[str, Sequence[str]],
    ) -> None:
        self.revision = revision
        self.flags = flags
        self.problems = problems
        self._signatures = signatures

    def has(self, file: _PackedFile) -> bool:
        """Whether *file* is surely as it was, by what stat() says of it."""
        return (
            self._signatures.get(file.path) == file.signature
            and self.flags[file.path] & 1 == file.executable
        )


def load_previous(path: str, cache: NodeCache) -> Previous | None:
    """Return the packing that was saved at *path*, or None if it is of no use.

    Raises CacheError if the node cache may not be trusted.
    """
    import json  # only where something was packed

    from lazyimport.format.delta import Revision

    try:
        with open(path, "rb", opener=open_regular) as file:
            data = file.read()
        magic, digest, said, stats = _HEAD.unpack_from(data)
        at = _HEAD.size + said
        end = at + stats
        if magic != _MAGIC or sha256(memoryview(data)[_HEAD.size : end]) != digest:
            return None
        about = json.loads(data[_HEAD.size : at])
        base = cache.open(about["base"])
        if base is None:
            return None
        delta = data[end:] or None
        revision = Revision(base, delta, about["hash"], path)
        rows = _STAT.iter_unpack(memoryview(data)[at:end])
        table = dict(zip(about["paths"], rows, strict=True))
    except (OSError, ValueError, KeyError, TypeError, StructError, ArchiveError):
        return None
    return Previous(
        revision,
        {path: row[:5] for path, row in table.items()},
        {path: row[5] for path, row in table.items()},
        about["problems"],
    )


def packed_hashes(cache: NodeCache) -> Iterator[tuple[str, str]]:
    """Yield hash and path of each packing that was saved in *cache*."""
    folder = cache.folder(PACKS)
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        path = f"{folder}/{name}"
        try:
            with open(path, "rb", opener=open_regular) as file:
                head = file.read(_HEAD.size + len(_HASH) + _HASH_SIZE)
        except OSError:
            continue
        if not is_unfinished(name) and head.startswith(_HASH, _HEAD.size):
            yield head[-_HASH_SIZE:].decode("ascii", "replace"), path


def packed_blobs(path: str) -> list[str]:
    """Return the blobs, in hex digits, that the packing saved at *path* needs."""
    import json

    try:
        with open(path, "rb", opener=open_regular) as file:
            size = _HEAD.unpack(file.read(_HEAD.size))[2]
            return [str(name) for name in json.loads(file.read(size))["blobs"]]
    except (OSError, ValueError, KeyError, TypeError, StructError):
        return []


def find_packed(cache: NodeCache, hash: str) -> Revision | None:
    """Return the archive *hash* if it was packed here, though not written whole.

    A push of a changed line writes only the difference to an archive in *cache*.
    Raises CacheError if the cache may not be trusted.
    """
    for name, path in packed_hashes(cache):
        previous = load_previous(path, cache) if name == hash else None
        if previous is not None and previous.revision.hash == hash:
            return previous.revision
    return None


def save_packing(
    path: str,
    cache: NodeCache,
    files: Sequence[_PackedFile],
    flags: Mapping[str, int],
    problems: Mapping[str, Sequence[str]],
    revision: Revision,
    taken: int,
) -> None:
    """Save at *path* that *files* gave the archive *revision*.

    *taken* is the time in nanoseconds before the first file was looked at. Of two
    that save at once, the later one wins. Raises OSError.
    """
    import json

    about = {
        "hash": revision.hash,
        "base": revision.base.hash,
        "problems": dict(problems),
        "blobs": [blob.name for blob in revision.blobs.values()],
        "paths": [file.path for file in files],
    }
    said = json.dumps(about).encode()
    sure = taken - _TICK
    stats = b"".join(
        _STAT.pack(*file.signature, flags[file.path])
        if file.signature[1] < sure and file.signature[2] < sure
        else _STAT.pack(-1, 0, 0, 0, 0, flags[file.path])
        for file in files
    )
    with cache.lock(path.rpartition("/")[2], _LOCK_SECONDS):
        remove_leftovers(path)
        with Growing(cache.path) as growing, AtomicFile(path, durable=False) as file:
            digest = sha256(said + stats)
            file.write(_HEAD.pack(_MAGIC, digest, len(said), len(stats)))
            file.write(said)
            file.write(stats)
            file.write(revision.delta or b"")
            growing.size = file.tell()
