"""Growth: the sum of what came since a sweep is never less than what a cache takes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lazyimport.cache import growth
from lazyimport.cache.blobs import take_in, take_out
from lazyimport.cache.bytecode import BytecodeCache
from lazyimport.cache.evict import clear, prune, shrink
from lazyimport.cache.growth import NAME, Growing, note, taken
from lazyimport.cache.node import NodeCache
from lazyimport.cache.usage import usage
from tests.support.node_cache import DAY, SIZE, all_files, materialize, put_archive

#: What locks and directories of a new cache may take beside what is noted.
ROOM = 64 << 10


def known(cache: NodeCache) -> int:
    size = taken(cache.path)
    assert size is not None
    return size


def test_what_comes_is_counted(cache: NodeCache) -> None:
    """Archives, trees, large files and bytecode, by whichever process puts them."""
    cache.make()
    assert known(cache) == 0
    name = put_archive(cache, used=0, **{f"pkg/m{n}.py": "" for n in range(50)})
    was = known(cache)
    assert SIZE < usage(cache) <= was + ROOM

    materialize(cache, name)
    assert SIZE * 2 < usage(cache) <= known(cache) + ROOM
    assert known(cache) > was + SIZE
    was = known(cache)

    BytecodeCache(cache, "python", b"magic", 0).put(b"d" * 32, b"x" * SIZE)
    assert known(cache) > was + SIZE
    was = known(cache)

    file = Path(cache.path).parent / "weights"
    file.write_bytes(os.urandom(SIZE))
    with file.open("rb") as source:
        take_in(source, SIZE, cache, executable=False)
    assert known(cache) == was + SIZE
    assert usage(cache) <= known(cache) + ROOM


def test_a_large_file_that_is_packed_is_counted(cache: NodeCache) -> None:
    name = put_archive(cache, used=0, **{"pkg/weights": bytes(8 << 20)})
    was = known(cache)
    archive = cache.open(name)
    assert archive is not None
    take_out(archive, cache)

    assert known(cache) == was + (8 << 20)


def test_a_sweep_says_what_is_left(cache: NodeCache) -> None:
    names = [put_archive(cache, used=days * DAY) for days in (3, 2, 1)]
    Path(cache.path, NAME).unlink()
    put_archive(cache, used=0)
    assert taken(cache.path) is None  # as with a cache from before

    prune(cache, dry_run=True)
    assert taken(cache.path) is None
    prune(cache)
    assert known(cache) == usage(cache)
    shrink(cache, f"{usage(cache) - SIZE // 2}B")
    assert cache.open(names[0]) is None
    assert known(cache) == usage(cache)
    clear(cache)
    assert all_files(cache) == []
    assert known(cache) == usage(cache)


def test_what_comes_while_a_sweep_counts(cache: NodeCache) -> None:
    """It may have gone where the sweep has looked before."""
    cache.make()
    with Growing(cache.path, 5000):
        growth.forget(cache.path)
        assert taken(cache.path) is None
        note(cache.path, 200)
    growth.know(cache.path, 30)
    assert known(cache) == 5230

    with Growing(cache.path, 5000):
        pass
    assert known(cache) == 10230


@pytest.mark.parametrize("text", ["", "10\n", "=10 BOOT", "=x BOOT\n", "=1 BOOT\n2"])
def test_a_sum_that_is_not_whole_is_none(cache: NodeCache, text: str) -> None:
    cache.make()
    file = Path(cache.path, NAME)
    boot = file.read_text().split()[1]
    file.write_text(text.replace("BOOT", boot))

    assert taken(cache.path) is None
    file.write_text("=1 anotherboot\n")
    assert taken(cache.path) is None
    file.write_text(f"2\n=1 {boot}\n3\n")
    assert known(cache) == 6


def test_a_line_that_cannot_be_written_leaves_none(cache: NodeCache) -> None:
    cache.make()
    code = (
        "import sys; from lazyimport.cache.growth import note; "
        "import resource as r; from signal import SIGXFSZ, SIG_IGN, signal; "
        "signal(SIGXFSZ, SIG_IGN); r.setrlimit(r.RLIMIT_FSIZE, (1, 1)); "
        "note(sys.argv[1], 7)"
    )
    subprocess.run([sys.executable, "-c", code, cache.path], check=True)

    assert taken(cache.path) is None


def test_who_is_killed_leaves_no_less(cache: NodeCache) -> None:
    cache.make()
    code = (
        "import os, sys; from lazyimport.cache.growth import Growing\n"
        f"with Growing(sys.argv[1], 7): os.kill(os.getpid(), {signal.SIGKILL})"
    )
    subprocess.run([sys.executable, "-c", code, cache.path], check=False)

    assert known(cache) == 7


def test_many_processes_count_together(cache: NodeCache) -> None:
    cache.make()
    code = (
        "import sys; from lazyimport.cache.growth import note\n"
        "for _ in range(500): note(sys.argv[1], 3)"
    )
    command = [sys.executable, "-c", code, cache.path]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [each.wait() for each in processes] == [0] * 4

    assert known(cache) == 6000
