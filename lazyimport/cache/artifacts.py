"""Which archive each artifact was made into on this node."""

from __future__ import annotations

import os
import sys

from lazyimport.cache.layout import ARTIFACTS
from lazyimport.errors import ArchiveError
from lazyimport.files import AtomicFile
from lazyimport.format import sha256
from lazyimport.regular import open_regular
from lazyimport.values import is_sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.cache.node import NodeCache
    from lazyimport.format.archive import Archive

#: Changes when the same artifact would become another archive.
_RULES = 1
_HASH_SIZE = 64


class ArtifactRecord:
    """A file of *cache*: the hash of what an artifact became, for one Python.

    It is found by the *identity* of the artifact. A mark after the hash differs each
    time that it is written.
    """

    def __init__(self, cache: NodeCache, *identity: str) -> None:
        words = (str(_RULES), *identity, sys.implementation.cache_tag or "")
        name = sha256("\n".join(words).encode("utf-8", "surrogateescape")).hex()
        self._cache = cache
        self._path = f"{cache.folder(ARTIFACTS)}/{name}"

    def read(self) -> str:
        """Return the hash and the mark, or "" if there is no record."""
        try:
            with open(self._path, "rb", opener=open_regular) as file:
                return file.read(200).decode("ascii", "replace")
        except OSError:
            return ""

    def write(self, hash: str) -> None:
        """Record that the artifact became the archive *hash*. Raises OSError."""
        with AtomicFile(self._path, durable=False) as file:
            file.write(f"{hash} {os.urandom(8).hex()}\n".encode())

    def archive(self, text: str | None = None) -> Archive | None:
        """Return the archive that the record, or *text* read from it, names.

        None if it names none, or one that is not in the cache or damaged there.
        """
        hash = (self.read() if text is None else text)[:_HASH_SIZE]
        try:
            return self._cache.open(hash) if is_sha256(hash) else None
        except ArchiveError:
            return None
