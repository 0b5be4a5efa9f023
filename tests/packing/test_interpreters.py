"""Finding the Pythons to compile for: by version, by path, and nothing else."""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
from pathlib import Path

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.errors import PackError
from lazyimport.packing.config import Config
from lazyimport.packing.interpreters import Interpreter, find_interpreters
from lazyimport.packing.roots import pack_roots
from tests.support.compare_importers import write_tree


def test_the_running_one() -> None:
    (found,) = find_interpreters([])
    assert found == find_interpreters([""])[0]
    assert found.tag == sys.implementation.cache_tag
    assert found.magic == importlib.util.MAGIC_NUMBER
    assert found.version == sys.version_info[:3]
    assert found.stdlib_names == sys.stdlib_module_names
    assert os.path.samefile(found.executable, sys.executable)


def test_by_version_and_by_path_are_one() -> None:
    version = "{}.{}".format(*sys.version_info)
    full = "{}.{}.{}".format(*sys.version_info)
    assert len(find_interpreters(["", version, full, sys.executable])) == 1


def test_in_the_order_asked_for(interpreter: Interpreter) -> None:
    requests = [interpreter.executable, ""]
    found = find_interpreters(requests)
    assert found[0].tag == interpreter.tag
    assert find_interpreters(requests[::-1])[-1].tag == interpreter.tag


def test_on_path_past_what_does_not_run(tmp_path: Path) -> None:
    """Like pyenv's shim of a version that is not switched on."""
    minor = sys.version_info[1] + 50
    shim, real = (
        tmp_path / "a" / f"python3.{minor}",
        tmp_path / "b" / f"python3.{minor}",
    )
    fake = (
        f"echo lazyimport {real}; echo cpython-3{minor} 00000d0a 3 {minor} 7; echo a b"
    )
    for path, body in ((shim, "exit 127"), (real, fake)):
        path.parent.mkdir()
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    environ = {"PATH": f"{shim.parent}:{real.parent}", "HOME": str(tmp_path)}
    (found,) = find_interpreters([f"3.{minor}"], environ=environ)
    expected = (str(real), f"cpython-3{minor}", b"\0\0\r\n", (3, minor, 7))
    assert found == (*expected, frozenset("ab"))


def test_in_pyenv_the_newest_first(tmp_path: Path) -> None:
    for micro in (2, 10, 9):
        path = tmp_path / "versions" / f"3.77.{micro}" / "bin" / "python"
        path.parent.mkdir(parents=True)
        path.write_text(
            f"#!/bin/sh\necho lazyimport {path}\n"
            f"echo cpython-377 00000d0a 3 77 {micro}\necho a\n"
        )
        path.chmod(0o755)
    environ = {"PATH": "/nowhere", "PYENV_ROOT": str(tmp_path)}
    assert find_interpreters(["3.77"], environ=environ)[0].version == (3, 77, 10)
    assert find_interpreters(["3.77.9"], environ=environ)[0].version == (3, 77, 9)


def test_one_is_asked_again_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "python"

    def write(micro: int) -> None:
        path.write_text(
            f"#!/bin/sh\necho >> {tmp_path}/asked\necho lazyimport {path}\n"
            f"echo cpython-377 00000d0a 3 77 {micro}\necho a\n"
        )
        path.chmod(0o755)
        os.utime(path, (micro, micro))

    write(1)
    for _ in range(2):
        assert find_interpreters([str(path)])[0].version == (3, 77, 1)
    write(2)
    assert find_interpreters([str(path)])[0].version == (3, 77, 2)
    assert len((tmp_path / "asked").read_text()) == 2


def test_what_is_not_there(tmp_path: Path) -> None:
    environ = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    with pytest.raises(PackError) as info:
        find_interpreters(["3.99", "/no/python", "word"], environ=environ)
    assert len(info.value.issues) == 3
    for words in ("3.99", "PATH", f"{tmp_path}/.pyenv", "uv", "path", "/no/python"):
        assert words in str(info.value)


def test_what_is_no_python(tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(stat.S_IRWXU)
    with pytest.raises(PackError, match="cannot be run as a CPython"):
        find_interpreters([str(program)])


def test_native_modules_that_a_python_does_not_load(tmp_path: Path) -> None:
    """Those of dependencies are installed for the Python that packs."""
    here = f"cpython-{sys.version_info[0]}{sys.version_info[1]}"
    names = [
        "other.cpython-39-x86_64-linux-gnu.so",
        "more.cpython-39-darwin.so",
        "both.cpython-39-x86_64-linux-gnu.so",
        f"both.{here}-x86_64-linux-gnu.so",
        "stable.abi3.so",
        "plain.so",
        "app.libs/libz-4b.cpython-39-x.so",
    ]
    root = write_tree({f"app/{name}": "x" for name in names}, tmp_path / "root")
    cache = NodeCache(str(tmp_path / "cache"))
    packed = pack_roots([str(root)], Config(), find_interpreters([]), cache)

    (warning,) = packed.warnings
    version = "{}.{}".format(*sys.version_info)
    first = "app/more.cpython-39-darwin.so"
    assert warning.startswith(f"Python {version} cannot load {first} and 1 more: built")
