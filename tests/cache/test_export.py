"""Exporting: all files of an archive in a folder of somebody's own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lazyimport.cache.export import export
from lazyimport.cache.node import NodeCache
from lazyimport.files import make_directories
from tests.support.compare_importers import pack_tree


def test_folders_deeper_than_calls_may_be(tmp_path: Path) -> None:
    deep = f"{'d/' * 1200}x"
    make_directories(f"{tmp_path}/tree/{deep}")
    Path(f"{tmp_path}/tree/{deep}/data.txt").write_text("here")
    cache = NodeCache(f"{tmp_path}/cache")
    archive = cache.open(pack_tree(tmp_path / "tree", Path(cache.path)))
    assert archive is not None

    export(archive, f"{tmp_path}/out")

    assert Path(f"{tmp_path}/out/{deep}/data.txt").read_text() == "here"
    for name in ("tree", "out"):
        subprocess.run(["rm", "-r", tmp_path / name], check=True)  # pytest cannot
