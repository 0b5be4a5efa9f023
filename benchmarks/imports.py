"""Importing real packages: a warm archive compared with fresh .pyc files.

One tree contains all packages, as site-packages does: once as a directory on sys.path,
once as an archive in the node cache, installed by `lazyimport.install`. Both sides run
`python -I -S`, so that nothing else of the machine takes part, and do the same imports.
The side of the archive also imports lazyimport and installs the archive.

"ratio" is archive / directory over the whole cost of the process; "net" leaves out the
cost of an interpreter that does nothing.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

from benchmarks import measure

HERE = os.path.dirname(os.path.abspath(__file__))

#: the first thing that a program does with the package
CASES = {
    "sympy": "import sympy",
    "networkx": "import networkx",
    "pygments": """\
from pygments.lexers._mapping import LEXERS
for name in sorted({where[0] for where in LEXERS.values()}):
    __import__(name)""",
    "boto3": "import boto3; boto3.session.Session()",
    "django": """\
from django.conf import settings
apps = "admin auth contenttypes sessions messages staticfiles".split()
settings.configure(INSTALLED_APPS=["django.contrib." + app for app in apps])
import django; django.setup()
import django.core.management, django.core.handlers.wsgi, django.views.generic
import django.contrib.admin.sites, django.test""",
    "kubernetes": "import kubernetes.client",
    "holidays": """\
import holidays
for country in holidays.list_supported_countries():
    getattr(holidays, country)""",
}


def main() -> None:
    parser = measure.arguments(__doc__, rounds=41)
    parser.add_argument("--only", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument(
        "--tree", help="the folder that has or gets the packages of requirements.txt"
    )
    options = parser.parse_args()
    with measure.scratch() as folder:
        cases = {name: CASES[name] for name in options.only}
        if options.quick:
            tree, options.rounds = os.path.join(folder, "tree"), 2
            cases = {"made": make_small_tree(tree)}
        else:
            tree = os.path.abspath(options.tree or default_tree())
            download(tree)
        compare(tree, cases, folder, options.rounds)


def compare(tree: str, cases: dict[str, str], folder: str, rounds: int) -> None:
    """Print a row for each case."""
    measure.print_machine()
    measure.write_bytecode(tree)
    cache = os.path.join(folder, "cache")
    hash = measure.pack_tree(tree, cache)
    python = [sys.executable, *measure.BARE, "-c"]
    directory = f"import sys; sys.path.append({tree!r})\n"
    archive = (
        f"import sys; sys.path.append({measure.copy_alone(folder)!r})\n"
        f"import lazyimport; lazyimport.install({hash!r}, cache_dir={cache!r})\n"
    )
    bare = 0.0
    rows = []
    for name, code in cases.items():
        samples = measure.interleave(
            {
                "bare": [*python, "pass"],
                "directory": [*python, directory + code],
                "archive": [*python, archive + code],
            },
            rounds,
        )
        bare = statistics.median(measure.cpu(samples["bare"]))
        ones, others = samples["archive"], samples["directory"]
        rows.append(
            (
                name,
                modules(python, directory, code, tree),
                f"{statistics.median(measure.cpu(others)):.1f}",
                f"{statistics.median(measure.cpu(ones)):.1f}",
                measure.ratios(measure.cpu(ones), measure.cpu(others)),
                measure.ratios(measure.cpu(ones), measure.cpu(others), bare),
                measure.ratios(measure.wall(ones), measure.wall(others)),
            )
        )
    print(f"an interpreter that does nothing: {bare:.1f} ms CPU; {rounds} rounds")
    measure.table(
        ["", "modules", "directory ms", "archive ms", "CPU ratio", "net", "wall ratio"],
        rows,
    )


def modules(python: list[str], directory: str, code: str, tree: str) -> int:
    """Return the number of modules of *tree* that *code* imports."""
    count = (
        f"\nprint(sum((getattr(m, '__file__', None) or '').startswith({tree!r})"
        " for m in list(sys.modules.values())))"
    )
    command = [*python, directory + code + count]
    return int(subprocess.check_output(command, env=measure.clean_environ(), cwd="/"))


def default_tree() -> str:
    """Return the folder for this Python among the build results of the checkout."""
    tag = sys.implementation.cache_tag
    return os.path.join(os.path.dirname(HERE), "build", f"benchmarks-{tag}")


def download(tree: str) -> None:
    """Install requirements.txt into *tree* unless that has been done."""
    if os.path.isdir(tree):
        return
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", tree]
    subprocess.check_call([*pip, "-r", os.path.join(HERE, "requirements.txt")])


def make_small_tree(tree: str) -> str:
    """Make a package of twenty modules in *tree* and return code that imports them."""
    package = os.path.join(tree, "made")
    os.makedirs(package)
    for name in ["__init__", *(f"m{number}" for number in range(20))]:
        with open(os.path.join(package, f"{name}.py"), "w", encoding="utf-8") as file:
            file.write(f"def where():\n    return {name!r}\n")
    return "; ".join(f"import made.m{number}" for number in range(20))


if __name__ == "__main__":
    main()
