"""Many threads import, look at files and fail at once, in a process that just started.

What they race for is made only once: files on disk, code that was not packed, patches
of the standard library. So each round is a child process with an empty node cache.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from lazyimport.packing.config import Config
from tests.support.compare_importers import Files, from_archive, pack_tree, write_tree
from tests.support.scale import scaled

#: every module notes that it ran, and whether the files beside it were there by then
BODY = """\
import os, builtins
builtins.ran.append((__name__, {look}))

def boom():
    raise ValueError(__name__)
"""
PURE = BODY.format(look="True")
LOOKS = BODY.format(
    look="all(map(os.path.exists, (__file__, os.path.dirname(__file__) + '/data.txt')))"
)
MODULES = [
    *(f"pure.mod{n}" for n in range(12)),
    *(f"looks.deep{n}.mod" for n in range(6)),
    *(f"space.part{n}.mod" for n in range(6)),
    *(f"whole{n}" for n in range(4)),
    "single",
]
#: Imported before the threads start. The machinery takes a module out of sys.modules
#: for a moment when it is done (_load_unlocked), and a thread that looks for a parent
#: just then gets a KeyError: on free-threaded builds often, from a directory as well.
PARENTS = [
    *("pure", "looks", "space"),
    *(f"looks.deep{n}" for n in range(6)),
    *(f"space.part{n}" for n in range(6)),
]
FILES: Files = {
    "pure/__init__.py": PURE,
    "looks/__init__.py": LOOKS,
    "looks/data.txt": "data",
    "space/data.txt": "of a namespace",
    "single.py": PURE,
    **{f"whole{n}/__init__.py": LOOKS for n in range(4)},
    **{f"whole{n}/data.txt": "data" for n in range(4)},
    **{f"pure/mod{n}.py": PURE + f"import looks.deep{n % 6}.mod\n" for n in range(12)},
    **{f"looks/deep{n}/__init__.py": PURE for n in range(6)},
    **{f"looks/deep{n}/data.txt": "data" for n in range(6)},
    **{f"looks/deep{n}/mod.py": LOOKS + "import single\n" for n in range(6)},
    **{f"space/part{n}/mod.py": LOOKS for n in range(6)},
    **{f"space/part{n}/data.txt": "data" for n in range(6)},
    "thing-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: thing\nVersion: 1\n",
}
PROGRAM = f"""
import builtins, importlib, importlib.util, random, sys, threading, traceback
builtins.ran = []
sys.setswitchinterval(1e-5)
MODULES = {MODULES}
SEED, THREADS = map(int, sys.argv[1:])
# Python 3.15 imports what it needs for a traceback now, and not safely in two threads.
try: 1 / 0
except ZeroDivisionError: traceback.format_exc()
root = __import__("lazyimport").current().root

def load(name):
    module = importlib.import_module(name)
    return name, id(module), module.boom.__code__.co_filename == module.__file__

def miss(name):
    missing = name.rpartition(".")[0] + ".nothing" if "." in name else "nothing_here"
    try:
        importlib.import_module(missing)
    except ModuleNotFoundError as error:
        told = str(error) + str(getattr(error, '__notes__', ''))
        assert error.name == missing and "lazyimport: archive" in told, error
    assert importlib.util.find_spec("nothing_at_all") is None

def read(name):
    import linecache
    path = importlib.import_module(name).__file__
    assert linecache.getline(path, 4) == "def boom():\\n", path

def source(name):
    import inspect
    assert "raise ValueError" in inspect.getsource(importlib.import_module(name).boom)

def trace(name):
    try:
        importlib.import_module(name).boom()
    except ValueError:
        assert "    raise ValueError(__name__)\\n" in traceback.format_exc()

def resource(name):
    import importlib.resources
    package = name.split(".")[0]
    if package in ("looks", "space"):
        file = importlib.resources.files(package) / "data.txt"
        assert file.read_text() in ("data", "of a namespace")

def metadata(name):
    import importlib.metadata
    assert importlib.metadata.version("thing") == "1"

def listing(name):
    import pkgutil
    assert len(list(pkgutil.iter_modules([root + "/pure"]))) == 12

def data(name):
    loader = importlib.import_module(name).__loader__
    assert b"boom" in loader.get_data(loader.path)

def portion(name):
    from importlib.machinery import PathFinder
    assert list(PathFinder.find_spec("space").submodule_search_locations) == [root + "/space"]

def work(number):
    choose = random.Random(SEED * 1000 + number)
    ways = [miss, read, source, trace, resource, metadata, listing, data, portion]
    try:
        go.wait()
        for name in choose.sample(MODULES, len(MODULES)):
            choose.choice(ways)(name)
            seen.append(load(name))
    except BaseException:
        failed.append(traceback.format_exc())

for name in {PARENTS}: importlib.import_module(name)
seen, failed, go = [], [], threading.Barrier(THREADS)
threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
for t in threads: t.start()
for t in threads: t.join()
for text in failed: print(text)
print(len(seen), len(set(seen)), all(named for _, _, named in seen))
print(len(builtins.ran), len(set(builtins.ran)), all(there for _, there in builtins.ran))
"""
THREADS = 16


@pytest.mark.timeout(scaled(300, 3600))
@pytest.mark.parametrize("flag", ["-B", "-O"])
def test_all_at_once(tmp_path: Path, flag: str) -> None:
    """Every module runs once, is one object for all, and finds its files.

    With -O nothing has been compiled yet: the threads compile, into the node cache.
    """
    cache = tmp_path / "cache"
    config = Config(materialize=("space",))
    hash_ = pack_tree(write_tree(FILES, tmp_path / "site"), cache, config)
    rounds = scaled(1, 50)

    for seed in range(rounds):
        for made in ("trees", "blobs", "bytecode"):
            shutil.rmtree(cache / made, ignore_errors=True)
        program = PROGRAM.replace("sys.argv[1:]", f"({seed}, {THREADS})")
        done = from_archive(hash_, cache, program, [flag])

        ran = len(MODULES) + 2 + 6  # and the parents that are no namespaces
        expected = f"{THREADS * len(MODULES)} {len(MODULES)} True\n{ran} {ran} True\n"
        assert done == (expected, "", 0), (seed, sys.version)
