"""The cost of `import lazyimport; lazyimport.install(hash)` on a warm node.

An interpreter imports lazyimport and installs an archive from the node cache, either
of a hundred modules or of fifty thousand. With `-I` the interpreter has done what it
usually does at its start; with `-I -S` it has not even imported `os`, so lazyimport
pays for that. Figures are CPU time without that of an interpreter that does nothing.
"""

from __future__ import annotations

import os
import statistics
import sys

from benchmarks import measure
from lazyimport.cache.node import NodeCache
from lazyimport.format import sha256
from lazyimport.format.build import build_index
from lazyimport.format.entries import DIRECTORY, Code, Entry, Variant, listing_of
from lazyimport.format.writer import write_archive
from lazyimport.importing import running_python

FLAGS = ("-I", "-I -S")
FOLDER_SIZE = 100


def main() -> None:
    options = measure.arguments(__doc__, rounds=101).parse_args()
    few, many = (10, 200) if options.quick else (100, 50_000)
    rounds = 2 if options.quick else options.rounds
    measure.print_machine()
    with measure.scratch() as folder:
        cache = os.path.join(folder, "cache")
        os.mkdir(cache, 0o700)
        begin = f"import sys; sys.path.append({measure.copy_alone(folder)!r})\n"
        install = begin + "import lazyimport; lazyimport.install({!r}, cache_dir={!r})"
        hashes = {count: make_archive(count, cache) for count in (few, many)}
        codes = {0: begin} | {
            count: install.format(hash, cache) for count, hash in hashes.items()
        }
        samples = measure.interleave(
            {
                f"{flags} {count}": [sys.executable, *flags.split(), "-c", code]
                for flags in FLAGS
                for count, code in codes.items()
            },
            rounds,
        )
    rows = []
    for flags in FLAGS:
        nothing = measure.cpu(samples[f"{flags} 0"])
        bare = statistics.median(nothing)
        ones = measure.cpu(samples[f"{flags} {few}"])
        others = measure.cpu(samples[f"{flags} {many}"])
        rows.append(
            (
                f"python {flags}",
                f"{bare:.1f}",
                measure.differences(ones, nothing),
                measure.differences(others, nothing),
                measure.ratios(others, ones, bare),
            )
        )
    print(f"{rounds} rounds")
    head = ["", "start, ms CPU", f"{few:,} modules", f"{many:,} modules", "ratio"]
    measure.table(head, rows)


def make_archive(modules: int, cache: str) -> str:
    """Put an archive with *modules* modules into the node cache; return its hash."""
    blobs: dict[bytes, bytes] = {}

    def keep(data: bytes) -> bytes:
        digest = sha256(data)
        blobs[digest] = data
        return digest

    # Nothing imports the modules, so any bytes will do as their bytecode.
    code = Code(4, keep(b"code"))
    entries = []
    folders: dict[str, list[tuple[str, int]]] = {"": []}
    for number in range(modules):
        folder = f"package{number // FOLDER_SIZE}"
        name = f"module{number % FOLDER_SIZE}.py"
        if folder not in folders:
            folders[""].append((folder, DIRECTORY))
        folders.setdefault(folder, []).append((name, 0))
        source = f"NUMBER = {number}\n".encode()
        entry = Entry(f"{folder}/{name}", len(source), keep(source))
        entries.append(entry.with_codes({0: code}))
    for path, children in folders.items():
        listing = listing_of(children)
        entries.append(Entry(path, len(listing), keep(listing), DIRECTORY))
    index = build_index(entries, [Variant(*running_python())])
    NodeCache(cache).publish(
        index.hash, lambda out: write_archive(out, index, blobs.__getitem__, raw=True)
    )
    return index.hash


if __name__ == "__main__":
    main()
