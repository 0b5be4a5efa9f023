"""``lazyimport dev -m``: a process that is started again, or swaps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.compare_importers import write_tree

pytest.importorskip("watchfiles")

FILES = {
    "app/__init__.py": "",
    "app/consts.py": "VERSION = 1\n",
    "app/again.py": "import sys, time\nfrom app import consts\n"
    "print('again', consts.VERSION, *sys.argv[1:], flush=True)\ntime.sleep(60)\n",
    "app/leaves.py": "import os, time\nfrom app import consts\n"
    "hear, tell = map(int, os.environ['LAZYIMPORT_FOLLOW'].split())\n"
    "os.write(tell, b'\\n')\nos.close(hear)\n"
    "print('leaves', consts.VERSION, flush=True)\ntime.sleep(60)\n",
    "app/swaps.py": "import os, time\nimport lazyimport\nlazyimport.live.follow()\n"
    "from app import consts\nwhile True:\n"
    "    print('swaps', consts.VERSION, os.getpid(), flush=True)\n    time.sleep(0.05)\n",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_tree(FILES, tmp_path / "src")


def lines(
    source: Path, *words: str, end: signal.Signals = signal.SIGINT
) -> Generator[str, None, None]:
    """Yield what a module prints that ``dev`` runs, from its start to its *end*."""
    command = [sys.executable, "-m", "lazyimport", "dev", str(source), "-m", *words]
    cache = str(source.parent / "cache")
    child = subprocess.Popen(
        command,
        env={**os.environ, "LAZYIMPORT_CACHE_DIR": cache},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout is not None
    try:
        yield from iter(child.stdout.readline, "")
    finally:
        child.send_signal(end)
        child.wait(30)
        assert "" == child.stdout.read()  # the module has ended
        child.stdout.close()


def save(source: Path, version: int) -> None:
    time.sleep(0.1)
    (source / "app/consts.py").write_text(f"VERSION = {version}\n")


def test_a_module_is_started_again(source: Path) -> None:
    told = lines(source, "app.again", "--queue", "small")

    assert next(told) == "again 1 --queue small\n"
    save(source, 2)
    assert next(told) == "again 2 --queue small\n"
    told.close()


def test_a_process_that_no_longer_listens_is_started_again(source: Path) -> None:
    told = lines(source, "app.leaves")

    assert next(told) == "leaves 1\n"
    save(source, 2)
    assert next(told) == "leaves 2\n"
    told.close()


def test_a_module_that_asks_for_it_swaps(source: Path) -> None:
    told = lines(source, "app.swaps")
    first = next(told).split()
    save(source, 2)
    now = next(line.split() for line in told if " 2 " in line)

    assert first[:2] == ["swaps", "1"]
    assert now == ["swaps", "2", first[2]]
    told.close()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_the_module_ends_with_dev(source: Path, end: signal.Signals) -> None:
    told = lines(source, "app.again", end=end)

    assert next(told) == "again 1\n"
    told.close()
