"""Importing real packages: a warm archive compared with fresh .pyc files, and peers.

One tree contains all packages, as site-packages does: once as a directory on sys.path,
once as an archive in the node cache, installed by `lazyimport.install`. All sides run
`python -I -S`, so that nothing else of the machine takes part, and do the same imports.

The first table counts the CPU from before ``import lazyimport`` to the end of the
imports; the standard library that these need has been loaded before. The second one
counts whole processes. Ratios are to the directory.

Peers are a zip on sys.path (with .pyc files), and where they can be installed
code-data-share (Python 3.11), which maps code objects, and PEX, which starts an
interpreter of its own: a whole process is all that can be compared.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import zipfile

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
#: the peers, as pip calls them
PEERS = ("pex", "code-data-share")
#: the sides that may be unable to run a case, and what stands in their place then
FRAGILE = {"zip", "code-data-share", "PEX"}
_CANNOT = "does not run"
#: around what is measured inside a process
_BEGIN = "import time\n_began = time.process_time()\n"
_END = """
_took = time.process_time() - _began
import os
os.write(1, str(1e3 * _took).encode())
"""


def main() -> None:
    parser = measure.arguments(__doc__, rounds=41)
    parser.add_argument("--only", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument(
        "--tree", help="the folder that has or gets the packages of requirements.txt"
    )
    parser.add_argument("--peers", action="store_true", help="also measure peers")
    options = parser.parse_args()
    with measure.scratch() as folder:
        cases = {name: CASES[name] for name in options.only}
        if options.quick:
            tree, options.rounds = os.path.join(folder, "tree"), 2
            cases = {"made": make_small_tree(tree)}
        else:
            tree = os.path.abspath(options.tree or default_tree())
            download(tree)
        peers = default_tree("peers") if options.peers else ""
        if peers:
            download(peers, PEERS)
        compare(tree, cases, folder, options.rounds, peers)


def compare(
    tree: str, cases: dict[str, str], folder: str, rounds: int, peers: str = ""
) -> None:
    """Print two tables with a row for each case; *peers* has peers installed."""
    measure.print_machine()
    measure.write_bytecode(tree)
    before = preludes(tree, folder, peers)
    names = [name for name in before if name != "directory"]
    inside, whole = [], []
    bare = 0.0
    for name, code in cases.items():
        loaded = standard_library(tree, code)
        commands = {"bare": [*python(), "pass"]}
        for side, prelude in before.items():
            commands[side] = [*python(), f"{loaded}{_BEGIN}{prelude}{code}{_END}"]
        if any(side == "code-data-share" for side in before):
            dump_shared(peers, tree, code, folder)
        pex = make_pex(peers, tree, folder) if peers else ""
        if pex:
            commands["PEX"] = [sys.executable, pex, "-c", code]
        environ = {"PEX_ROOT": os.path.join(folder, "pex-root")}
        for side in FRAGILE.intersection(commands):
            if not can_run(commands[side], environ):  # Django reads files beside it
                del commands[side]
        samples = measure.interleave(commands, rounds, environ)
        bare = statistics.median(measure.cpu(samples["bare"]))
        count = modules(
            python(), f"import sys; sys.path.append({tree!r})\n", code, tree
        )
        base = [sample.inside for sample in samples["directory"]]
        inside.append(
            [name, count, f"{statistics.median(base):.1f}"]
            + [
                measure.ratios([sample.inside for sample in samples[side]], base)
                if side in samples
                else _CANNOT
                for side in names
            ]
        )
        base = measure.cpu(samples["directory"])
        sides = [*names, "PEX"] if pex else names
        whole.append(
            [name, count, f"{statistics.median(base):.1f}"]
            + [
                measure.ratios(measure.cpu(samples[side]), base)
                if side in samples
                else _CANNOT
                for side in sides
            ]
        )
    print(f"an interpreter that does nothing: {bare:.1f} ms CPU; {rounds} rounds\n")
    measure.table(["imports alone", "modules", "directory, ms", *names], inside)
    print()
    sides = [*names, "PEX"] if len(whole[0]) > len(inside[0]) else names
    measure.table(["whole process", "modules", "directory, ms", *sides], whole)


def can_run(command: list[str], environ: dict[str, str]) -> bool:
    """Return whether a peer can do what is measured."""
    try:
        measure.run(command, environ)
    except subprocess.CalledProcessError:
        return False
    return True


def python() -> list[str]:
    """Return the command to which code is added."""
    return [sys.executable, *measure.BARE, "-c"]


def preludes(tree: str, folder: str, peers: str = "") -> dict[str, str]:
    """Return, for each side, the code that comes before the imports."""
    cache = os.path.join(folder, "cache")
    hash = measure.pack_tree(tree, cache)
    path = "import sys; sys.path.append({!r})\n"
    install = (
        path.format(measure.copy_alone(folder))
        + f"import lazyimport; lazyimport.install({hash!r}, cache_dir={cache!r}"
    )
    sides = {
        "directory": path.format(tree),
        "archive": f"{install})\n",
        "archive, gc=pause": f"{install}, gc='pause')\n",
        "archive, gc=run": f"{install}, gc='run')\n",
    }
    if peers:
        sides["zip"] = path.format(make_zip(tree, folder))
        if os.path.isdir(os.path.join(peers, "cds")):
            image = os.path.join(folder, "cds.img")
            share = f"import cds; cds.share({image!r})\n"
            sides["code-data-share"] = path.format(peers) + share + path.format(tree)
    return sides


def standard_library(tree: str, code: str) -> str:
    """Return code that loads what *code* needs of the standard library."""
    find = f"""
