"""Sources: the files to pack, as they were when they were collected."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO, NamedTuple

from lazyimport.cache.blobs import take_in
from lazyimport.cache.layout import Layout
from lazyimport.cache.refusal import REFUSING
from lazyimport.errors import PackError
from lazyimport.format import sha256
from lazyimport.regular import open_regular

_SHOWN_ISSUES = 20
_TRIES = 3  # to read a file while nobody writes it

#: size, mtime and ctime in nanoseconds, inode, device
Signature = tuple[int, int, int, int, int]


class SourceFile(NamedTuple):
    """One file to pack.

    ``path`` is where it goes in the archive, ``location`` its absolute path on this
    machine; ``signature`` is what stat() said when it was collected. If it is
    ``guarded``, it must not be a secret: it is of the tree itself, and nobody named it.
    """

    path: str
    location: str
    executable: bool
    signature: Signature
    guarded: bool = False

    def read(self) -> bytes:
        """Return the contents, as they were at one moment.

        A file that grows, or was touched since it was collected, is read all the same.

        Raises PackError if the file cannot be read, is another one now, was cut, or
        does not come to rest.
        """

        def read(file: BinaryIO, size: int) -> tuple[bytes, int]:
            content = file.read(size)
            return content, len(content)

        return self._at_rest(read)[0]

    def take_in(self, cache: Layout) -> tuple[bytes, int]:
        """Make a blob of *cache* of the contents; return their digest and size.

        Raises as `read` does, and CacheError or OSError if the cache refuses.
        """
        take = partial(take_in, layout=cache, executable=self.executable)
        return self._at_rest(take)

    def _at_rest(
        self, read: Callable[[BinaryIO, int], tuple[bytes, int]]
    ) -> tuple[bytes, int]:
        """Return what *read* returns, with the size, once nobody writes the file."""
        for _ in range(_TRIES):
            with self._opened() as file:
                before = signature_of(os.fstat(file.fileno()))
                result = read(file, before[0])
                after = signature_of(os.fstat(file.fileno()))
            if before[3:] != self.signature[3:] or before[0] < self.signature[0]:
                break
            grew = after[0] > before[0]
            if result[1] == before[0] and (grew or after == before):
                return result
        raise self._changed()

    def read_again(self, size: int, digest: bytes) -> bytes:
        """Return the contents that had this *size* and SHA-256 when they were read.

        Raises PackError if the file cannot be read, or does not begin with them.
        """
        with self._opened() as file:
            content = file.read(size)
        if sha256(content) != digest:
            raise self._changed()
        return content

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        try:
            with open(self.location, "rb", opener=open_regular) as file:
                yield file
        except OSError as error:
            if error.errno in REFUSING:  # that is where it was to be copied to
                raise
            text = f"{self.location} cannot be read: {reason(error)}"
            raise pack_error([text]) from error

    def _changed(self) -> PackError:
        text = (
            f"{self.location} changed while it was being packed; pack again, or leave"
        )
        return pack_error([f"{text} it out with --exclude {shlex.quote(self.path)}"])


class Sources(NamedTuple):
    """All that is to be packed.

    ``files`` are ordered by their paths' bytes. ``excluded`` maps the archive paths
    of Python files and directories (these end in ``/``) that a rule dropped to the
    rule, except for what is dropped by default. ``warnings`` are sentences.
    """

    files: tuple[SourceFile, ...]
    excluded: dict[str, str]
    warnings: tuple[str, ...]


def signature_of(status: os.stat_result) -> Signature:
    """Return what tells whether a file was changed since."""
    return (
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        status.st_dev,
    )


def pack_error(issues: Sequence[str]) -> PackError:
    """Return the error for *issues*; its text has the first of them."""
    shown = list(issues[:_SHOWN_ISSUES])
    if len(issues) > len(shown):
        shown.append(f"and {len(issues) - len(shown)} more")
    return PackError("\n".join(shown), issues=tuple(issues))


def reason(error: OSError) -> str:
    """Return what the system said."""
    return error.strerror or str(error)
