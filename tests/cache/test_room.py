"""Room: a process of its own brings the cache below its limit."""

from __future__ import annotations

import os
import sys
import time

import pytest

from lazyimport.cache import growth
from lazyimport.cache.marker import NAME
from lazyimport.cache.node import NodeCache
from lazyimport.cache.room import make_room, require_space
from tests.support.disks import mounted
from tests.support.node_cache import DAY, SIZE, hashes_by_use, materialize, put_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


def make_room_and_wait(cache: NodeCache, limit: str) -> list[str]:
    """Return the archives that are left."""
    make_room(cache, limit)
    deadline = time.monotonic() + 20
    while hashes_by_use(cache) and time.monotonic() < deadline:
        time.sleep(0.02)
    return hashes_by_use(cache)


def was_swept(cache: NodeCache, limit: str) -> bool:
    """Make room, in this process; return whether a sweep looked for what may go."""
    before = os.stat(f"{cache.path}/{NAME}").st_mtime_ns
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", "/none")
        make_room(cache, limit)
    return os.stat(f"{cache.path}/{NAME}").st_mtime_ns != before


def test_small_cache_is_left_alone(cache: NodeCache) -> None:
    """Also where other things on the disk are larger than its limit."""
    put_archive(cache, used=DAY)
    for limit in ("off", "900TB", f"{4 * SIZE}B"):
        assert not was_swept(cache, limit)

    assert was_swept(cache, f"{SIZE}B")


def test_a_cache_that_grows_beyond_its_limit_is_swept(cache: NodeCache) -> None:
    """Whatever came in between, and once: then it is known what it takes."""
    limit = f"{int(3.9 * SIZE)}B"
    names = [put_archive(cache, used=days * DAY) for days in (4, 3)]
    assert not was_swept(cache, limit)
    materialize(cache, names[1])  # used, so not what goes
    names.append(put_archive(cache, used=2 * DAY))
    assert was_swept(cache, limit)
    assert set(hashes_by_use(cache)) == set(names[1:])
    assert not was_swept(cache, limit)

    names.append(put_archive(cache, used=0))
    assert was_swept(cache, limit)
    assert names[3] in hashes_by_use(cache)
    assert len(hashes_by_use(cache)) < 3


def test_a_cache_that_nobody_counted_is_swept(cache: NodeCache) -> None:
    put_archive(cache, used=DAY)
    os.unlink(f"{cache.path}/{growth.NAME}")
    assert not was_swept(cache, "900TB")
    assert was_swept(cache, f"{4 * SIZE}B")
    assert not was_swept(cache, f"{4 * SIZE}B")


def test_a_full_disk_makes_room_for_what_comes(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=1m", "mode=700") as disk:
        cache = NodeCache(f"{disk}/node")
        names = [put_archive(cache, used=days * DAY) for days in (3, 2, 1)]
        free = os.statvfs(disk).f_bfree * os.statvfs(disk).f_frsize

        require_space(cache, free, None)
        assert hashes_by_use(cache) == names
        require_space(cache, free + 1, None)
        assert hashes_by_use(cache) == names[1:]
        archive = cache.open(names[1])
        with pytest.raises(OSError, match="No space left"):
            require_space(cache, 1 << 20, None)
        assert hashes_by_use(cache) == [names[1]]
        del archive


def test_a_process_of_its_own_does_it(cache: NodeCache) -> None:
    """Nobody has to wait for that process, nor gets to know of it."""
    put_archive(cache, used=DAY)

    assert make_room_and_wait(cache, "1kB") == []
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_without_a_python_to_start_it_is_done_here(
    cache: NodeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_archive(cache, used=DAY)
    monkeypatch.setattr(sys, "executable", "/none")
    make_room(cache, "1kB")

    assert hashes_by_use(cache) == []


def test_small_cache_is_swept_once_a_day(cache: NodeCache) -> None:
    put_archive(cache, used=DAY)
    blob = cache.blob_path(b"d" * 32, executable=False)
    os.makedirs(os.path.dirname(blob))
    with open(blob, "wb"):
        pass
    os.utime(blob, (0, 0))
    assert not was_swept(cache, "900TB")

    os.utime(f"{cache.path}/{NAME}", (0, 0))
    make_room(cache, "900TB")
    deadline = time.monotonic() + 20
    while os.path.exists(blob) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not os.path.exists(blob)


def test_never_fails(tmp_path: Path) -> None:
    make_room(NodeCache(str(tmp_path / "none")), "1kB")
    (tmp_path / "file").write_text("")
    make_room(NodeCache(str(tmp_path / "file")), "1kB")
