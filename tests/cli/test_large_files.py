"""What commands say of large files, which lie beside the archives that need them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.disks import mounted
from tests.support.large import DENSE, LOOSE, LargeSite


@pytest.fixture
def site(tmp_path: Path) -> LargeSite:
    return LargeSite(tmp_path)


def run(site: LargeSite, *arguments: str, code: int = 0) -> str:
    """Return what a command prints on both streams."""
    done = subprocess.run(
        [sys.executable, "-m", "lazyimport", *arguments],
        env={**site.environ(""), "LAZYIMPORT_HASH": "", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def large(site: LargeSite, hash: str, *, code: int = 0) -> str:
    """Return what the doctor finds about large files."""
    found = json.loads(run(site, "doctor", hash, "--json", code=code))
    return str(next(each["found"] for each in found if "archive" in each["tried"]))


def test_doctor_looks_for_them(site: LargeSite) -> None:
    hash = site.push().hash
    assert large(site, hash)[-29:] == "2 large files, 0 of them here"
    run(site, "materialize", hash)
    assert large(site, hash)[-29:] == "2 large files, 2 of them here"

    run(site, "cache", "clear")
    site.object(hash, LOOSE).unlink()
    assert f"{LOOSE} of archive {hash}" in large(site, hash, code=1)


def test_doctor_says_that_they_have_no_room(site: LargeSite) -> None:
    hash = site.push().hash
    with mounted(site.base / "node", "size=12m", "mode=0700"):
        size = len(site.dense) + len(site.loose)
        found = large(site, hash, code=1)
    assert re.search(rf"^{size} bytes .* has 12\d+ bytes free; make room", found)


def test_diff_tells_what_comes_on_demand_now(site: LargeSite) -> None:
    before = site.push().hash
    config = site.tree / "pyproject.toml"
    config.write_text(f"{config.read_text()}on_demand = [{DENSE!r}]\n")
    after = site.push().hash

    assert f"on demand now {len(site.dense):,}" in " ".join(
        run(site, "diff", before, after).split()
    )
    assert "1 no longer on demand" in run(site, "diff", after, before)


def test_sizes_are_told(site: LargeSite) -> None:
    hash = site.push().hash
    stored = sum(p.stat().st_size for p in (site.base / "store/blobs").iterdir())
    expected = f"2 large files ({stored / 1e6:.0f} MB)"

    assert f", and {expected}" in run(site, "ls")
    assert f"{expected} would stay" in run(site, "gc")
    run(site, "materialize", hash)
    assert "and 2 large files (17 MB)" in run(site, "cache", "ls")


def test_what_a_killed_packing_left_goes_with_the_next(site: LargeSite) -> None:
    folder = Path(site.author.make_folder("blobs"))
    left = folder / ".new.0a1b2c3d.tmp"
    left.write_bytes(bytes(1000))
    mine = folder / ".other.0a1b2c3d.tmp"
    mine.write_bytes(b"")

    site.pack()

    assert not left.exists()
    assert mine.exists()
