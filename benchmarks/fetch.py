"""How long a process waits on a node that does not have its archive.

A server on this machine has a round trip and a bandwidth. One side downloads the
archive in one stream, decodes it and writes it again, in the process itself, as was
done before there was a fetcher; the other calls `lazyimport.install()`.
The node cache is in memory (/dev/shm), where there is one.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

from benchmarks import measure
from lazyimport.format.archive import Archive
from lazyimport.registry.layout import archive_key
from lazyimport.stores.file import FileStore
from tests.support.trees import make_archive

#: bytes a second for all and for one connection, and seconds of a round trip
LINKS = {
    "5 Gbit/s, 1 ms": (625e6, 1e12, 0.001),
    "1 Gbit/s, 20 ms": (125e6, 1e12, 0.02),
    "100 Mbit/s, 50 ms": (12.5e6, 1e12, 0.05),
    "5 Gbit/s, 20 ms, 100 MB/s a connection": (625e6, 100e6, 0.02),
}
SERVER = """
import sys, time
from pathlib import Path
from tests.support.shaped import Shaped
rate, each, delay = map(float, sys.argv[2:])
with Shaped(Path(sys.argv[1]), rate=rate, each=each, delay=delay).serving() as url:
    print(url, flush=True)
    sys.stdin.read()
"""
BEFORE = """
import os, tempfile
from lazyimport.cache.node import NodeCache, map_file
from lazyimport.format.archive import Archive
from lazyimport.format.writer import recode
from lazyimport.registry.layout import archive_key
from lazyimport.settings import Settings
from lazyimport.stores import open_store
settings = Settings.from_environ(os.environ)
cache, store, hash = NodeCache(settings.cache_dir), open_store(settings.store), settings.hash
with tempfile.TemporaryFile(dir=cache.make_folder("archives")) as file:
    store.download(archive_key(hash), file)
    file.flush()
    archive = Archive(map_file(file, "it"), hash)
cache.publish(hash, lambda out: recode(archive, out, raw=True))
import lazyimport
lazyimport.install()
"""
NOW = "import lazyimport; lazyimport.install()"
#: Most seconds that a side is expected to take; a link that is slower is left out.
_LONGEST = 40.0


def archives(scale: float) -> dict[str, tuple[bytes, str]]:
    """Return archives by name: many small files that compress, and large ones."""
    site = (
        os.path.dirname(os.path.dirname(os.__file__))
        + f"/{Path(os.__file__).parent.name}"
    )
    library = {
        f"library/{path.relative_to(site)}": path.read_bytes()
        for path in sorted(Path(site).rglob("*.py"))
        if "site-packages" not in path.parts and "test" not in path.parts
    }
    few = dict(list(library.items())[: max(int(len(library) * scale), 1)])
    noise = random.Random(1)
    large = {
        f"weights/{n}.bin": noise.randbytes(int(scale * (64 << 20))) for n in range(8)
    }
    code = dict(list(few.items())[:60])
    return {"library": make_archive(few), "weights": make_archive({**code, **large})}


def main() -> None:
    parser = measure.arguments(__doc__, rounds=5)
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    measure.print_machine()
    rows = []
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    for name, (data, hash) in archives(0.01 if options.quick else 1).items():
        raw = sum(entry.size for entry in Archive(data, hash).index.entries())
        with measure.scratch() as folder:
            FileStore(folder).put(archive_key(hash), BytesIO(data))
            for link, (rate, each, delay) in LINKS.items():
                if len(data) / min(rate, each) > _LONGEST:
                    continue
                shape = [str(value) for value in (rate, each, delay)]
                sides = run(folder, hash, shape, rounds, place)
                about = f"{name}, {len(data) >> 20} MB of {raw >> 20}"
                ratio = statistics.median(
                    now / before for before, now in zip(*sides, strict=True)
                )
                before, now = map(statistics.median, sides)
                rows.append(
                    (about, link, f"{before:.2f}", f"{now:.2f}", f"{ratio:.2f}")
                )
    measure.table(["archive", "link", "before, s", "now, s", "ratio"], rows)


def run(
    folder: str, hash: str, shape: list[str], rounds: int, place: str | None
) -> tuple[list[float], list[float]]:
    """Return the seconds of both sides, round by round."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, folder, *shape],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    sides: dict[str, list[float]] = {BEFORE: [], NOW: []}
    try:
        for _ in range(rounds):
            for program in random.sample([BEFORE, NOW], 2):
                sides[program].append(once(program, url, hash, place))
    finally:
        server.communicate("")
    return sides[BEFORE], sides[NOW]


def once(program: str, url: str, hash: str, place: str | None) -> float:
    """Return the seconds of a process on a node with an empty cache."""
    node = f"{place or '/tmp'}/lazyimport-benchmark-{os.getpid()}"
    shutil.rmtree(node, ignore_errors=True)
    settings = {"STORE": url, "CACHE_DIR": node, "HASH": hash}
    environ = {f"LAZYIMPORT_{name}": value for name, value in settings.items()}
    started = time.perf_counter()
    try:
        subprocess.check_call(
            [sys.executable, "-S", "-c", _PATH + program],
            env={**measure.clean_environ(), **environ},
        )
        return time.perf_counter() - started
    finally:
        shutil.rmtree(node, ignore_errors=True)


_PATH = f"import sys; sys.path[:] = {sys.path!r}\n"

if __name__ == "__main__":
    main()
