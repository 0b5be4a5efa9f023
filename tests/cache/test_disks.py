"""Which file system a path lies on, and whether other machines may have it too."""

from __future__ import annotations

import pytest

from lazyimport.cache import disks
from lazyimport.cache.disks import is_local, kind_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(not kind_of("/proc"), reason="the system does not say")
def test_file_systems_that_are_not_known_to_be_local() -> None:
    assert kind_of("/proc/self") == "proc"
    assert not is_local("/proc")
    assert not is_local("/sys")


def test_mounts_with_odd_names_and_over_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_bytes(
        b"1 0 8:1 / / rw - ext4 /dev/a rw\n"
        b"2 1 0:1 / /a\\040b\xff rw shared:1 - nfs4 server:/x rw\n"
        b"3 1 0:2 / /a rw - xfs /dev/b rw\n"
        b"4 1 0:3 / /a rw - tmpfs none rw\n"
    )
    monkeypatch.setattr(disks, "_MOUNTS", str(mounts))

    kinds = [kind_of(path) for path in ("/ab", "/a/b", "/a b\udcff/c", "/a b")]

    assert kinds == ["ext4", "tmpfs", "nfs4", "ext4"]
    mounts.unlink()
    assert (kind_of("/a"), is_local("/a")) == ("", False)
