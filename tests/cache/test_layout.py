"""The layout of the node cache: names, and who passes over which."""

from __future__ import annotations

import os

from lazyimport.cache.layout import Layout, hash_in
from lazyimport.cache.walks import everything, walk
from lazyimport.files import AtomicFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

A = "a1" * 32


def test_archive_whose_tree_a_file_lies_in() -> None:
    assert hash_in(f"/cache/trees/{A}/pkg/mod.py") == A
    assert hash_in(f"/trees/cache/trees/{A}/trees/mod.py") == A
    assert hash_in("/cache/archives/mod.py") is None


def test_cache_that_an_archive_or_tree_lies_in() -> None:
    layout = Layout("/cache/")

    assert Layout.around(layout.archive_path(A)).path == "/cache"
    assert Layout.around(layout.tree_path(A)).path == "/cache"


def test_file_that_is_being_written_is_not_walked_over(tmp_path: Path) -> None:
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab/whole").write_bytes(b"")
    with AtomicFile(str(tmp_path / "ab/begun")) as file:
        assert [path for path, _ in walk(str(tmp_path))] == [f"{tmp_path}/ab/whole"]
        found = {os.fspath(path) for path, _ in everything(str(tmp_path))}
        paths = [tmp_path, tmp_path / "ab", tmp_path / "ab/whole", file.name]
        assert found == set(map(str, paths))


def test_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert list(walk(f"{tmp_path}/none")) == []
