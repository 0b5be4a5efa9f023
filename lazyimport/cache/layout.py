"""The layout of the node cache: where everything is, and which names it gives.

::

    <cache>/archives/<hash>              the archive
    <cache>/trees/<hash>/                the directory that ``__file__`` points into
    <cache>/trees/<hash>.ready/<mark>    a mark: that part of the tree is on disk
    <cache>/blobs/ab/<digest>            large files of trees, which share them
    <cache>/bytecode/<python>/ab/<digest>  code compiled here, by the source's digest
    <cache>/packs/<name>                 what the last packing of some roots found
    <cache>/artifacts/<name>             which archive an artifact was made into
    <cache>/channels/<store>-<name>.json   the newest change of a channel seen here
    <cache>/channels/<store>-<name>.signed.json   the same, where signatures count
    <cache>/signatures/<hash>.json       a signature of the archive, from its store
    <cache>/deployments/                 what was deployed from here, as stores have it
    <cache>/staging/<name>/              where an artifact is being unpacked
    <cache>/stores                       the stores that were pushed to from here
    <cache>/locks/<name>                 for an archive its hash, or what is locked
    <cache>/growth                       what all of this takes at most
    <cache>/CACHEDIR.TAG                 the marker: all of this may be deleted

A file is unfinished (`lazyimport.files.is_unfinished`) while it is being written:
it belongs to its writer. Everybody else passes over it, except eviction, which
removes it when its writer is dead.
"""

from __future__ import annotations

import os

from lazyimport.cache import is_trusted, make_trusted
from lazyimport.cache.sealed import TREES, archive_path, tree_path
from lazyimport.lazy import Later
from lazyimport.values import is_sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self

    from lazyimport import files
else:
    files = Later("files")  # to write

#: The folders of a cache.
BLOBS = "blobs"
BYTECODE = "bytecode"
PACKS = "packs"
ARTIFACTS = "artifacts"
CHANNELS = "channels"
SIGNATURES = "signatures"
DEPLOYMENTS = "deployments"
STAGING = "staging"
LOCKS = "locks"

#: Bytes from which on trees share a file. Those that programs edit are smaller; in
#: an environment of 8,000 files, eight were larger, and had 44 % of the bytes.
SHARED = 1 << 20


class Layout:
    """The paths of the node cache in the directory *path* (absolute)."""

    def __init__(self, path: str) -> None:
        self.path = path.rstrip("/")

    @classmethod
    def around(cls, path: str) -> Self:
        """Return the cache in which the archive, or root of a tree, *path* lies."""
        return cls(os.path.dirname(os.path.dirname(path)))

    def folder(self, name: str) -> str:
        """Return the path of a folder of the cache, such as `ARCHIVES`."""
        return f"{self.path}/{name}"

    def exists(self) -> bool:
        """Return whether the cache exists.

        Raises CacheError if it may not be trusted, see `is_trusted`.
        """
        return is_trusted(self.path)

    def make(self) -> None:
        """Make the cache if it is missing, and mark it if it is empty.

        Raises CacheError if that fails, if it may not be trusted, or if it is a store.
        """
        from lazyimport.cache.marker import (  # not to open what is here
            mark_if_empty,
            refuse_store,
        )

        make_trusted(self.path)
        refuse_store(self.path)
        mark_if_empty(self.path)

    def make_folder(self, name: str) -> str:
        """Make a folder of the cache as `make` makes the cache; return its path."""
        self.make()
        make_trusted(self.folder(name))
        return self.folder(name)

    def archive_path(self, hash: str) -> str:
        """Return where the archive *hash* lies when it is here."""
        return archive_path(self.path, hash)

    def tree_path(self, hash: str) -> str:
        """Return the directory that the archive *hash* stands for: its tree's root."""
        return tree_path(self.path, hash)

    def blob_path(self, digest: bytes, *, executable: bool) -> str:
        """Return where the file of a tree with this SHA-256 lies."""
        name = digest.hex()
        return f"{self.path}/{BLOBS}/{name[:2]}/{name}{'x' * executable}"

    def bytecode_path(
        self, tag: str, magic: bytes, optimization: int, digest: bytes
    ) -> str:
        """Return where a Python's bytecode of the source with this SHA-256 lies."""
        name = digest.hex()
        python = f"{tag}-{magic.hex()}-O{optimization}"
        return f"{self.path}/{BYTECODE}/{python}/{name[:2]}/{name}"

    def channel_path(self, store: str, name: str, *, signed: bool = False) -> str:
        """Return where the newest change seen of a channel in a store (URL) lies.

        *signed* is for those whose signature was checked: they have a file of their
        own, which nobody who checks none can spoil.
        """
        from hashlib import sha256  # only for those who ask a channel

        where = sha256(store.encode()).hexdigest()[:16]
        kind = "signed.json" if signed else "json"
        return f"{self.path}/{CHANNELS}/{where}-{name}.{kind}"

    def signature_path(self, hash: str) -> str:
        """Return where the signature of the archive *hash* lies."""
        return f"{self.path}/{SIGNATURES}/{hash}.json"

    def staging_path(self) -> str:
        """Return a new name of a directory in which an artifact may be unpacked."""
        return files.unfinished_path(f"{self.make_folder(STAGING)}/artifact")

    def lock_path(self, name: str) -> str:
        """Return the file of the lock *name*."""
        return f"{self.path}/{LOCKS}/{name}"


def hash_in(path: str) -> str | None:
    """Return the hash of the archive whose tree the file *path* lies in, or None."""
    folders = path.split("/")[:-1]
    for place, folder in enumerate(folders[:-1]):
        if folder == TREES and is_sha256(folders[place + 1]):
            return folders[place + 1]
    return None
