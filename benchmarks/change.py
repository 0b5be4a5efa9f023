"""What a first push and a push after one changed line move, against a zip of the tree.

The tree is made of small packages, five hundred files and forty thousand; the store
is a folder, so the seconds are those of packing and of the disk, and the bytes those
that a network would have to carry. The zip is what a tool without an archive of its
own uploads, deflated, each time.
"""

from __future__ import annotations

import os
import random
import time
import zipfile

from benchmarks import measure
from lazyimport.delivery.cache import NodeCache
from lazyimport.delivery.fetch import fetch
from lazyimport.delivery.publish import publish
from lazyimport.delivery.stores import open_store, writable
from lazyimport.settings import Settings

FOLDER_SIZE = 25
CHANGED = "package3/module7.py"


def main() -> None:
    options = measure.arguments(__doc__, rounds=1).parse_args()
    measure.say_where()
    rows: list[tuple[object, ...]] = []
    for files in (100,) if options.quick else (500, 40_000):
        for _ in range(options.rounds):
            with measure.scratch() as folder:
                rows += compare(files, folder)
    measure.table(
        [
            "",
            "push, s",
            "bytes sent",
            "as",
            "fetch, s",
            "bytes fetched",
            "zip, s",
            "zip",
        ],
        rows,
    )


def compare(files: int, folder: str) -> list[tuple[object, ...]]:
    """Return a row for the first push and one for the push of a changed line."""
    tree = os.path.join(folder, "tree")
    make_tree(tree, files)
    rows = [row(f"{files:,} files, first", tree, folder)]
    with open(os.path.join(tree, CHANGED), "a", encoding="utf-8") as file:
        file.write("CHANGED = True\n")
    return [*rows, row("one line changed", tree, folder)]


def row(what: str, tree: str, folder: str) -> tuple[object, ...]:
    """Push *tree*, fetch it as another node would, and zip it."""
    cache = os.path.join(folder, "author")
    url = "file://" + os.path.join(folder, "store")
    os.makedirs(os.path.join(folder, "store"), exist_ok=True)
    began = time.perf_counter()
    hash = measure.pack_tree(tree, cache)
    archive = NodeCache(cache).open(hash)
    assert archive is not None
    published = publish(archive, writable(open_store(url)), NodeCache(cache))
    pushed = time.perf_counter()
    settings = Settings(hash, url, cache_dir=os.path.join(folder, "worker"))
    _, fetched = fetch(settings, hash)
    there = time.perf_counter()
    size = zip_tree(tree, os.path.join(folder, "tree.zip"))
    return (
        what,
        f"{pushed - began:.1f}",
        f"{published.size:,}",
        published.kind,
        f"{there - pushed:.2f}",
        f"{fetched:,}",
        f"{time.perf_counter() - there:.1f}",
        f"{size:,}",
    )


def zip_tree(tree: str, path: str) -> int:
    """Return the size of a zip of all files of *tree*."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder, _, names in os.walk(tree):
            for name in names:
                full = os.path.join(folder, name)
                archive.write(full, os.path.relpath(full, tree))
    return os.path.getsize(path)


def make_tree(tree: str, files: int) -> None:
    """Make packages of modules that no compressor can make vanish."""
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
