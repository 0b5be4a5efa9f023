"""With LAZYIMPORT_GC=pause, imports of the archive run without the collector."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.compare_importers import Files, from_archive, pack_tree, write_tree

FILES: Files = {
    "pkg/__init__.py": "import gc, pkg.inner\nseen = gc.get_threshold()[0]\n",
    "pkg/inner.py": "import gc\nseen = gc.get_threshold()[0]\n",
    "cycles.py": (
        "import gc\n"
        "runs = []\n"
        "gc.callbacks.append(lambda phase, info: runs.append(phase))\n"
        "for _ in range(5000):\n    one = []\n    one.append([one])\n"
        "collected = bool(runs)\n"
    ),
    "large.py": "made = [[] for _ in range(8_000)]\n",
    "larger.py": "made = [[] for _ in range(8_000)]\n",
    "third.py": "made = [[] for _ in range(8_500)]\n",
    "fails.py": "1 / 0\n",
    "disables.py": "import gc\ngc.disable()\n",
    "sets.py": "import gc\ngc.set_threshold(123, 4, 5)\n",
    "stops.py": "import gc\ngc.set_threshold(0)\n",
    "slow.py": "import builtins\nbuiltins.started.set()\nbuiltins.go.wait(60)\n",
}


@pytest.fixture(name="archive", scope="module")
def _archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("collector")
    cache = folder / "cache"
    return pack_tree(write_tree(FILES, folder / "tree"), cache), cache


def run(archive: tuple[str, Path], program: str, gc: str = "pause") -> list[str]:
    program = f"import gc\nbefore = gc.get_threshold()\n{program}"
    done = from_archive(*archive, program, LAZYIMPORT_GC=gc)
    assert done.status == 0, done.stderr
    return done.stdout.splitlines()


def test_waits_for_the_outermost_import(archive: tuple[str, Path]) -> None:
    out = run(
        archive,
        "import pkg\n"
        "print(pkg.seen > 10**9, pkg.inner.seen > 10**9)\n"
        "print(gc.get_threshold() == before, gc.isenabled())\n"
        "print(type(pkg.__spec__).__name__)\n",
    )
    assert out == ["True True", "True True", "ModuleSpec"]


def test_no_collection_during_an_import(archive: tuple[str, Path]) -> None:
    program = "import cycles\nprint(cycles.collected)\n"
    assert run(archive, program) == ["False"]
    assert run(archive, program, gc="run") == ["True"]


def test_what_imports_made_is_frozen_once_it_is_much(
    archive: tuple[str, Path],
) -> None:
    out = run(
        archive,
        "start = gc.get_freeze_count()\n"
        "import pkg\n"
        "print(gc.get_freeze_count() <= start)\n"
        "import large\n"
        "print(gc.get_freeze_count() <= start)\n"
        "import larger\n"
        "frozen = gc.get_freeze_count()\n"
        "print(frozen >= start + 16_000)\n"
        "gc.collect(0)\n"
        "import cycles\n"
        "print(gc.get_freeze_count() <= frozen)\n",
    )
    assert out == ["True", "True", "True", "True"]


@pytest.mark.parametrize(
    ("between", "freezes"),
    [
        ("", True),
        ("gc.collect()", False),
        ("more = [[] for _ in range(before[0] + 1)]", False),
        ("gc.disable(); more = [[] for _ in range(before[0] + 1)]", False),
    ],
)
def test_an_import_that_follows_at_once_is_frozen_too(
    archive: tuple[str, Path], between: str, freezes: bool
) -> None:
    """As in a loop over the modules of a package; what a program makes is not."""
    out = run(
        archive,
        "import large, larger\n"
        "frozen = gc.get_freeze_count()\n"
        f"{between}\n"
        "import third\n"
        "print(gc.get_freeze_count() > frozen + 8_000)\n",
    )
    assert out == [str(freezes)]


def test_goes_on_after_an_import_that_fails(archive: tuple[str, Path]) -> None:
    out = run(
        archive,
        "try:\n    import fails\nexcept ZeroDivisionError:\n    pass\n"
        "print(gc.get_threshold() == before)\n",
    )
    assert out == ["True"]


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("disables", "False True"),
        ("sets", "True False"),
        ("stops", "True False"),
    ],
)
def test_what_a_module_asks_for_is_respected(
    archive: tuple[str, Path], module: str, expected: str
) -> None:
    out = run(
        archive,
        f"import {module}\nprint(gc.isenabled(), gc.get_threshold() == before)\n"
        "print(gc.get_threshold()[0] < 10**9)\n",
    )
    assert out == [expected, "True"]


def test_a_child_does_not_wait_for_threads_that_it_has_not(
    archive: tuple[str, Path],
) -> None:
    out = run(
        archive,
        "import builtins, os, threading\n"
        "builtins.started, builtins.go = threading.Event(), threading.Event()\n"
        "thread = threading.Thread(target=__import__, args=('slow',))\n"
        "thread.start()\n"
        "builtins.started.wait(60)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    os._exit(gc.get_threshold() != before)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "print(gc.get_threshold() == before)\n"
        "builtins.go.set()\n"
        "thread.join()\n"
        "print(gc.get_threshold() == before)\n",
    )
    assert out == ["0", "False", "True"]


def test_without_it_nothing_changes(archive: tuple[str, Path]) -> None:
    out = run(
        archive,
        "frozen = gc.get_freeze_count()\n"
        "import pkg\n"
        "print(pkg.seen == before[0], gc.get_freeze_count() <= frozen)\n",
        gc="run",
    )
    assert out == ["True True"]
