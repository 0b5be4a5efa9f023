"""Verifying the node cache, while others make room in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lazyimport.cache import verify as module, walks
from lazyimport.cache.layout import SHARED
from lazyimport.cache.marker import NAME
from lazyimport.cache.node import NodeCache
from lazyimport.cache.verify import verify
from lazyimport.format import sha256
from tests.support.node_cache import DAY, materialize, put_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def filled(cache: NodeCache) -> None:
    """Put an archive, its tree, the blobs of that, and bytecode into *cache*."""
    large = {"pkg/large.bin": os.urandom(SHARED)}
    root = materialize(cache, put_archive(cache, used=DAY, **large))
    code = Path(cache.folder("bytecode"), "cpython-311-cb0d-O0/ab", "ab" * 32)
    code.parent.mkdir(parents=True)
    code.write_bytes(sha256(b"code") + b"code")
    for path in Path(root).rglob("*.*"):  # no links, so that they are looked at
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)


@pytest.mark.parametrize("damaged", [False, True], ids=["sound", "damaged"])
@pytest.mark.parametrize("folder", ["blobs", "trees", "bytecode"])
def test_what_vanishes_meanwhile_counts_as_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, damaged: bool
) -> None:
    """Before it is read, or when it is found damaged and to be removed."""
    cache = NodeCache(str(tmp_path / "cache"))
    filled(cache)
    gone: list[str] = []
    real = walks.walk
    note = module.Damage

    def walk(where: str) -> Iterator[tuple[str, os.stat_result]]:
        for path, status in real(where):
            if f"/{folder}/" in path:
                if damaged:
                    os.chmod(path, 0o600)
                    Path(path).write_bytes(b"damaged" * 10)
                else:
                    os.unlink(path)
                    gone.append(path)
            yield path, status

    def noted(path: str, why: str) -> module.Damage:
        os.unlink(path)
        gone.append(path)
        return note(path, why)

    monkeypatch.setattr(module, "walk", walk)
    monkeypatch.setattr(module, "Damage", noted)

    found = verify(cache, remove=True)

    assert gone
    assert [each.path for each in found.damages] == (gone if damaged else [])


def test_without_a_marker_what_the_cache_did_not_write_stays(cache: NodeCache) -> None:
    """Another program may have files of such names."""
    cache.make()
    Path(cache.path, NAME).unlink()
    others = [
        f"archives/{'ab' * 32}",
        f"blobs/ab/{'ab' * 32}",
        f"bytecode/cpython-311-cb0d-O0/ab/{'ab' * 32}",
        "blobs/photo.jpg",
    ]
    for name in others:
        path = Path(cache.path, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("somebody's")
    large = {"pkg/large.bin": os.urandom(SHARED)}
    root = materialize(cache, put_archive(cache, used=DAY, **large))
    damage(Path(root, "pkg/large.bin"))
    other = put_archive(cache, used=DAY)
    damage(Path(cache.archive_path(other)))

    found = verify(cache, remove=True)

    assert len(found.damages) == 6 - 1  # a photo is none of its business
    assert all(Path(cache.path, name).exists() for name in others)
    assert not Path(cache.archive_path(other)).exists()
    assert Path(root, "pkg/large.bin").read_bytes() == large["pkg/large.bin"]
    assert len(verify(cache, remove=False).damages) == 3


def test_a_link_for_a_directory_stays(cache: NodeCache, tmp_path: Path) -> None:
    """Somebody tries out what is in a checkout; and what lies elsewhere is theirs."""
    root = materialize(cache, put_archive(cache, used=DAY))
    Path(root, "pkg").rename(tmp_path / "mine")
    Path(root, "pkg").symlink_to(tmp_path / "mine")
    theirs = next((tmp_path / "mine").rglob("*.*"))
    theirs.chmod(0o600)
    theirs.write_text("edited")

    assert verify(cache, remove=True).damages == []
    assert theirs.read_text() == "edited"


def damage(path: Path) -> None:
    """Change a byte in the middle, as a bad disk does: the times stay."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    os.chmod(path, 0o600)
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
