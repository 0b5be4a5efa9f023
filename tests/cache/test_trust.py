"""Directories of the node cache: nobody else may have put code there."""

from __future__ import annotations

import os

import pytest

from lazyimport.cache.trust import is_trusted, make_trusted
from lazyimport.errors import CacheError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


def test_new_directory_and_its_parents_are_for_this_user_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_trusted(str(tmp_path / "a/b/c"))
    finally:
        os.umask(before)

    for folder in ("a", "a/b", "a/b/c"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700


def test_directory_that_is_missing_is_not_refused(tmp_path: Path) -> None:
    assert not is_trusted(str(tmp_path / "none"))


def test_group_may_write(tmp_path: Path) -> None:
    """Kubernetes mounts volumes that way (fsGroup)."""
    tmp_path.chmod(0o2770)
    assert is_trusted(str(tmp_path))


def test_others_may_not_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(CacheError, match="can be written by everybody") as caught:
        make_trusted(str(tmp_path))

    assert caught.value.path == str(tmp_path)
    assert caught.value.errno is None


def test_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CacheError, match="is not a directory"):
        make_trusted(str(tmp_path / "file"))
    with pytest.raises(CacheError, match="cannot use the cache directory"):
        make_trusted(str(tmp_path / "file/below"))
