"""A site whose tree has two large files, of which one is compressed in the store."""

from __future__ import annotations

import os
import random

from lazyimport.cache.blobs import LARGE
from lazyimport.cache.node import NodeCache
from lazyimport.cache.previous import find_packed
from lazyimport.delivery.publish import Published, publish
from lazyimport.format.delta import Revision
from lazyimport.packing.options import PackOptions
from lazyimport.packing.packer import pack
from lazyimport.settings import Settings
from lazyimport.stores import open_store, writable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from lazyimport.format.blobs import Blob
    from lazyimport.packing.roots import Packed

__all__ = ["DENSE", "LOOSE", "LargeSite", "damage", "loose"]

#: paths of the two in the tree
DENSE, LOOSE = "shop/weights/dense.bin", "shop/weights/loose.bin"
_PAGE = 4096


def loose(size: int, seed: int = 0) -> bytes:
    """Return *size* bytes, a third of which are random."""
    some = random.Random(seed).randbytes(size // 3 + _PAGE)
    pages = range(0, len(some), _PAGE // 3)
    return b"".join(some[at : at + _PAGE // 3].ljust(_PAGE, b"-") for at in pages)[
        :size
    ]


class LargeSite:
    """An author's tree and cache, a store, and a node."""

    def __init__(self, base: Path, *, on_demand: str = "") -> None:
        self.base = base
        self.tree = base / "tree"
        self.dense = os.urandom(LARGE + 5000)
        self.loose = loose(LARGE + 70_001)
        (self.tree / "shop/weights").mkdir(parents=True)
        (self.tree / "shop/__init__.py").write_text("x = 1\n")
        (self.tree / DENSE).write_bytes(self.dense)
        (self.tree / LOOSE).write_bytes(self.loose)
        config = f"on_demand = [{on_demand!r}]\n" if on_demand else ""
        text = f"[tool.lazyimport]\nexclude = ['pyproject.toml']\n{config}"
        (self.tree / "pyproject.toml").write_text(text)
        self.url = f"file://{base}/store"
        self.author = NodeCache(str(base / "author"))
        self.node = NodeCache(str(base / "node"))

    def author_settings(self) -> Settings:
        return Settings(store=self.url, cache_dir=self.author.path)

    def pack(self) -> Packed:
        return pack([self.tree], self.author_settings(), PackOptions(), whole=False)

    def push(self) -> Published:
        revision = self.pack().revision
        return publish(revision, writable(open_store(self.url)), self.author)

    def settings(self, hash: str | None = None, **changes: str) -> Settings:
        values = {"store": self.url, "cache_dir": self.node.path, **changes}
        return Settings(hash=hash, **values)  # type: ignore[arg-type]

    def environ(self, hash: str, **changes: str) -> dict[str, str]:
        """Return the environment of a process of the node."""
        return {**os.environ, **self.settings(hash, **changes).to_environ()}

    def blob(self, hash: str, path: str = DENSE) -> Blob:
        """Return the blob of a file, as the author's archive has it."""
        blobs = self.archive(hash).blobs.values()
        return next(blob for blob in blobs if blob.path == path)

    def archive(self, hash: str) -> Revision:
        """Return an archive that was packed here."""
        archive = self.author.open(hash)
        found = Revision(archive) if archive else find_packed(self.author, hash)
        assert found is not None
        return found

    def object(self, hash: str, path: str = DENSE) -> Path:
        """Return the file in the store that has a large file."""
        ending = ".zst" if path == LOOSE else ""
        return self.base / "store/blobs" / f"{self.blob(hash, path).name}{ending}"

    def here(self, hash: str, path: str = DENSE) -> Path:
        """Return the file in the node's cache that has a large file."""
        digest = self.blob(hash, path).digest
        return self.base / self.node.blob_path(digest, executable=False)


def damage(site: LargeSite, hash: str, path: str = DENSE) -> None:
    """Let the author's disk change a byte of a large file, and nothing tell so."""
    digest = site.blob(hash, path).digest
    file = site.author.blob_path(digest, executable=False)
    before = os.stat(file)
    os.chmod(file, 0o644)
    with open(file, "r+b") as out:
        out.write(b"damaged")
    os.chmod(file, before.st_mode)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
