"""Bytecode compiled on this node, for a Python that an archive brought none for."""

from __future__ import annotations

import os

from lazyimport.cache.growth import BLOCK, Growing
from lazyimport.errors import CacheError
from lazyimport.files import AtomicFile, make_directories
from lazyimport.format import sha256
from lazyimport.regular import open_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.cache.layout import Layout

_DIGEST_SIZE = 32


class BytecodeCache:
    """Marshalled code in the node cache, by its source's digest, for one Python.

    A file is the SHA-256 of the rest, and the rest. What cannot be read, written or
    proved counts as missing: the caller compiles.
    """

    def __init__(
        self, cache: Layout, tag: str, magic: bytes, optimization: int
    ) -> None:
        self._cache = cache
        self._python = tag, magic, optimization
        self._trusted = False

    def get(self, source_digest: bytes) -> bytes | None:
        """Return the bytecode of the source with this SHA-256, proved, or None."""
        try:
            # It may have been made, by anybody, since this process began without one.
            self._trusted = self._trusted or self._cache.exists()
            if not self._trusted:
                return None
            with open(self._path(source_digest), "rb", opener=open_regular) as file:
                return proved(file.read())
        except (OSError, CacheError):
            return None

    def put(self, source_digest: bytes, code: bytes) -> None:
        """Write the bytecode of the source with this SHA-256."""
        path = self._path(source_digest)
        try:
            self._cache.make()
            make_directories(os.path.dirname(path))
            size = BLOCK + len(code)
            with Growing(self._cache.path, size), AtomicFile(path, durable=False) as f:
                f.write(sha256(code))
                f.write(code)
        except (OSError, CacheError):
            pass  # a node that cannot write it compiles again

    def _path(self, source_digest: bytes) -> str:
        return self._cache.bytecode_path(*self._python, source_digest)


def proved(data: bytes) -> bytes | None:
    """Return the bytecode in a file that holds *data*, or None if it is damaged."""
    code = data[_DIGEST_SIZE:]
    return code if data and sha256(code) == data[:_DIGEST_SIZE] else None
