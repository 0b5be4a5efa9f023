"""Whoever looks finds: every function that takes a path, from a directory and from
an archive, on the Python that runs."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.compare_importers import pack_tree, write_tree
from tests.support.look_calls import (
    CALLS,
    NOT_NOTICED,
    NOT_PATHS,
    PROGRAM,
    files,
    folder,
)

MODULES = [
    "os",
    "os.path",
    "io",
    "shutil",
    "glob",
    "ctypes",
    "subprocess",
    "sqlite3",
    "mmap",
    "tokenize",
    "linecache",
    "zipfile",
]
#: what parameters are called that take a path or a command
PARAMETERS = frozenset(
    [
        "a",
        "argv",
        "args",
        "base_dir",
        "base_name",
        "cmd",
        "database",
        "dir",
        "dst",
        "executable",
        "extract_dir",
        "f",
        "f1",
        "f2",
        "file",
        "filename",
        "fname",
        "fullname",
        "link",
        "linkname",
        "location",
        "name",
        "other",
        "p",
        "path",
        "path1",
        "path2",
        "pathname",
        "paths",
        "pattern",
        "popenargs",
        "root",
        "root_dir",
        "s",
        "source",
        "src",
        "start",
        "target",
        "top",
        "zipname",
    ]
)


def taking_paths() -> set[str]:
    """Return the functions that may take a path, by their parameters' names."""
    import pathlib

    found = {f"Path.{name}" for name in dir(pathlib.Path) if name[0] != "_"}
    for home in MODULES:
        module = importlib.import_module(home)
        for name, value in vars(module).items():
            if name[0] == "_" or name == "GenericAlias" or not callable(value):
                continue
            if PARAMETERS & _parameters(value):
                found.add(f"{home}.{name}")
    return found


def _parameters(function: Any) -> set[str]:
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return set()


def test_every_function_that_takes_a_path_is_tried() -> None:
    """What a new Python brings fails here, and not at a user's."""
    known = {name.partition(" ")[0] for name in CALLS}
    assert set() == taking_paths() - known - NOT_PATHS - NOT_NOTICED


@pytest.fixture(scope="module", name="answers")
def _answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What each call gave, from a directory and from an archive."""
    base = tmp_path_factory.mktemp("looks")
    source = write_tree(
        {
            f"{folder(place)}/{path}": text
            for place in range(len(CALLS))
            for path, text in files(place).items()
        }
        | {"start.py": "", "tool": ""},
        base / "source",
    )
    for place in range(len(CALLS)):
        (source / folder(place) / "bin/tool").chmod(0o755)
    hash = pack_tree(source, base / "cache")
    return {
        "directory": _run(f"ROOT = {str(source)!r}", base / "out1"),
        "archive": _run(
            f"import lazyimport; lazyimport.install({hash!r}, "
            f"cache_dir={str(base / 'cache')!r}); ROOT = lazyimport.current().root",
            base / "out2",
        ),
    }


def _run(start: str, out: Path) -> dict[str, str]:
    out.mkdir()
    program = f"{start}\nOUT = {str(out)!r}\nCALLS = {list(CALLS.items())!r}\n{PROGRAM}"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        env={k: v for k, v in os.environ.items() if not k.startswith("LAZYIMPORT_")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines() if line[0] == "[")


@pytest.mark.parametrize("name", CALLS)
def test_finds_what_it_finds_in_a_directory(
    answers: dict[str, dict[str, str]], name: str
) -> None:
    assert answers["archive"][name] == answers["directory"][name]


#: installs an archive after all of the standard library was imported, and prints where
#: functions were left as they are
_LEFT = """
import sys
for name in sorted(sys.stdlib_module_names - {"antigravity", "idlelib", "this", "tkinter", "turtle", "turtledemo"}):
    try:
        __import__(name)
    except ImportError:
        pass
import lazyimport
from lazyimport.importing.wrappers import _WRAPPED
# those of the machinery, and in C, keep them
untouched = {"_frozen_importlib", "_frozen_importlib_external", *sys.builtin_module_names} - _WRAPPED.keys()
real = {}
for home, rows in _WRAPPED.items():
    for name in " ".join(row[0] for row in rows).split():
        function = getattr(sys.modules.get(home), name, None)
        real[id(function)] = function
del real[id(None)]
lazyimport.install(HASH, cache_dir=CACHE)
print(sorted(
    f"{name}.{taken}" for name, module in sys.modules.items()
    if name not in untouched and not name.startswith("lazyimport")
    for taken, value in vars(module).items() if id(value) in real and module is not sys.modules["__main__"]
))
"""


def test_the_standard_library_keeps_no_function_to_itself(tmp_path: Path) -> None:
    """It may have taken one under a name that a new Python brings."""
    hash = pack_tree(
        write_tree({"one.py": ""}, tmp_path / "source"), tmp_path / "cache"
    )
    program = f"HASH, CACHE = {hash!r}, {str(tmp_path / 'cache')!r}\n{_LEFT}"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
