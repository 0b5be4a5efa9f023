"""Bytecode kept on this node for the Pythons an archive brought none for."""

from __future__ import annotations

import os

from lazyimport.cache.layout import Layout
from lazyimport.errors import CacheError
from lazyimport.files import (
    AtomicFile,
    ensure_directory,
    is_directory,
    make_directories,
)
from lazyimport.format.digest import sha256

__all__ = ["BytecodeCache"]

_DIGEST_SIZE = 32


class BytecodeCache:
    """Marshalled code by the digest of its source, for one Python.

    It lies in *root*, the directory of a node cache. A kept file is the SHA-256 of
    the rest, and the rest. What cannot be read, written or proved counts as not
    there: the caller compiles.
    """

    def __init__(self, root: str, tag: str, magic: bytes, optimization: int) -> None:
        self._layout = Layout(root)
        self._python = tag, magic, optimization
        self._trusted = False

    def get(self, source_digest: bytes) -> bytes | None:
        """Return the bytecode kept for a source, proved, or None."""
        try:
            # Anybody may have made it since this process began without one.
            self._trusted = self._trusted or is_directory(self._layout.path)
            if not self._trusted:
                return None
            with open(self._path(source_digest), "rb") as file:
                data = file.read()
        except (OSError, CacheError):
            return None
        code = data[_DIGEST_SIZE:]
        return code if data and sha256(code) == data[:_DIGEST_SIZE] else None

    def put(self, source_digest: bytes, code: bytes) -> None:
        """Keep the bytecode of a source."""
        path = self._path(source_digest)
        try:
            ensure_directory(self._layout.path)
            make_directories(os.path.dirname(path))
            with AtomicFile(path, durable=False) as file:
                file.write(sha256(code))
                file.write(code)
        except (OSError, CacheError):
            pass  # a node that cannot keep it compiles again

    def _path(self, source_digest: bytes) -> str:
        return self._layout.bytecode_path(*self._python, source_digest)
