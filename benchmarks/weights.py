"""A model of 2 GB beside code: the first version, then one changed line of code.

Each step is what a person or a worker does, as a process of its own: a push, and the
start of a worker until it has read the length of the weights. The table has seconds,
bytes that went to the store or came from it, what the caches take on their disks, and
the largest memory of any process that had a file of this benchmark open: what is its
own (anonymous), without the files that it maps.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

from benchmarks import measure
from lazyimport.cache.blobs import LARGE
from lazyimport.cache.node import NodeCache
from lazyimport.cache.usage import usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 2 << 30
WORKER = "import lazyimport, shop; print(len(open(lazyimport.path('shop/model.bin'), 'rb').read(1)))"
PUSH = "import sys; from lazyimport import cli; sys.exit(cli.main())"


def main() -> None:
    options = measure.arguments(__doc__, rounds=1).parse_args()
    measure.print_machine()
    rows: list[tuple[object, ...]] = []
    for _ in range(options.rounds):
        with measure.scratch() as folder:
            rows += versions(folder, 2 * LARGE if options.quick else SIZE)
    header = [
        "",
        "seconds",
        "bytes moved",
        "author's disk",
        "node's disk",
        "memory, MB",
    ]
    measure.table(header, rows)


def versions(folder: str, size: int) -> list[tuple[object, ...]]:
    """Return a row for each step of two versions."""
    tree, store = f"{folder}/tree", f"{folder}/store"
    os.makedirs(f"{tree}/shop")
    os.makedirs(store)
    with open(f"{tree}/shop/model.bin", "wb") as file:
        file.writelines(os.urandom(1 << 20) for _ in range(0, size, 1 << 20))
    time.sleep(2.5)  # a push trusts the times of no file that was just written
    rows: list[tuple[object, ...]] = []
    for what in ("first", "one line changed"):
        with open(f"{tree}/shop/__init__.py", "a", encoding="utf-8") as file:
            file.write(f"VERSION = {what!r}\n")
        push = ["push", tree, "--quiet", "--store", f"file://{store}"]
        command = [sys.executable, "-c", PUSH, *push]
        hash, *row = step(command, folder, "author", size)
        rows.append((f"push, {what}", *row))
        command = [sys.executable, "-c", WORKER]
        _, *row = step(command, folder, "node", size, hash)
        rows.append((f"worker, {what}", *row))
    return rows


def step(
    command: list[str], folder: str, machine: str, size: int, hash: str = ""
) -> tuple[str, ...]:
    """Run *command* on a machine; return what it prints, and its row."""
    environ = measure.clean_environ({"LAZYIMPORT_CACHE_DIR": f"{folder}/{machine}"})
    if hash:
        environ |= {
            "LAZYIMPORT_HASH": hash,
            "LAZYIMPORT_STORE": f"file://{folder}/store",
        }
    before = moved(folder, machine)
    with Memory(folder) as memory:
        began = time.perf_counter()
        printed = subprocess.run(
            command, env=environ, check=True, capture_output=True, text=True
        ).stdout
        seconds = time.perf_counter() - began
    disks = (f"{disk(folder, name) / size:.2f}" for name in ("author", "node"))
    return (
        printed.strip(),
        f"{seconds:.2f}",
        f"{moved(folder, machine) - before:,}",
        *disks,
        f"{memory.most / 1000:.0f}",
    )


def moved(folder: str, machine: str) -> int:
    """Return how much lies where a step puts it."""
    place = "store" if machine == "author" else machine
    sizes = set()
    for where, _, names in os.walk(f"{folder}/{place}"):
        for name in names:
            status = os.lstat(f"{where}/{name}")
            sizes.add((status.st_ino, status.st_size))
    return sum(size for _, size in sizes)


def disk(folder: str, machine: str) -> int:
    """Return what the node cache of a machine takes."""
    cache = NodeCache(f"{folder}/{machine}")
    return usage(cache) if cache.exists() else 0


class Memory:
    """Looks, while a block runs, at processes that have files below *folder* open.

    The block ends when several looks in a row have found none.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        #: kilobytes
        self.most = 0

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        idle = 0
        while idle < 5 or not self._over.is_set():
            sizes = [_own_memory(pid) for pid in self._users()]
            self.most = max(self.most, *sizes, 0)
            idle = 0 if sizes else idle + 1
            time.sleep(0.02)

    def _users(self) -> Iterator[str]:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                files = os.listdir(f"/proc/{pid}/fd")
                links = [os.readlink(f"/proc/{pid}/fd/{each}") for each in files]
            except OSError:
                continue  # it has ended
            if int(pid) != os.getpid() and any(
                link.startswith(self._folder) for link in links
            ):
                yield pid


def _own_memory(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            lines = [line.split() for line in file if line.startswith("RssAnon")]
    except OSError:
        return 0
    return int(lines[0][1]) if lines else 0


if __name__ == "__main__":
    main()
