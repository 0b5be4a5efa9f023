"""A store is verified with its large files, and mended from a machine that has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lazyimport.delivery.verify import VerifiedStore, verify_store
from lazyimport.stores import open_store
from tests.support.large import LOOSE, LargeSite, damage


@pytest.fixture
def site(tmp_path: Path) -> LargeSite:
    return LargeSite(tmp_path)


def verify(site: LargeSite, *, repair: bool = False) -> VerifiedStore:
    return verify_store(open_store(site.url), site.author, repair=repair)


def test_all_is_read(site: LargeSite) -> None:
    pushed = site.push()

    found = verify(site)

    assert not found.faults
    assert found.size >= pushed.size + len(site.dense)


def test_damaged_and_missing_ones_are_mended(site: LargeSite) -> None:
    hash = site.push().hash
    dense, loose = site.object(hash), site.object(hash, LOOSE)
    dense.chmod(0o644)
    dense.write_bytes(site.dense[::-1])
    loose.unlink()
    note = next((site.base / "store/needs").iterdir())
    note.unlink()

    found = {fault.key: fault for fault in verify(site).faults}

    assert found.keys() == {
        f"blobs/{dense.name}",
        f"blobs/{loose.name}",
        f"needs/{hash}",
    }
    assert found[f"blobs/{dense.name}"].needed_by == [f"archive {hash}"]
    assert "missing" in found[f"blobs/{loose.name}"].why

    assert not verify(site, repair=True).left
    assert not verify(site).faults
    assert dense.read_bytes() == site.dense
    assert note.exists()


def test_what_no_machine_has_is_left(site: LargeSite) -> None:
    hash = site.push().hash
    site.object(hash).unlink()

    found = verify_store(open_store(site.url), site.node, repair=True)

    assert [fault.mended for fault in found.faults] == [False]


def test_what_is_damaged_here_too_is_left_as_it_is(site: LargeSite) -> None:
    hash = site.push().hash
    stored = site.object(hash)
    stored.chmod(0o644)
    stored.write_bytes(site.dense[::-1])
    damage(site, hash)

    found = verify(site, repair=True)

    assert [fault.mended for fault in found.faults] == [False]
    assert stored.read_bytes() == site.dense[::-1]
