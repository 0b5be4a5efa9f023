"""What it costs and saves that a file is an object of its own, by its size.

Four files of random bytes lie beside one module: in the archive, or each as an object.
A node that has nothing fetches all of it over a link; then a line of code changes, and
then so much that the archive is sent whole, as it is for another Python. "Seconds" are
those of the fetch, in a fresh process, "requests" are its requests; "disk" is what the
cache of the node takes when the files were put on disk, in parts of their bytes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks import measure
from lazyimport.cache import blobs
from lazyimport.cache.node import NodeCache
from lazyimport.cache.usage import usage
from lazyimport.delivery.publish import publish
from lazyimport.packing.options import PackOptions
from lazyimport.packing.packer import pack
from lazyimport.settings import Settings
from lazyimport.stores.file import FileStore
from tests.support.shaped import Shaped

FILES = 4
SIZES = [1 << 19, 1 << 20, 2 << 20, 4 << 20, 8 << 20, 16 << 20, 32 << 20]
#: seconds of a round trip, bytes a second of the link
LINKS = [(0.002, 1.25e8), (0.02, 1.25e8), (0.06, 2.5e7)]
NODE = """
import sys, time
from lazyimport.delivery.blobs_wanted import obtain_ahead
from lazyimport.reporting import SILENT
from lazyimport.settings import Settings
url, cache, hash = sys.argv[1:]
settings = Settings(hash=hash, store=url, cache_dir=cache)
began = time.perf_counter()
obtain_ahead(settings, SILENT)
print(time.perf_counter() - began)
import lazyimport
lazyimport.install(hash, store=url, cache_dir=cache)
import shop
lazyimport.path("shop/0.bin")
"""


def main() -> None:
    options = measure.arguments(__doc__, rounds=3).parse_args()
    measure.print_machine()
    sizes = SIZES[:1] if options.quick else SIZES
    links = LINKS[:1] if options.quick else LINKS
    for delay, rate in links:
        print(f"\nround trip {delay * 1000:.0f} ms, {rate * 8 / 1e6:.0f} Mbit/s\n")
        rows = [row(size, delay, rate, options.rounds) for size in sizes]
        measure.table(
            [
                "",
                *(f"{what}, {how}" for what in STEPS for how in ("in", "own")),
                "disk",
            ],
            rows,
        )


STEPS = ("cold", "a line", "whole")


def row(size: int, delay: float, rate: float, rounds: int) -> tuple[object, ...]:
    """Return a row: the medians of each step, in the archive and as objects."""
    found: dict[str, list[list[tuple[float, int]]]] = {}
    disks, disk = [], 0
    for how in ("in", "own"):
        found[how] = []
        for _ in range(rounds):
            with measure.scratch() as folder:
                steps, disk = versions(Path(folder), size, how, delay, rate)
                found[how].append(steps)
        disks.append(f"{disk / size / FILES:.1f}")
    cells = []
    for step in range(len(STEPS)):
        for how in ("in", "own"):
            seconds, requests = sorted(each[step] for each in found[how])[rounds // 2]
            cells.append(f"{seconds:.2f} s, {requests}")
    return (f"{FILES} of {size / 2**20:g} MiB", *cells, " and ".join(disks))


def versions(
    folder: Path, size: int, how: str, delay: float, rate: float
) -> tuple[list[tuple[float, int]], int]:
    """Return seconds and requests of each step, and the disk that they took."""
    blobs.LARGE = 1 << 18 if how == "own" else 1 << 40
    code = folder / "tree/shop/__init__.py"
    code.parent.mkdir(parents=True)
    code.write_text("x = 1\n")
    for number in range(FILES):
        (code.parent / f"{number}.bin").write_bytes(os.urandom(size))
    store = FileStore(str(folder / "store"))
    author = NodeCache(str(folder / "author"))
    settings = Settings(store=store.url, cache_dir=author.path)
    steps = []
    server = Shaped(folder / "store", delay=delay, rate=rate)
    with server.serving() as url:
        for step in STEPS:
            with code.open("a") as file:
                file.write(f"# {step}\n")
            if step == "whole":
                for archive in (folder / "store/archives").iterdir():
                    archive.unlink()
            packed = pack([folder / "tree"], settings, PackOptions(jobs=1), whole=False)
            publish(packed.revision, store, author)
            server.requests = 0
            command = [sys.executable, "-c", NODE, url, f"{folder}/node"]
            printed = subprocess.run(
                [*command, packed.revision.hash],
                env=measure.clean_environ(),
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            steps.append((float(printed), server.requests))
    return steps, usage(NodeCache(f"{folder}/node"))


if __name__ == "__main__":
    main()
