"""lazyimport itself has no bytecode: its first process writes it while it looks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import lazyimport
from tests.support.node_cache import put_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.cache.node import NodeCache

PROGRAM = """
import os, sys
import lazyimport
lazyimport.install(sys.argv[1], cache_dir=sys.argv[2])
open("one", "w").close()
os.replace("one", "two")
import pkg
assert os.listdir(os.path.dirname(pkg.__file__))
print(lazyimport.__file__)
"""


def test_what_sees_a_path_is_loaded_by_the_first_look(
    cache: NodeCache, tmp_path: Path
) -> None:
    copy = tmp_path / "copy/lazyimport"
    shutil.copytree(
        Path(lazyimport.__file__).parent,
        copy,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    hash = put_archive(cache, used=0)
    environ = {**os.environ, "PYTHONPATH": str(copy.parent)}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, hash, cache.path],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr) == (f"{copy}/__init__.py\n", "")
