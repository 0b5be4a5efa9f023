"""The node cache: what a file put on disk costs, and what it costs to remove many.

python -m benchmarks.cache [FOLDER]

Side by side with writing the same files plainly, and with `shutil.rmtree`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from hashlib import sha256
from pathlib import Path
from time import perf_counter, process_time

from benchmarks import measure
from lazyimport.cache.evict import prune
from lazyimport.cache.materialize import Materializer
from lazyimport.cache.node import NodeCache
from tests.support.trees import make_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FILES = 3000
FOLDERS = 60
ARCHIVES = 60
FILES_OF_EACH = 1500


def timed(do: Callable[[], object]) -> tuple[float, float]:
    """Return seconds of the clock and of the processor."""
    clock, processor = perf_counter(), process_time()
    do()
    return perf_counter() - clock, process_time() - processor


def put_on_disk(folder: Path, count: int, rounds: int) -> None:
    """Print microseconds for each of *count* files of a package: the best round."""
    names = [f"pkg/d{n % FOLDERS}/f{n}.txt" for n in range(count)]
    data, hash = make_archive({name: name * 150 for name in names})
    best = {"put on disk": (9e9, 9e9), "written plainly": (9e9, 9e9)}
    for _ in range(rounds):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        cache = NodeCache(str(folder / "cache"))
        archive = cache.publish(hash, lambda out: out.write(data))
        tree = Materializer(archive, cache.tree_path(hash))

        def write() -> None:
            for n in range(FOLDERS):
                (folder / f"pkg/d{n}").mkdir(parents=True)
            for name in names:
                (folder / name).write_text(name * 150)

        took = {
            "put on disk": timed(lambda tree=tree: tree.put_package("pkg")),  # type: ignore[misc]
            "written plainly": timed(write),
        }
        best = {name: min(best[name], took[name]) for name in best}
    rows = [
        (name, *(f"{seconds / count * 1e6:.0f}" for seconds in took))
        for name, took in best.items()
    ]
    measure.table([f"{count} files", "us a file", "CPU"], rows)


def remove(folder: Path, count: int) -> None:
    """Print what the eviction of many archives with *count* files each costs."""
    for place in (folder / "cache", folder / "other"):
        shutil.rmtree(place, ignore_errors=True)
        cache = NodeCache(str(place))
        cache.make()
        for n in range(ARCHIVES):
            hash = sha256(b"%d" % n).hexdigest()
            (place / "archives").mkdir(exist_ok=True)
            (place / "archives" / hash).write_bytes(b"z" * 100_000)
            os.utime(place / "archives" / hash, (1e9 + n, 1e9 + n))
            tree = place / "trees" / hash / "pkg"
            tree.mkdir(parents=True)
            for file in range(count):
                (tree / f"f{file}").write_bytes(b"x" * 10)
    cache = NodeCache(str(folder / "cache"))
    took = {
        "rmtree": timed(lambda: shutil.rmtree(folder / "other")),
        "eviction": timed(lambda: prune(cache, limit=1000)),
    }
    rows = [(name, *(f"{each:.2f}" for each in took[name])) for name in took]
    measure.table([f"{ARCHIVES} archives of {count} files", "s", "CPU"], rows)


def main() -> None:
    """Run both in a new folder."""
    parser = measure.arguments(__doc__, rounds=3)
    parser.add_argument("folder", nargs="?", help="where, else in a temporary one")
    options = parser.parse_args()
    part = 100 if options.quick else 1
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        put_on_disk(Path(folder) / "files", FILES // part, options.rounds)
        remove(Path(folder), FILES_OF_EACH // part)


if __name__ == "__main__":
    main()
