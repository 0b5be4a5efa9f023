"""What becomes of a node cache whose processes are killed, or whose disk is full.

    python -m benchmarks.harm            a minute or two; --rounds for more

A process that fetches, puts files on disk and makes room is killed at random moments,
and another one starts from what it left. Then processes start that can write no file
beyond some size, as on a disk that is full, and others start after them without that
limit. A start that fails, or finds anything damaged, is counted.

Last, two workers of a cold node wait for a download, or run from what has come, and at
a random moment the fetcher is killed, or a worker, which is started again: how many
bytes move for an archive then, until all of it is there, and how many for 64 workers of
which none is killed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from itertools import product
from pathlib import Path

from benchmarks import measure
from benchmarks.simulate import PROGRAM as IMPORTS, archive
from lazyimport.cache.node import NodeCache
from lazyimport.cache.verify import verify
from lazyimport.registry.layout import archive_key
from lazyimport.settings import Settings
from tests.support.fleet import BUSY, PROGRAM, Fleet, output_of
from tests.support.shaped import Shaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_LIMITED = """
import os, resource, sys
sys.dont_write_bytecode = True
resource.setrlimit(resource.RLIMIT_FSIZE, (int(os.environ["MOST"]),) * 2)
"""
_EXPECTED = "second 300000\n"
#: Bytes of the archive that is being fetched when somebody is killed.
_SIZE = 48 << 20


def start(
    fleet: Fleet, node: str, program: str = PROGRAM, **environ: str
) -> tuple[str, float]:
    """Return what a process on *node* printed, and the milliseconds that it took."""
    began = time.perf_counter()
    said = output_of(fleet.start(node, fleet.second.hash, program, **environ))
    return said, (time.perf_counter() - began) * 1000


def damaged(fleet: Fleet, node: str) -> int:
    """Return how many files of a node's cache are damaged."""
    cache = NodeCache(str(fleet.base / node))
    return len(verify(cache, remove=False).damages) if os.path.exists(cache.path) else 0


def kill(fleet: Fleet, rounds: int) -> None:
    """Print a row for each mode."""
    print("| Killed at any moment | Killed | Next start, ms | Slowest | Wrong |")
    print("| -- | -- | -- | -- | -- |")
    for mode in ("raw", "zstd"):
        killed = wrong = 0
        took: list[float] = []
        environ = {"LAZYIMPORT_CACHE_MODE": mode, "OTHER": fleet.first.hash}
        whole, _ = start(fleet, mode, BUSY, AFTER="100", **environ)
        while killed < rounds:
            after = random.uniform(0, 1) * float(whole) + 1e-6
            said, _ = start(fleet, mode, BUSY, AFTER=str(after), **environ)
            if not said.startswith("-14: "):  # it was done before the alarm
                continue
            killed += 1
            said, milliseconds = start(fleet, mode, **environ)
            took.append(milliseconds)
            wrong += said != _EXPECTED or damaged(fleet, mode)
        print(
            f"| {mode} | {killed} | {statistics.median(took):.0f} | {max(took):.0f} "
            f"| {wrong} |"
        )


def fill(fleet: Fleet, rounds: int) -> None:
    """Print how starts end that can write no file beyond some size."""
    start(fleet, "whole")
    there = NodeCache(str(fleet.base / "whole")).archives()
    largest = max(status.st_size for status in there.values())
    print("\n| On a full disk | Starts | From memory | From the cache | Wrong |")
    print("| -- | -- | -- | -- | -- |")
    for mode in ("raw", "zstd"):
        memory = wrong = 0
        for number in range(rounds):
            node = f"{mode}{number}"
            most = largest * 5 // 4 * number // (rounds - 1)
            environ = {"LAZYIMPORT_CACHE_MODE": mode, "MOST": str(most)}
            environ["LOG"] = ""  # the log of downloads is a file, too
            program = _LIMITED + PROGRAM
            child = fleet.start(node, fleet.second.hash, program, **environ)
            _, errors = child.communicate()
            memory += "runs from memory" in errors
            # it ran, and only the file that it could not put on disk was missed
            ran = child.returncode == 0 or "FileNotFoundError" in errors
            later, _ = start(fleet, node, LAZYIMPORT_CACHE_MODE=mode)
            wrong += not ran or later != _EXPECTED or damaged(fleet, node)
        print(f"| {mode} | {rounds} | {memory} | {rounds - memory} | {wrong} |")


def interrupt(folder: str, rounds: int, size: int, many: int) -> None:
    """Print what moves if somebody is killed while an archive of *size* bytes comes."""
    hash = archive(folder, size)
    size = os.path.getsize(f"{folder}/{archive_key(hash)}")
    server = Shaped(Path(folder), rate=size / 2, delay=0.01)
    print("\n| Killed in a download | Downloads | Bytes | Most bytes | Wrong |")
    print("| -- | -- | -- | -- | -- |")
    whoms = ("the fetcher", "a worker", f"none of {many} workers")
    with server.serving() as url:
        for fetch, whom in product(("whole", "stream"), whoms):
            crowd = many if whom.startswith("none") else 2
            moved: list[float] = []
            wrong = 0
            for number in range(1 if crowd > 2 else rounds):
                cache = NodeCache(f"{folder}/{fetch}{whom[:6]}{number}")
                settings = Settings(hash, url, cache.path, fetch=fetch)
                server.moved = 0
                wrong += not _download(cache, settings, whom, crowd)
                moved.append(server.moved / size)
                shutil.rmtree(cache.path)
            print(
                f"| {whom}, {fetch} | {len(moved)} | {statistics.mean(moved):.3f} "
                f"| {max(moved):.3f} | {wrong} |",
                flush=True,
            )


def _download(cache: NodeCache, settings: Settings, whom: str, crowd: int) -> bool:
    """Start workers on a cold node, kill one of *whom*; return whether all is well."""

    def worker(settings: Settings = settings) -> subprocess.Popen[bytes]:
        environ = measure.clean_environ(settings.to_environ())
        return subprocess.Popen([sys.executable, "-S", "-c", IMPORTS], env=environ)

    workers = [worker() for _ in range(crowd)]
    at = time.monotonic() + random.uniform(0.1, 2.5)
    while time.monotonic() < at:
        time.sleep(0.005)
    if whom == "a worker":
        workers[0].kill()
        workers[0].wait()
        workers[0] = worker()
    elif whom == "the fetcher":
        for pid in _fetchers(cache.lock_path(str(settings.hash))):
            os.kill(pid, signal.SIGKILL)
    ended = [child.wait(timeout=300) for child in workers]
    ended.append(worker(settings.replaced(fetch="whole")).wait(timeout=300))
    return not any(ended) and not verify(cache, remove=False).damages


def _fetchers(lock: str) -> Iterator[int]:
    """Yield the processes whose standard error is *lock*."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            if os.readlink(f"/proc/{pid}/fd/2") == lock:
                yield int(pid)


def main() -> None:
    """Run all in a new folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=40, help="of each, default 40")
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    options = parser.parse_args()
    with measure.scratch() as folder:
        fleet = Fleet(Path(folder))
        rounds = 2 if options.quick else options.rounds
        kill(fleet, rounds)
        fill(fleet, rounds)
    with measure.scratch() as folder:
        size, many = (_SIZE // 16, 4) if options.quick else (_SIZE, 64)
        interrupt(folder, rounds, size, many)


if __name__ == "__main__":
    main()
