"""Directories of the node cache: nobody else may have put code there."""

from __future__ import annotations

import os

import pytest

from lazyimport.cache import is_trusted, make_trusted
from lazyimport.errors import CacheError
from tests.support.disks import need_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

STRANGER = 54002


def test_new_directory_and_its_parents_are_for_this_user_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_trusted(str(tmp_path / "a/b/c"))
    finally:
        os.umask(before)

    for folder in ("a", "a/b", "a/b/c"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700


def test_directory_that_is_missing_is_not_refused(tmp_path: Path) -> None:
    assert not is_trusted(str(tmp_path / "none/cache"))


def test_group_of_this_process_may_write(tmp_path: Path) -> None:
    """Kubernetes mounts volumes that way (fsGroup)."""
    (tmp_path / "cache").mkdir()
    for folder in (tmp_path, tmp_path / "cache"):
        folder.chmod(0o2770)

    assert is_trusted(str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("made", "place"),
    [
        ("way/cache", ""),
        ("way/cache", "/way"),
        ("way/cache", "/way/cache"),
        ("way", ""),
        ("way", "/way"),
    ],
)
def test_others_may_not_write_anywhere_on_the_way(
    tmp_path: Path, made: str, place: str
) -> None:
    """Who may write to a directory above can move the cache away and make another."""
    cache = f"{tmp_path}/way/cache"
    (tmp_path / made).mkdir(parents=True)
    os.chmod(f"{tmp_path}{place}", 0o777)

    with pytest.raises(CacheError, match="can be written by everybody") as caught:
        make_trusted(cache)

    assert f"chmod o-w {tmp_path}{place})" in str(caught.value)
    assert caught.value.path == cache
    assert caught.value.errno is None


def test_group_that_this_process_is_not_in_may_not_write(tmp_path: Path) -> None:
    need_root()
    os.chown(tmp_path, 0, STRANGER)
    tmp_path.chmod(0o770)
    with pytest.raises(CacheError, match=f"can be written by group {STRANGER}"):
        make_trusted(f"{tmp_path}/cache")


def test_nothing_on_the_way_may_belong_to_another_user(tmp_path: Path) -> None:
    """Not a link in a directory for all either, which its owner can exchange."""
    need_root()
    (tmp_path / "real/cache").mkdir(parents=True)
    tmp_path.chmod(0o1777)
    (tmp_path / "link").symlink_to("real")
    assert is_trusted(f"{tmp_path}/link/cache")

    os.chown(tmp_path / "link", STRANGER, STRANGER, follow_symlinks=False)
    with pytest.raises(CacheError, match=f"{tmp_path}/link belongs to user {STRANGER}"):
        is_trusted(f"{tmp_path}/link/cache")
    assert is_trusted(f"{tmp_path}/real/cache")

    os.chown(tmp_path / "real", STRANGER, STRANGER)
    with pytest.raises(CacheError, match=f"{tmp_path}/real belongs to user {STRANGER}"):
        make_trusted(f"{tmp_path}/real/none")


def test_what_a_link_leads_to_counts(tmp_path: Path) -> None:
    (tmp_path / "open/cache").mkdir(parents=True)
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to(f"{tmp_path}/open/../open/cache")

    with pytest.raises(CacheError, match=f"{tmp_path}/open can be written by everyb"):
        is_trusted(f"{tmp_path}/link")


def test_directory_for_all_where_each_keeps_what_is_theirs(tmp_path: Path) -> None:
    """Such as /tmp: a cache may lie in it, and not be it."""
    tmp_path.chmod(0o1777)

    assert make_trusted(f"{tmp_path}/cache")
    assert not make_trusted(f"{tmp_path}/cache")
    with pytest.raises(CacheError, match="can be written by everybody"):
        is_trusted(str(tmp_path))


def test_link_that_leads_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(CacheError, match="cannot use the node cache"):
        is_trusted(f"{tmp_path}/link/cache")


def test_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CacheError, match="is not a directory"):
        make_trusted(str(tmp_path / "file"))
    with pytest.raises(CacheError, match="cannot use the node cache"):
        make_trusted(str(tmp_path / "file/below"))
