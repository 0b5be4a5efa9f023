"""A store is verified with its large files, and mended from a machine that has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from lazyimport.delivery.verify import VerifiedStore, verify_store
from lazyimport.errors import StoreError
from lazyimport.stores import open_store
from lazyimport.stores.file import FileStore
from tests.support.disks import LIMITED, need_root
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


def test_note_that_cannot_be_read_stays(site: LargeSite) -> None:
    """A store that fails does not say that what it has is damaged."""
    site.push()
    note = next((site.base / "store/needs").iterdir())

    class Failing(FileStore):
        def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
            if key.startswith("needs/"):
                raise StoreError(f"{self.url}: cannot read", url=self.url, key=key)
            return super().read(key, start, end)

        def put(self, key: str, data: BinaryIO) -> bool:
            assert not key.startswith("needs/") or note.exists()
            return super().put(key, data)

    store = Failing(f"{site.base}/store")
    found = verify_store(store, site.author, repair=True)

    assert f"needs/{note.name}" in {fault.key for fault in found.left}


def test_damaged_note_is_written_again(site: LargeSite) -> None:
    site.push()
    note = next((site.base / "store/needs").iterdir())
    before = note.read_bytes()
    note.chmod(0o644)
    note.write_bytes(before[:-7])

    assert not verify(site, repair=True).left
    assert note.read_bytes() == before


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


def test_what_may_not_be_read_ends_nothing(site: LargeSite) -> None:
    """All else is read, and each fault is told."""
    need_root()
    hash = site.push().hash
    dense, loose = site.object(hash), site.object(hash, LOOSE)
    dense.chmod(0)
    loose.chmod(0o644)
    loose.write_bytes(b"damaged")
    faults = faults_found(site, "--repair")
    assert faults.keys() == {f"blobs/{dense.name}", f"blobs/{loose.name}"}
    assert "Permission denied" in faults[f"blobs/{dense.name}"]["why"]
    mended = {key: fault["mended"] for key, fault in faults.items()}
    assert mended == {f"blobs/{dense.name}": False, f"blobs/{loose.name}": True}


def faults_found(site: LargeSite, *words: str) -> dict[str, dict[str, Any]]:
    """Return what ``verify`` finds for a user who may not read everything, by key."""
    command = ["-m", "lazyimport", "verify", "--store", site.url, "--json", *words]
    done = subprocess.run(
        [*LIMITED, sys.executable, *command],
        env={**os.environ, "LAZYIMPORT_CACHE_DIR": site.author.path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    return {fault["key"]: fault for fault in json.loads(done.stdout)["faults"]}


def test_archive_that_may_not_be_read_ends_nothing(site: LargeSite) -> None:
    need_root()
    hash = site.push().hash
    (site.base / "store/archives" / hash).chmod(0)
    (site.base / "store/provenance").mkdir(exist_ok=True)
    record = site.base / f"store/provenance/{hash}.json"
    record.write_text("{}")
    record.chmod(0)
    assert faults_found(site).keys() == {f"archives/{hash}", f"provenance/{hash}.json"}


def test_repairing_notes_what_is_sound(site: LargeSite) -> None:
    hash = site.push().hash
    proofs = site.base / "store/proofs"
    for proof in proofs.iterdir():
        proof.unlink()

    assert not verify(site, repair=True).faults

    names = {blob.name for blob in site.archive(hash).blobs.values()}
    assert {path.name[:64] for path in proofs.iterdir()} == {hash, *names}
