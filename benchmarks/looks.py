"""Looks: what the wrapped functions cost, and what an import puts on disk.

A child process calls each function on a file outside of any tree, before and after an
archive is installed, in turns. Then other children import packages from an archive, as
`imports` does, and the files are counted that this leaves in the tree.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from benchmarks import imports, measure

#: what is called, on FILE or in FOLDER
CALLS = {
    "os.stat": "os.stat(FILE)",
    "os.path.exists": "os.path.exists(FILE)",
    "open": "open(FILE).close()",
    "os.open": "os.close(os.open(FILE, 0))",
    "os.listdir": "os.listdir(FOLDER)",
    "os.access": "os.access(FILE, 4)",
    "os.path.realpath": "os.path.realpath(FILE)",
    "id": "id(FILE)",
}
COUNT = """
import json, os, timeit
import lazyimport
FILE, FOLDER, HASH, CACHE, ROUNDS, NUMBER, CALLS = json.loads(INPUT)
figures = {name: ([], []) for name in CALLS}
for _ in range(ROUNDS):
    for side in (0, 1):
        if side:
            lazyimport.install(HASH, cache_dir=CACHE)
        for name, call in CALLS.items():
            timer = timeit.Timer(call, globals=dict(os=os, FILE=FILE, FOLDER=FOLDER))
            figures[name][side].append(min(timer.repeat(3, NUMBER)) / NUMBER * 1e9)
    lazyimport.uninstall()
print(json.dumps(figures))
"""
PACKAGES = ("django", "sympy", "networkx", "boto3")


def main() -> None:
    parser = measure.arguments(__doc__, rounds=15)
    parser.add_argument("--calls", action="store_true", help="only call the functions")
    parser.add_argument(
        "--tree", help="the folder that has or gets the packages of requirements.txt"
    )
    options = parser.parse_args()
    measure.print_machine()
    with measure.scratch() as folder:
        small = os.path.join(folder, "small")
        code = imports.make_small_tree(small)
        call(small, folder, 2 if options.quick else options.rounds, options.quick)
        if options.quick:
            count(small, {"made": code}, folder)
        elif not options.calls:
            tree = os.path.abspath(options.tree or imports.default_tree())
            imports.download(tree)
            count(tree, {name: imports.CASES[name] for name in PACKAGES}, folder)


def call(tree: str, folder: str, rounds: int, quick: bool) -> None:
    """Print a row for each function."""
    cache = os.path.join(folder, "cache")
    hash = measure.pack_tree(tree, cache)
    file = os.path.join(tree, "made", "m1.py")
    number = 50 if quick else 20_000
    data = json.dumps([file, tree, hash, cache, rounds, number, CALLS])
    figures = json.loads(_child(f"INPUT = {data!r}\n{COUNT}"))
    rows = []
    for name, sides in figures.items():
        # What else runs on the machine only adds: the least is what it takes.
        before, after = map(min, sides)
        rows.append((name, f"{before:,.0f}", f"{after:,.0f}", f"{after - before:,.0f}"))
    measure.table(["", "as it is, ns", "with an archive, ns", "more, ns"], rows)


def count(tree: str, cases: dict[str, str], folder: str) -> None:
    """Print how many files and packages each case leaves in the tree."""
    rows = []
    for name, code in cases.items():
        cache = os.path.join(folder, f"cache-{name}")
        hash = measure.pack_tree(tree, cache)
        root = os.path.join(cache, "trees", hash)
        install = (
            f"import lazyimport; lazyimport.install({hash!r}, cache_dir={cache!r})"
        )
        _child(f"{install}\n{code}")
        files = sum(len(names) for _, _, names in os.walk(root))
        ready = os.listdir(f"{root}.ready") if os.path.isdir(f"{root}.ready") else []
        ready = [top for top in ready if top[:1] != ":"]
        modules = imports.modules(
            [sys.executable, "-c"],
            f"import sys; sys.path.insert(0, {tree!r})\n",
            code,
            tree,
        )
        rows.append((name, modules, files, " ".join(sorted(ready))))
    measure.table(["", "modules", "files on disk", "packages on disk"], rows)


def _child(program: str) -> str:
    return subprocess.check_output(
        [sys.executable, "-c", program],
        env=measure.clean_environ(),
        cwd="/",
        text=True,
    )


if __name__ == "__main__":
    main()
