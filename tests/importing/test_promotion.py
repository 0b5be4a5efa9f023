"""By default, imports of the archive spare the collector the objects that they make."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.compare_importers import Files, from_archive, pack_tree, write_tree

pytestmark = pytest.mark.skipif(
    "t" in sys.abiflags
    or (3, 14) <= sys.version_info < (3, 14, 5)
    or sys.version_info >= (3, 16),
    reason="moving objects takes more than constant time on this Python",
)

_CLASS = "".join(
    f"    def m{number}(self): return ({number},)\n" for number in range(60)
)
FILES: Files = {
    **{f"many/m{number}.py": f"class C:\n{_CLASS}" for number in range(300)},
    "many/__init__.py": "".join(f"import many.m{number}\n" for number in range(300)),
    "plain.py": "import gc\nseen = gc.isenabled(), gc.get_threshold()\n",
    "other.py": "",
    "garbage.py": (
        "import weakref\n"
        "class Node: pass\n"
        "node = Node()\n"
        "node.itself = node\n"
        "gone = weakref.ref(node)\n"
        "del node\n"
    ),
}


@pytest.fixture(name="archive", scope="module")
def _archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("promotion")
    cache = folder / "cache"
    return pack_tree(write_tree(FILES, folder / "tree"), cache), cache


def run(archive: tuple[str, Path], program: str, gc: str = "") -> list[str]:
    program = f"import gc, sys\nbefore = gc.get_threshold()\n{program}"
    done = from_archive(*archive, program, LAZYIMPORT_GC=gc)
    assert (done.status, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_the_collector_stays_as_it_was(archive: tuple[str, Path]) -> None:
    out = run(
        archive,
        "frozen = gc.get_freeze_count()\n"
        "import plain, many\n"
        "print(plain.seen == (gc.isenabled(), gc.get_threshold()) == (True, before))\n"
        "print(gc.get_freeze_count() <= frozen, gc.callbacks, gc.get_debug())\n",
    )
    assert out == ["True", "True [] 0"]


@pytest.mark.parametrize(
    ("gc", "generation"), [("", 2), ("promote", 2), ("pause", 2), ("run", 0)]
)
def test_what_is_there_is_promoted(
    archive: tuple[str, Path], gc: str, generation: int
) -> None:
    out = run(
        archive,
        "gc.disable()\n"
        "mine = []\n"
        "import plain\n"
        "print([any(each is mine for each in gc.get_objects(generation=generation))\n"
        "       for generation in range(3)].index(True))\n",
        gc,
    )
    assert out == [str(generation)]


def test_where_the_collector_runs_as_it_does_nothing_of_ours_promotes(
    archive: tuple[str, Path],
) -> None:
    """Not the modules of ours either that the first import loads."""
    out = run(
        archive,
        "mine = []\n"
        "import plain\n"
        "print([any(each is mine for each in gc.get_objects(generation=generation))\n"
        "       for generation in range(3)].index(True))\n",
        "run",
    )
    assert out in (["0"], ["1"])


def test_imports_hardly_collect(archive: tuple[str, Path]) -> None:
    program = (
        "def collections():\n"
        "    return sum(each['collections'] for each in gc.get_stats())\n"
        "start = collections()\n"
        "import many\n"
        "print(collections() - start)\n"
    )
    (often,) = run(archive, program, "run")
    (hardly,) = run(archive, program)
    assert int(often) > 10
    assert int(hardly) < int(often) / 10


def test_garbage_of_a_module_is_collected(archive: tuple[str, Path]) -> None:
    out = run(
        archive,
        "gc.disable()\n"
        "import garbage, other\n"
        "gc.collect(1)\n"
        "print(garbage.gone() is None)\n"
        "gc.collect()\n"
        "print(garbage.gone() is None)\n",
    )
    assert out == ["False", "True"]


def test_the_next_full_collection_comes_by_itself(archive: tuple[str, Path]) -> None:
    out = run(
        archive,
        "import garbage, other\n"
        "print(garbage.gone() is None)\n"
        "def full(): return gc.get_stats()[2]['collections']\n"
        "start, kept = full(), []\n"
        "while full() == start and len(kept) < 10**7:\n"
        "    kept.append([])\n"
        "print(garbage.gone() is None)\n",
    )
    assert out == ["False", "True"]


def test_what_a_program_froze_stays_frozen(archive: tuple[str, Path]) -> None:
    """As a server does that imports, freezes, and then starts its workers."""
    out = run(
        archive,
        "import os, plain\n"
        "kept = [[] for _ in range(50_000)]\n"
        "gc.freeze()\n"
        "import other\n"
        "print(gc.get_freeze_count() > 50_000)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    import many\n"
        "    os._exit(gc.get_freeze_count() <= 50_000)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n",
    )
    assert out == ["True", "0"]


@pytest.mark.parametrize("way", ["finalizer", "weak reference", "callback"])
def test_an_import_in_the_middle_of_a_collection(
    archive: tuple[str, Path], way: str
) -> None:
    out = run(
        archive,
        "import weakref\n"
        "class Node:\n"
        f"    if {way == 'finalizer'}:\n"
        "        def __del__(self): load()\n"
        "def load(*_):\n"
        "    import garbage, many, other\n"
        "kept = [[[]] for _ in range(10_000)]\n"
        "node = Node()\n"
        "node.itself = node\n"
        f"if {way == 'weak reference'}: wait = weakref.ref(node, load)\n"
        f"if {way == 'callback'}: gc.callbacks.append(load)\n"
        "rest = [Node() for _ in range(1000)]\n"
        "for each in rest: each.itself = each\n"
        "del node, rest, each\n"
        "gc.collect()\n"
        "if gc.callbacks: gc.callbacks.remove(load)\n"
        "gc.collect()\n"
        "import garbage\n"
        "print(garbage.gone() is None, all(each == [[]] for each in kept))\n"
        "print('many.m299' in sys.modules, gc.get_freeze_count() < 1000)\n"
        "print(sum(type(each) is Node for each in gc.get_objects()))\n",
    )
    assert out == ["True True", "True True", "0"]


def test_nobody_sees_objects_frozen_and_no_freeze_is_undone(
    archive: tuple[str, Path],
) -> None:
    out = run(
        archive,
        "import threading, time\n"
        "from lazyimport import lazy\n"
        "kept = [[] for _ in range(5000)]\n"
        "sys.setswitchinterval(1e-6)\n"
        "end = time.monotonic() + 1\n"
        "def promote():\n"
        "    while time.monotonic() < end:\n"
        "        lazy._promotes = True\n"
        "        lazy.promote()\n"
        "thread = threading.Thread(target=promote)\n"
        "thread.start()\n"
        "wrong = rounds = 0\n"
        "while time.monotonic() < end:\n"
        "    rounds += 1\n"
        "    wrong += gc.get_freeze_count() > 1000\n"
        "    gc.freeze()\n"
        "    for _ in range(3):\n"
        "        time.sleep(0)\n"
        "        wrong += gc.get_freeze_count() < 5000\n"
        "    gc.unfreeze()\n"
        "thread.join()\n"
        "print(wrong, rounds > 9)\n",
    )
    assert out == ["0 True"]
