"""The memory of eight workers that import the same packages.

Eight processes import a package and wait, from the directory or from the archive. The
figure is what one takes: its proportional set size (PSS), in which a page that several
processes share counts for each with its part. Ratios are to the directory.
"""

from __future__ import annotations

import os
import re
import subprocess

from benchmarks import imports, measure

WORKERS = 8
#: tells that the imports are done, and ends with the input
_WAIT = "\nimport sys\nprint(1, flush=True)\nsys.stdin.read()\n"


def main() -> None:
    parser = measure.arguments(__doc__, rounds=5)
    parser.add_argument("--only", nargs="*", choices=list(imports.CASES))
    parser.add_argument(
        "--tree", help="the folder that has or gets the packages of requirements.txt"
    )
    options = parser.parse_args()
    measure.print_machine()
    cases = {n: imports.CASES[n] for n in options.only or ("django", "sympy")}
    rounds = 2 if options.quick else options.rounds
    rows = []
    with measure.scratch() as folder:
        tree = options.tree or imports.default_tree()
        if options.quick:
            tree = os.path.join(folder, "tree")
            cases = {"made": imports.make_small_tree(tree)}
        else:
            imports.download(tree)
        measure.write_bytecode(tree)
        sides = imports.preludes(tree, folder)
        for name, code in cases.items():
            taken: dict[str, list[float]] = {side: [] for side in sides}
            for _ in range(rounds):
                for side, prelude in sides.items():
                    taken[side].append(pss(prelude + code))
            others = taken.pop("directory")
            rows.append(
                [name, measure.figure(others)]
                + [measure.ratios(each, others) for each in taken.values()]
            )
    names = [side for side in sides if side != "directory"]
    print(f"{WORKERS} workers, {rounds} rounds\n")
    measure.table(["", "directory, MB each", *names], rows)


def pss(code: str) -> float:
    """Return the megabytes that a worker takes of which so many run *code*."""
    workers = [
        subprocess.Popen(
            [*imports.python(), code + _WAIT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=measure.clean_environ(),
            cwd="/",
        )
        for _ in range(WORKERS)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            if not worker.stdout.readline():
                raise subprocess.CalledProcessError(worker.wait(), worker.args)
        return sum(_pss_of(worker.pid) for worker in workers) / WORKERS / 1024
    finally:
        for worker in workers:
            worker.communicate()


def _pss_of(process: int) -> int:
    with open(f"/proc/{process}/smaps_rollup", encoding="ascii") as file:
        found = re.search(r"^Pss:\s+(\d+) kB", file.read(), re.MULTILINE)
    assert found is not None
    return int(found[1])


if __name__ == "__main__":
    main()
