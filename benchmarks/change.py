"""The bytes of a first push and of a push after one changed line, compared with a zip.

The sources are small packages, with five hundred files and with forty thousand. The
store is a folder, so the seconds are those of packing and of the disk, and the bytes
are those that would cross a network. A tool without an archive of its own uploads the
zip, deflated, each time. A push is the whole command as people type it, and counts the
bytes that it reads from the store.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import time
import zipfile
from contextlib import suppress

from benchmarks import measure
from lazyimport.delivery.fetch import fetch
from lazyimport.settings import Settings

FOLDER_SIZE = 25
CHANGED = "package3/module7.py"
#: The command line. It writes the number of bytes that it read from the store to the
#: file that its first argument names.
COUNTED = """
import sys
from lazyimport import cli
from lazyimport.stores.file import FileStore
read, count = FileStore.read, 0
def counted(*arguments, **options):
    global count
    data = read(*arguments, **options)
    count += len(data)
    return data
FileStore.read = counted
place = sys.argv.pop(1)
code = cli.main()
open(place, "w").write(str(count))
sys.exit(code)
"""


def main() -> None:
    options = measure.arguments(__doc__, rounds=1).parse_args()
    measure.print_machine()
    rows: list[tuple[object, ...]] = []
    for files in (100,) if options.quick else (500, 40_000):
        for _ in range(options.rounds):
            with measure.scratch() as folder:
                rows += compare(files, folder)
    measure.table(
        [
            "",
            "push, s",
            "CPU, s",
            "bytes read",
            "bytes sent",
            "fetch, s",
            "bytes fetched",
            "zip, s",
            "zip",
        ],
        rows,
    )


def compare(files: int, folder: str) -> list[tuple[object, ...]]:
    """Return a row for the first push and one for each kind of later push."""
    tree = os.path.join(folder, "tree")
    make_tree(tree, files)
    rows = [row(f"{files:,} files, first", tree, folder)]
    for what, machine in (
        ("one line changed", "author"),
        ("another line, again", "author"),
        ("another line, from an empty cache", "fresh"),
    ):
        with open(os.path.join(tree, CHANGED), "a", encoding="utf-8") as file:
            file.write(f"CHANGED = {what!r}\n")
        rows.append(row(what, tree, folder, machine))
    return rows


def row(
    what: str, tree: str, folder: str, machine: str = "author"
) -> tuple[object, ...]:
    """Push *tree* with the command, fetch it as a node, and zip it."""
    store = os.path.join(folder, "store")
    url = f"file://{store}"
    os.makedirs(store, exist_ok=True)
    before = archives_in(store)
    used = cpu_of_children()
    began = time.perf_counter()
    cache = os.path.join(folder, machine)
    count = os.path.join(folder, "count")
    command = [sys.executable, "-c", COUNTED, count, "push", tree, "--quiet"]
    command += ["--store", url, "--cache-dir", cache]
    hash = subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.strip()
    pushed = time.perf_counter()
    used = cpu_of_children() - used
    ((_, sent),) = archives_in(store) - before
    settings = Settings(hash, url, cache_dir=os.path.join(folder, "worker"))
    _, fetched = fetch(settings, hash)
    there = time.perf_counter()
    size = zip_tree(tree, os.path.join(folder, "tree.zip"))
    with open(count, encoding="ascii") as file:
        read = int(file.read())
    return (
        what,
        f"{pushed - began:.1f}",
        f"{used:.1f}",
        f"{read:,}",
        f"{sent:,}",
        f"{there - pushed:.2f}",
        f"{fetched:,}",
        f"{time.perf_counter() - there:.1f}",
        f"{size:,}",
    )


def archives_in(store: str) -> set[tuple[str, int]]:
    """Return name and size of every archive in the folder of a store."""
    with suppress(FileNotFoundError), os.scandir(f"{store}/archives") as items:
        return {(item.name, item.stat().st_size) for item in items}
    return set()


def cpu_of_children() -> float:
    """Return the CPU seconds of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def zip_tree(tree: str, path: str) -> int:
    """Return the size of a zip of all files of *tree*."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder, _, names in os.walk(tree):
            for name in names:
                full = os.path.join(folder, name)
                archive.write(full, os.path.relpath(full, tree))
    return os.path.getsize(path)


def make_tree(tree: str, files: int) -> None:
    """Make packages of modules that do not compress to almost nothing."""
    chance = random.Random(0)
    for number in range(files):
        folder = os.path.join(tree, f"package{number // FOLDER_SIZE}")
        place = number % FOLDER_SIZE
        if not place:
            os.makedirs(folder)
        name = f"module{place}.py" if place else "__init__.py"
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            for function in range(chance.randrange(2, 12)):
                word = f"{chance.getrandbits(64):x}"
                file.write(
                    f"def do_{function}_{word}(value, *, scale={chance.random()}):\n"
                    f'    """Return what {word} makes of a value."""\n'
                    f"    if value > {chance.randrange(1000)}:\n"
                    f"        return [value * scale, {word!r}]\n"
                    f"    return do_{function}_{word}(value + 1)\n\n\n"
                )


if __name__ == "__main__":
    main()
