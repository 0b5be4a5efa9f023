"""Zips, wheels and tarballs as other tools make them, and as no tool should."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

Files = Mapping[str, str | bytes]


def make_zip(files: Files, path: Path, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write *files*, a mapping of member names to contents, as a zip."""
    with zipfile.ZipFile(path, "w", compression) as container:
        for name, content in files.items():
            container.writestr(name, content)
    return path


def make_tar(files: Files, path: Path) -> Path:
    """Write *files* as a tarball, compressed according to the name of *path*."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as container:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            row = tarfile.TarInfo(name)
            row.size = len(data)
            container.addfile(row, io.BytesIO(data))
    path.write_bytes(compress(plain.getvalue(), path.name))
    return path


def compress(plain: bytes, name: str) -> bytes:
    """Compress the bytes of a tarball according to the suffix of *name*."""
    if not name.endswith(".zst"):
        return gzip.compress(plain, mtime=0)
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        import zstandard

        return zstandard.ZstdCompressor().compress(plain)
    return bytes(zstd.compress(plain))


def make_container(files: Files, path: Path) -> Path:
    """Write *files* in the format that the suffix of *path* names."""
    return (make_zip if path.suffix in {".zip", ".whl"} else make_tar)(files, path)


def named_by_hash(path: Path) -> Path:
    """Rename ``app.zip`` to ``app-<its SHA-256>.zip`` and return that."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    stem, dot, suffixes = path.name.partition(".")
    return path.rename(path.with_name(f"{stem}-{digest}{dot}{suffixes}"))
