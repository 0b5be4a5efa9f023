"""The modules of a start, loaded together or by the import machinery."""

from __future__ import annotations

import compileall
import os
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import lazyimport
from lazyimport.lazy import _START, _TREE


def names(items: str) -> list[str]:
    """Return the names of modules that are loaded together."""
    return [
        f"lazyimport.{item.replace('/', '.')}".rstrip(".") for item in items.split()
    ]


#: what a start loads together, and what a lookup does
NAMES, LOOKUP = names(_START), names(_TREE)
FIRST = {"lazyimport", "lazyimport.lazy"}
OTHERS = "PYTHON", "LAZYIMPORT_"

DESCRIBE = """
    import sys
    FACTS = ("__file__", "__cached__", "__path__", "__package__", "__doc__")
    for name in NAMES:
        module = sys.modules[name]
        spec = module.__spec__
        folder, _, tail = name.rpartition(".")
        print(name, *(getattr(module, fact, None) for fact in FACTS))
        print(type(module.__loader__), module.__loader__.name, module.__loader__.path)
        print(spec.name, spec.origin, spec.cached, spec.parent, spec.has_location)
        print(spec.submodule_search_locations, spec.loader is module.__loader__)
        print(getattr(sys.modules[folder], tail) is module, module.__builtins__ is __builtins__.__dict__)
    """


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of lazyimport, with bytecode of all of it."""
    copy = tmp_path_factory.mktemp("compiled") / "lazyimport"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(lazyimport.__file__).parent, copy, ignore=ignored)
    compileall.compile_dir(copy, quiet=2, stripdir=str(copy.parent))
    return copy


@pytest.fixture
def alone(compiled: Path, tmp_path: Path) -> Path:
    """A directory with a copy of that, whose files are as old."""
    shutil.copytree(compiled, tmp_path / "alone/lazyimport")
    return tmp_path / "alone"


def start(alone: Path, program: str, *options: str, **variables: str) -> str:
    """Return what a program says, which *options* of Python begin."""
    begin = f"import sys; sys.path.insert(0, {str(alone)!r})\nNAMES = {NAMES!r}\n"
    done = subprocess.run(
        [sys.executable, *options, "-c", begin + dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith(OTHERS)}
        | variables,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def asked_for(
    alone: Path, program: str = "from lazyimport import install", **variables: str
) -> set[str]:
    """Return the modules of ours for which a start asks the import machinery."""
    said = start(alone, program, "-Ximporttime", **variables)
    words = {line.rpartition("|")[2].strip() for line in said.splitlines()}
    return {word for word in words if word.startswith("lazyimport")}


def test_a_start_asks_for_two_modules(alone: Path) -> None:
    """All others are loaded together, each after what it imports."""
    assert asked_for(alone) == FIRST


def test_what_is_needed_later_is_loaded_without_asking(alone: Path) -> None:
    program = """
        from lazyimport import install
        from lazyimport.importing.registration import appearing
        from lazyimport.runtime import obtaining, trees
        assert "lazyimport.trees" not in sys.modules
        trees.open_tree, appearing.appear
        assert "lazyimport.trees" in sys.modules
        assert "lazyimport.importing.appearing" in sys.modules
        """
    further = f"{dedent(program)}obtaining.obtain\n"

    assert asked_for(alone, program) == FIRST
    # whose package has not been loaded
    assert "lazyimport.delivery.obtaining" in asked_for(alone, further)


@pytest.mark.parametrize("together", [NAMES, LOOKUP])
def test_nothing_is_loaded_together_that_is_not_needed(
    alone: Path, together: list[str]
) -> None:
    """The last one imports the others, or asks for them with the first lookup."""
    later = "lazyimport.importing.specs, lazyimport.format.archive"
    program = f"import {together[-1]}, {later}\nprint(*sys.modules)"

    assert set(start(alone, program).split()) >= {*together}


def test_modules_are_as_the_machinery_makes_them(alone: Path) -> None:
    together = start(alone, f"from lazyimport import install\n{dedent(DESCRIBE)}")
    ordinary = start(alone, f"import lazyimport.runtime\n{dedent(DESCRIBE)}")

    assert together == ordinary
    assert together.count("SourceFileLoader") == len(NAMES)


def test_what_is_loaded_sees_itself_and_leaves_nothing_if_it_fails(
    alone: Path,
) -> None:
    """A dataclass looks for its module, for one."""
    source = alone / "lazyimport/asked.py"
    source.write_text("import sys\nSELF = sys.modules[__name__]\n1 / FINE\n")
    compileall.compile_file(source, quiet=2)
    program = """
        import builtins
        from lazyimport.lazy import Later
        builtins.FINE = 0
        try:
            print(Later("asked").SELF)
        except ZeroDivisionError:
            print("lazyimport.asked" in sys.modules)
        builtins.FINE = 1
        print(Later("asked").SELF is sys.modules["lazyimport.asked"])
        """

    assert start(alone, program) == "False\nTrue\n"


def test_a_changed_source_is_loaded(alone: Path) -> None:
    with open(alone / "lazyimport/cache/sealed.py", "a", encoding="utf-8") as file:
        file.write("changed = True\n")

    program = "from lazyimport import install\nprint(sys.modules['lazyimport.cache.sealed'].changed)"

    assert start(alone, program) == "True\n"


def test_a_source_of_the_same_size_is_loaded(alone: Path) -> None:
    source = alone / "lazyimport/values.py"
    before = source.stat()
    text = source.read_text("utf-8")
    source.write_text(
        text.replace("SHORTEST_PREFIX = 6", "SHORTEST_PREFIX = 7"), "utf-8"
    )
    os.utime(source, (before.st_atime, before.st_mtime + 10))

    program = "from lazyimport import install\nprint(sys.modules['lazyimport.values'].SHORTEST_PREFIX)"

    assert start(alone, program) == "7\n"


@pytest.mark.parametrize("kind", ["none", "unwritten", "elsewhere", "hashed", "cut"])
def test_without_the_usual_bytecode(alone: Path, tmp_path: Path, kind: str) -> None:
    """The machinery loads what is not there, or is not as usual, and the rest."""
    variables = {}
    if kind in {"none", "unwritten"}:
        for folder in [*alone.rglob("__pycache__")]:
            shutil.rmtree(folder)
    if kind == "unwritten":
        variables["PYTHONDONTWRITEBYTECODE"] = "1"
    elif kind == "elsewhere":
        variables["PYTHONPYCACHEPREFIX"] = str(tmp_path / "bytecode")
    elif kind == "hashed":
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(alone, quiet=2, force=True, invalidation_mode=mode)
    elif kind == "cut":
        (cached,) = alone.rglob("cache/__pycache__/sealed.*.pyc")
        cached.write_bytes(cached.read_bytes()[:10])

    program = "from lazyimport import install\nprint(install.__module__)"

    assert start(alone, program, **variables) == "lazyimport.runtime\n"
    if kind == "cut":
        assert "lazyimport.cache" not in asked_for(alone)  # as it was written again
    elif kind != "none":
        assert asked_for(alone, **variables) == {*FIRST, *NAMES}


def test_threads_that_start_at_once_have_the_same_modules(alone: Path) -> None:
    program = """
        import threading
        import lazyimport  # the machinery puts it into sys.modules twice
        sys.setswitchinterval(1e-6)
        barrier = threading.Barrier(8)
        seen = []
        def begin(number):
            barrier.wait()
            if number % 2:
                lazyimport.install
            else:
                __import__(NAMES[number * 2])
            from lazyimport.runtime import process
            from lazyimport.values import Value
            from lazyimport.settings import Settings
            seen.append((process, Value, Settings.__mro__[1]))
        threads = [threading.Thread(target=begin, args=(n,)) for n in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(len(seen), len(set(seen)), seen[0][1] is seen[0][2])
        """

    for _ in range(12):
        assert start(alone, program) == "8 1 True\n"
