"""How long a process waits on a node that does not have its archive.

    python -m benchmarks.fetch
    python -m benchmarks.fetch --tree DIR --imports pandas    beside it, a tree of yours
    python -m benchmarks.fetch --weights 256                  eight files of 256 MiB
    python -m benchmarks.fetch --sizes 2 8 24                 MB of small modules
    python -m benchmarks.fetch --links "1 Gbit/s, 20 ms"      not all of them

A tree is pushed twice: as it is, and in the order in which such a process reads it.
The large files are what they are after a push, objects of their own; `before`, they
were in the archive.

A server on this machine has a round trip and a bandwidth. A process downloads the
archive in one stream, decodes it and writes it again, by itself, as was done before
there was a fetcher (`before`); or it waits until a fetcher has brought all of it
(`whole`); or it runs from what has come (`stream`). Then it imports, and the benchmark
waits until the archive is whole, with its large files, and proves it. The node cache is
in memory (/dev/shm), where there is one.
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
from typing import NamedTuple

from benchmarks import measure
from lazyimport.cache.node import NodeCache
from lazyimport.cache.verify import verify
from lazyimport.errors import MemberMissing
from lazyimport.registry.layout import archive_key
from lazyimport.settings import Settings
from lazyimport.stores.file import FileStore
from tests.support.shaped import Shaped
from tests.support.trees import make_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

#: bytes a second for all and for one connection, and seconds of a round trip
LINKS = {
    "5 Gbit/s, 1 ms": (625e6, 1e12, 0.001),
    "1 Gbit/s, 20 ms": (125e6, 1e12, 0.02),
    "100 Mbit/s, 50 ms": (12.5e6, 1e12, 0.05),
    "5 Gbit/s, 20 ms, 100 MB/s a connection": (625e6, 100e6, 0.02),
}
BEFORE = """
import os, tempfile
from lazyimport.cache.node import NodeCache
from lazyimport.cache.sealed import map_file
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
NOW = "import lazyimport; lazyimport.install()\n"
IMPORTS = """
import importlib, sys
first, *names = sys.argv[1:]
importlib.import_module(first)
print("first", flush=True)
for name in names: importlib.import_module(name)
print("all", flush=True)
"""
#: what a process runs, and its LAZYIMPORT_FETCH
MODES = {
    "before": (BEFORE, "whole"),
    "whole": (NOW, "whole"),
    "stream": (NOW, "stream"),
}
#: Most seconds that a side is expected to take; a link that is slower is left out.
_LONGEST = 60.0


class Case(NamedTuple):
    """An archive in the store *folder*, and the modules that a start imports.

    What was fetched *before* is another one, if that is given, in the same store.
    """

    name: str
    hash: str
    folder: str
    imports: list[str]
    before: str = ""


class Run(NamedTuple):
    """Seconds until the first import, all of them, and a whole archive.

    ``requests`` and ``moved`` bytes are those before the first import.
    """

    first: float
    all: float
    whole: float
    requests: float
    moved: float


def cases(options: argparse.Namespace, folder: str) -> Iterator[Case]:
    """Yield archives: many small files that compress, large ones, and given trees."""
    scale = 0.01 if options.quick else 1
    site = Path(os.__file__).parent
    library = {
        f"library/{path.relative_to(site)}": path.read_bytes()
        for path in sorted(site.rglob("*.py"))
        if "site-packages" not in path.parts and "test" not in path.parts
    }
    few = dict(list(library.items())[: max(int(len(library) * scale), 1)])
    app: dict[str, str | bytes] = {
        f"app/m{n}.py": f"x = [{n}, " + "1, " * 500 + "]\n" for n in range(110)
    }
    app["app/__init__.py"] = "from app import " + ", ".join(f"m{n}" for n in range(110))
    size = int(scale * options.weights * (1 << 20))
    large = {f"weights/{n}.bin": os.urandom(size) for n in range(8)}
    stores = f"{folder}/library", f"{folder}/weights"
    yield Case("library", put({**few, **app}, stores[0]), stores[0], ["app"])
    before = put({**large, **app}, stores[1])
    tree = f"{folder}/tree"
    for path, content in {**large, **app}.items():
        os.makedirs(os.path.dirname(f"{tree}/{path}"), exist_ok=True)
        Path(f"{tree}/{path}").write_bytes(
            content.encode() if isinstance(content, str) else content
        )
    yield Case("weights", push(tree, stores[1]), stores[1], ["app"], before)
    for megabytes in options.sizes:
        store = f"{folder}/{megabytes}"
        hash = make_modules(28 * megabytes, store)
        for part in ("part", "every"):
            yield Case(f"{part} of {megabytes} MB", hash, store, [f"modules.{part}"])
    for tree in options.tree:
        name, profile = os.path.basename(tree), f"{folder}/start.jsonl"
        store = f"{folder}/{name}"
        hash = push(tree, store)
        yield Case(name, hash, store, options.imports)
        if options.imports:
            record = f"lazyimport.install({hash!r}).record({profile!r})\n"
            program = f"{_PATH}import lazyimport; {record}{IMPORTS}"
            command = [sys.executable, "-S", "-c", program, *options.imports]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            push(tree, f"{store}-recorded", "--profile", profile)
            yield Case(f"{name}, recorded", hash, f"{store}-recorded", options.imports)


