"""A start on a node that has nothing, from a store in a folder: an archive and a zip.

The zip has the sources of the same tree. A process copies it from the store to the
node, extracts it there, puts the folder on ``sys.path`` and imports, which compiles, as
a worker with a ``working_dir`` does. Another one installs the archive and imports the
same. ``warm`` is the archive on a node that has it, and what was put on disk of it.
Store and node are in memory (/dev/shm), where there is one.

A start is timed until the process has ended. The CPU is that of all processes, the
fetcher included.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import sys
import zipfile

from benchmarks import measure
from benchmarks.fetch import push
from benchmarks.imports import CASES, default_tree, download, make_small_tree
from lazyimport.registry.layout import archive_key

#: what pip installs, and what is imported
TREES = {
    "pygments": (
        ("rich==14.2.0", "pygments==2.19.2"),
        f"{CASES['pygments']}\nimport rich.console, rich.progress, rich.traceback",
    ),
    "django": (("django==5.2.8",), CASES["django"]),
    "sympy": (("sympy==1.14.0",), CASES["sympy"]),
}
_ZIP = """\
import os, shutil, sys, zipfile
stored, node = {stored!r}, {node!r}
os.mkdir(node)
copied = shutil.copy(stored, node + "/tree.zip")
with zipfile.ZipFile(copied) as file:
    file.extractall(node + "/tree")
sys.path.append(node + "/tree")
"""
_ARCHIVE = """\
import sys
sys.path.append({path!r})
import lazyimport
lazyimport.install({hash!r}, store={store!r}, cache_dir={node!r})
"""


def main() -> None:
    parser = measure.arguments(__doc__, rounds=11)
    parser.add_argument("--only", nargs="*", choices=list(TREES), default=list(TREES))
    parser.add_argument("--trees", help="the folder that has, or gets, the packages")
    options = parser.parse_args()
    rounds = 2 if options.quick else options.rounds
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    measure.print_machine()
    rows = []
    with measure.scratch(place) as folder:
        if options.quick:
            tree = os.path.join(folder, "tree")
            rows.append(row("made", tree, make_small_tree(tree), folder, rounds))
        for name in () if options.quick else options.only:
            packages, code = TREES[name]
            tree = default_tree(f"cold-{name}")
            if options.trees:
                tree = os.path.join(os.path.abspath(options.trees), name)
            download(tree, packages)
            rows.append(row(name, tree, code, folder, rounds))
    print(f"{rounds} rounds; 'faster' is zip / archive, round by round\n")
    sides = ["zip, ms", "archive, ms", "warm, ms", "faster"]
    cpu = [f"{side} CPU" for side in sides]
    measure.table(["", "zip, MB", "archive, MB", *sides, *cpu], rows)


def row(name: str, tree: str, code: str, folder: str, rounds: int) -> list[object]:
    """Return the row of *tree*, of which *code* imports something."""
    store, node, warm = (f"{folder}/{name}-{of}" for of in ("store", "node", "warm"))
    hash = push(tree, store)
    stored = make_zip(tree, f"{store}/tree.zip")
    path = measure.copy_alone(f"{folder}/{name}")
    if zstandard := importlib.util.find_spec("zstandard"):  # all that the fetcher needs
        places = zstandard.submodule_search_locations
        os.symlink(str((places or [])[0]), f"{path}/zstandard")
    programs = {"zip": _ZIP.format(stored=stored, node=node)}
    for side, cache in (("archive", node), ("warm", warm)):
        programs[side] = _ARCHIVE.format(
            path=path, hash=hash, store=f"file://{store}", node=cache
        )
    commands = {
        side: [sys.executable, *measure.BARE, "-c", program + code]
        for side, program in programs.items()
    }
    samples = measure.interleave(commands, rounds, fresh=node, orphans=True)
    archive = f"{store}/{archive_key(hash)}"
    cells = [f"{os.path.getsize(path) / 1e6:.1f}" for path in (stored, archive)]
    for kind in (measure.wall, measure.cpu):
        found = {side: kind(of) for side, of in samples.items()}
        cells += [f"{statistics.median(of):.0f}" for of in found.values()]
        cells.append(str(measure.ratios(found["zip"], found["archive"])))
    return [name, *cells]


def make_zip(tree: str, path: str) -> str:
    """Write the files of *tree* without bytecode into the zip *path*; return that."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for place, _, names in os.walk(tree):
            for name in names:
                if not name.endswith(".pyc"):
                    source = os.path.join(place, name)
                    file.write(source, os.path.relpath(source, tree))
    return path


if __name__ == "__main__":
    main()
