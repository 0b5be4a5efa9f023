"""A disk that is mounted noexec holds no libraries, and the error says so."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lazyimport.cache.node import NodeCache
from tests.support.compare_importers import (
    Files,
    from_archive,
    from_directory,
    pack_tree,
    write_tree,
)
from tests.support.disks import mounted
from tests.support.trees import make_archive

NAMES = ("_csv", "_json", "_heapq", "_bisect")


@pytest.fixture(name="library")
def _library() -> Path:
    specs = filter(None, map(importlib.util.find_spec, NAMES))
    spec = next((spec for spec in specs if str(spec.origin).endswith(".so")), None)
    if spec is None:
        pytest.skip("the extension modules of this Python are built in")
    return Path(str(spec.origin))


def test_one_that_is_loaded_by_its_path(tmp_path: Path, library: Path) -> None:
    """From a folder of which nothing was imported, and at which nobody has looked."""
    files: Files = {"app.py": "", f"plugins/{library.name}": library.read_bytes()}
    tree, cache = write_tree(files, tmp_path / "tree"), tmp_path / "cache"
    program = f"""
import app, importlib.util, os
path = os.path.dirname(app.__file__) + "/plugins/{library.name}"
spec = importlib.util.spec_from_file_location({library.name.partition(".")[0]!r}, path)
print(importlib.util.module_from_spec(spec))
"""

    directory = from_directory(tree, program)

    assert directory.status == 0, directory.stderr
    assert from_archive(pack_tree(tree, cache), cache, program) == directory


def test_extension_module_on_a_disk_without_execution(
    tmp_path: Path, library: Path
) -> None:
    data, name = make_archive(
        {"app/__init__.py": "", f"app/{library.name}": library.read_bytes()}
    )
    with mounted(tmp_path / "disk", "noexec", "size=32m", "mode=0700") as disk:
        cache = NodeCache(str(disk / "cache"))
        cache.publish(name, lambda out: out.write(data))
        done = subprocess.run(
            [sys.executable, "-c", f"import app.{library.name.partition('.')[0]}"],
            env={
                **os.environ,
                "LAZYIMPORT_HASH": name,
                "LAZYIMPORT_CACHE_DIR": cache.path,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert "is on a disk that is mounted noexec" in done.stderr
    assert "set LAZYIMPORT_CACHE_DIR to a directory on another disk" in done.stderr