def make_modules(count: int, store: str) -> str:
    """Put an archive of *count* modules of 24 kB into *store*; return its hash.

    ``modules.every`` imports all of them and ``modules.part`` fifty. Half of what they
    hold compresses.
    """
    files = {"modules/__init__.py": ""}
    for name, step in (("every", 1), ("part", count // 50 or 1)):
        names = [f"m{n}" for n in range(0, count, step)]
        files[f"modules/{name}.py"] = f"from modules import {', '.join(names)}\n"
    for n in range(count):
        files[f"modules/m{n}.py"] = f"x = '{random.randbytes(12_000).hex()}'\n"
    return put(files, store)


def put(files: Mapping[str, str | bytes], store: str) -> str:
    """Put an archive of *files*, all of them in it, into *store*; return its hash."""
    data, hash = make_archive(files, raw=False)
    FileStore(store).put(archive_key(hash), BytesIO(data))
    return hash


def push(tree: str, store: str, *more: str) -> str:
    """Put the archive of *tree* into the folder *store*, and return its hash."""
    command = ["-m", "lazyimport", "push", tree, "--store", f"file://{store}", "-q"]
    pushed = subprocess.check_output([sys.executable, *command, *more], text=True)
    return pushed.split()[0]


def main() -> None:
    parser = measure.arguments(__doc__, rounds=3)
    parser.add_argument("--tree", action="append", default=[], type=os.path.abspath)
    parser.add_argument("--imports", nargs="*", default=[], help="modules of the trees")
    parser.add_argument(
        "--weights", type=int, default=64, help="MiB of each of 8 files"
    )
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[], help="MB of small modules"
    )
    parser.add_argument("--links", nargs="*", choices=list(LINKS), default=list(LINKS))
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    measure.print_machine()
    head = ["link", "mode", "first import, s", "all, s", "whole, s"]
    with measure.scratch() as folder:
        for case in cases(options, folder):
            size = os.path.getsize(
                f"{case.folder}/{archive_key(case.before or case.hash)}"
            )
            rows = []
            for link in options.links:
                rate, each, delay = LINKS[link]
                if size / min(rate, each) > _LONGEST:
                    continue
                server = Shaped(Path(case.folder), rate=rate, each=each, delay=delay)
                with server.serving() as url:
                    sides = run(case, server, url, rounds)
                for mode, runs in sides.items():
                    found = [statistics.median(one) for one in zip(*runs, strict=True)]
                    seconds = [f"{each:.2f}" for each in found[:3]]
                    before = f"{found[3]:.0f}", f"{found[4] / 1e6:.1f}"
                    rows.append([link, mode, *seconds, *before])
            print(f"\n{case.name}, {size / 1e6:.1f} MB, imports {case.imports}\n")
            measure.table([*head, "requests before", "MB before"], rows)


def run(case: Case, server: Shaped, url: str, rounds: int) -> dict[str, list[Run]]:
    """Return what each mode took, round by round."""
    sides: dict[str, list[Run]] = {mode: [] for mode in MODES}
    for _ in range(rounds):
        for mode in random.sample(list(MODES), len(MODES)):
            sides[mode].append(once(case, server, url, mode))
    return sides


def once(case: Case, server: Shaped, url: str, mode: str) -> Run:
    """Start a process on a node with an empty cache."""
    place = "/dev/shm" if os.path.isdir("/dev/shm") else "/tmp"
    cache = NodeCache(f"{place}/lazyimport-benchmark-{os.getpid()}")
    shutil.rmtree(cache.path, ignore_errors=True)
    program, fetch = MODES[mode]
    hash = case.before if mode == "before" and case.before else case.hash
    settings = Settings(hash, url, cache.path, fetch=fetch)
    server.requests = server.moved = 0
    started = time.perf_counter()
    try:
        with subprocess.Popen(
            [sys.executable, "-S", "-c", _PATH + program + IMPORTS, *case.imports],
            env=measure.clean_environ(settings.to_environ()),
            stdout=subprocess.PIPE,
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            first, *before = time.perf_counter(), server.requests, server.moved
            if not child.stdout.readline():
                raise RuntimeError(f"{case.name}, {mode}: the process failed")
            imported = time.perf_counter()
        while not is_whole(cache, hash):
            time.sleep(0.005)
        seconds = [at - started for at in (first, imported, time.perf_counter())]
        if verify(cache, remove=False).damages:
            raise RuntimeError(f"{case.name}, {mode}: the archive is damaged")
        return Run(*seconds, *before)
    finally:
        shutil.rmtree(cache.path, ignore_errors=True)


def is_whole(cache: NodeCache, hash: str) -> bool:
    """Return whether a node has an archive and its large files."""
    archive = cache.open(hash) if os.path.exists(cache.archive_path(hash)) else None
    if archive is None:
        return False
    try:
        for blob in archive.blobs().values():
            cache.open_blob(blob).close()
    except MemberMissing:
        return False
    return True


_PATH = f"import sys; sys.path[:] = {sys.path!r}\n"

if __name__ == "__main__":
    main()