import sys
sys.path.append({tree!r})
before = set(sys.modules)
{code}
standard = [
    name for name in sys.modules
    if name not in before and name.partition(".")[0] in sys.stdlib_module_names
    and not (getattr(sys.modules[name], "__file__", None) or "").startswith({tree!r})
]
print(standard)
"""
    names = subprocess.check_output(
        [*python(), find], env=measure.clean_environ(), cwd="/", text=True
    )
    return (
        f"for _name in {names.splitlines()[-1]}:\n"
        "    try:\n        __import__(_name)\n"
        "    except Exception: pass\n"
    )


def make_zip(tree: str, folder: str) -> str:
    """Write *tree* with bytecode into a zip, where zipimport finds it."""
    path = os.path.join(folder, "tree.zip")
    tag = f".{sys.implementation.cache_tag}.pyc"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for place, _, names in os.walk(tree):
            inner = os.path.relpath(place, tree)
            for name in names:
                source = os.path.join(place, name)
                if name.endswith(tag):
                    # zipimport looks for it beside the source
                    inside = os.path.join(os.path.dirname(inner), name[: -len(tag)])
                    file.write(source, f"{inside}.pyc")
                elif not name.endswith(".pyc"):
                    file.write(source, os.path.join(inner, name))
    return path


def dump_shared(peers: str, tree: str, code: str, folder: str) -> None:
    """Let code-data-share write the code objects that *code* imports."""
    image, names = (os.path.join(folder, name) for name in ("cds.img", "cds.lst"))
    for path in (image, names):
        if os.path.exists(path):
            os.unlink(path)
    start = f"import sys; sys.path[:0] = [{peers!r}, {tree!r}]\nimport cds\n"
    for step in (
        f"{start}cds.trace({names!r})\n{code}",
        f"{start}import cds.dump\ncds.dump.run_dump({names!r}, {image!r})",
    ):
        environ = measure.clean_environ({"PYTHONPATH": f"{peers}:{tree}"})
        subprocess.run(
            [sys.executable, "-c", step],
            env=environ,
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )


def make_pex(peers: str, tree: str, folder: str) -> str:
    """Return a PEX of *tree*; nothing where PEX is not installed."""
    path = os.path.join(folder, "tree.pex")
    if not os.path.isdir(os.path.join(peers, "pex")):
        return ""
    if not os.path.exists(path):
        subprocess.run(
            [sys.executable, "-m", "pex", "-D", tree, "-o", path],
            env=measure.clean_environ(
                {"PYTHONPATH": peers, "PEX_ROOT": os.path.join(folder, "pex-root")}
            ),
            cwd=folder,
            check=True,
        )
    return path


def modules(python: list[str], directory: str, code: str, tree: str) -> int:
    """Return the number of modules of *tree* that *code* imports."""
    count = (
        f"\nprint(sum((getattr(m, '__file__', None) or '').startswith({tree!r})"
        " for m in list(sys.modules.values())))"
    )
    command = [*python, directory + code + count]
    return int(subprocess.check_output(command, env=measure.clean_environ(), cwd="/"))


def default_tree(name: str = "") -> str:
    """Return the folder for this Python among the build results of the checkout."""
    tag = sys.implementation.cache_tag
    folder = f"benchmarks-{name}-{tag}" if name else f"benchmarks-{tag}"
    return os.path.join(os.path.dirname(HERE), "build", folder)


def download(tree: str, packages: tuple[str, ...] = ()) -> None:
    """Install *packages*, or requirements.txt, into *tree* unless that was done."""
    if os.path.isdir(tree):
        return
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", tree]
    if not packages:
        subprocess.check_call([*pip, "-r", os.path.join(HERE, "requirements.txt")])
    for package in packages:  # one of them may not exist for this Python
        subprocess.call([*pip, "--only-binary", ":all:", package])


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
