"""Growth: the sum of what came since a sweep is never less than what a cache takes."""

from __future__ import annotations

import io
import os
import posix
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lazyimport.cache import growth
from lazyimport.cache.blobs import take_in, take_out
from lazyimport.cache.bytecode import BytecodeCache
from lazyimport.cache.evict import clear, prune, shrink
from lazyimport.cache.growth import NAME, Growing, taken
from lazyimport.cache.node import NodeCache
from lazyimport.cache.usage import usage
from tests.support.node_cache import DAY, SIZE, all_files, materialize, put_archive
from tests.support.trees import make_archive

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
        with Growing(cache.path, 200):
            pass
    growth.know(cache.path, 30)
    assert known(cache) == 5230

    with Growing(cache.path, 5000):
        pass
    assert known(cache) == 10230


def test_what_gets_its_name_while_a_sweep_counts(
    cache: NodeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep may find it under neither name."""
    cache.make()
    replace = os.replace

    def counting(old: str, new: str) -> None:
        growth.forget(cache.path)
        replace(old, new)
        growth.know(cache.path, 30)

    for module in (os, posix):
        monkeypatch.setattr(module, "replace", counting)
    data, name = make_archive({"a.py": "", "data.bin": os.urandom(SIZE)})
    cache.publish(name, lambda out: out.write(data))
    assert known(cache) == 30 + len(data)
    take_in(io.BytesIO(data), len(data), cache, executable=False)
    assert known(cache) == 30 + len(data)
    BytecodeCache(cache, "python", b"magic", 0).put(b"d" * 32, data)
    assert known(cache) > 30 + len(data)


def test_what_comes_with_a_size_that_is_not_known(cache: NodeCache) -> None:
    cache.make()
    with Growing(cache.path) as growing, Growing(cache.path, 20):
        assert taken(cache.path) is None
        growing.size = 300
    assert known(cache) == 320
    with Growing(cache.path) as growing:
        growth.forget(cache.path)
        growth.know(cache.path, 50)
        assert known(cache) == 50
        growing.size = 300
    assert known(cache) == 350


@pytest.mark.parametrize(
    "text",
    [
        *("", "10\n", "=10 BOOT", "=x BOOT\n", "=1 BOOT\n2"),
        *("=9 BOOT\n-5\n", "=-9 BOOT\n", "=9 BOOT\n\n", "=9 BOOT\n?\n"),
        *("=9 BOOT\n!5\n", f"=9 BOOT\n{'9' * 5000}\n"),
    ],
    ids=lambda text: text[:12],
)
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
        "import sys; from lazyimport.cache.growth import Growing; "
        "import resource as r; from signal import SIGXFSZ, SIG_IGN, signal; "
        "signal(SIGXFSZ, SIG_IGN); r.setrlimit(r.RLIMIT_FSIZE, (1, 1)); "
        "Growing(sys.argv[1], 7).__enter__()"
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


@pytest.mark.parametrize("kind", ["publish", "take_in"])
def test_who_is_killed_while_it_writes_leaves_no_less(
    cache: NodeCache, kind: str
) -> None:
    cache.make()
    code = (
        "import io, os, sys; from lazyimport.cache.node import NodeCache\n"
        "from lazyimport.cache.blobs import take_in\n"
        "class Source(io.BytesIO):\n"
        "    def read(self, size):\n"
        f"        if self.tell(): os.kill(os.getpid(), {signal.SIGKILL})\n"
        "        return super().read(1 << 20)\n"
        "source, cache = Source(bytes(4 << 20)), NodeCache(sys.argv[1])\n"
        "def write(out): out.write(source.read(1)); out.flush(); source.read(1)\n"
        "if sys.argv[2] == 'publish': cache.publish('a' * 64, write)\n"
        "else: take_in(source, 4 << 20, cache, executable=False)\n"
    )
    command = [sys.executable, "-c", code, cache.path, kind]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL

    assert usage(cache) >= 1 << 20
    assert taken(cache.path) in {None, 4 << 20}


def test_a_file_without_end_sums_up_nothing(cache: NodeCache) -> None:
    cache.make()
    with open(f"{cache.path}/{NAME}", "r+b") as file:
        file.truncate(1 << 42)
    assert taken(cache.path) is None


def test_many_processes_count_together(cache: NodeCache) -> None:
    cache.make()
    code = (
        "import sys; from lazyimport.cache.growth import Growing\n"
        "for _ in range(500):\n"
        "    with Growing(sys.argv[1], 3): pass"
    )
    command = [sys.executable, "-c", code, cache.path]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [each.wait() for each in processes] == [0] * 4

    assert known(cache) == 6000
