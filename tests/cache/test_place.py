"""Place: a process that became another user still finds the files of its archive."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import lazyimport

# what a user who may not read the home of root cannot import any more
import lazyimport.cache.materialize
from lazyimport.cache.place import place_for_user
from lazyimport.delivery.blobs_in import fetch_blob
from lazyimport.reporting import SILENT
from tests.support.compare_importers import pack_tree, write_tree
from tests.support.disks import NOBODY, as_nobody, need_root
from tests.support.large import DENSE, LOOSE, LargeSite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

TREE = {
    "served/__init__.py": "",
    "served/early.py": (
        "from pathlib import Path\n"
        "def read(name):\n"
        "    return (Path(__file__).parent / name).read_text()\n"
        "first = read('page.txt')\n"
    ),
    "served/late.py": (
        "import os\n"
        "with open(os.path.dirname(__file__) + '/late.txt') as file:\n"
        "    text = file.read()\n"
    ),
    "served/page.txt": "page",
    "served/late.txt": "late",
    "top.txt": "top",
}


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files, and all above it, that other users may enter."""
    need_root()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o1777)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_files_are_found_by_their_old_names(temporary: Path, cache: Path) -> None:
    """Those that were on disk before, and those that were not, by Python and C."""
    hash = pack_tree(write_tree(TREE, temporary / "src"), cache)
    with lazyimport.install(hash, cache_dir=str(cache)) as installed:
        early = __import__("served.early").early
        folder = f"{installed.root}/served"
        assert early.first == "page"

        with as_nobody():
            assert early.read("page.txt") == "page"
            assert __import__("served.late").late.text == "late"
            assert sys.modules["served.late"].__file__ == f"{folder}/late.py"
            assert "late.txt" in os.listdir(folder)
            assert b"late.txt" in os.listdir(os.fsencode(folder))
            assert [item.name for item in Path(folder).glob("p*")] == ["page.txt"]
            assert os.stat(path=f"{installed.root}/top.txt").st_size == 3
            said = subprocess.run(
                ["/bin/cat", "page.txt", f"{folder}/late.txt"],
                cwd=folder,
                capture_output=True,
                check=True,
            )
            assert said.stdout == b"pagelate"
            with pytest.raises(FileNotFoundError):
                early.read("none.txt")
        assert early.read("page.txt") == "page"
        assert os.listdir(folder)
    owner = (temporary / f"lazyimport-{NOBODY}" / "trees" / hash).stat().st_uid
    assert owner == NOBODY
    for name in [name for name in sys.modules if name.startswith("served")]:
        del sys.modules[name]


def test_large_files_come_to_the_new_user(temporary: Path) -> None:
    """Who may not read those that root has fetched."""
    site = LargeSite(temporary)
    site.url = "memory://place"  # which this process, a test's, reaches by itself
    hash = site.push().hash
    fetch_blob(site.settings(hash), hash, site.blob(hash), SILENT)
    cache = site.node.path
    installed = lazyimport.install(hash, store=site.url, cache_dir=cache)
    with installed, as_nobody():
        assert __import__("shop").x == 1
        for name, content in ((DENSE, site.dense), (LOOSE, site.loose)):
            assert Path(installed.root, name).read_bytes() == content
    del sys.modules["shop"]
    blobs = list((temporary / f"lazyimport-{NOBODY}" / "blobs").glob("*/*"))
    assert {blob.stat().st_uid for blob in blobs} == {NOBODY}
    assert len(blobs) == 2


def test_it_stays_where_the_new_user_may_write(temporary: Path) -> None:
    root = temporary / "cache" / "trees" / ("0" * 64)
    with as_nobody():
        root.mkdir(parents=True, mode=0o755)
        assert place_for_user(str(root), None) == str(root)


def test_it_is_no_place_that_somebody_else_made(temporary: Path, cache: Path) -> None:
    """Then there is none, and code that looks is told so."""
    (temporary / f"lazyimport-{NOBODY}").mkdir(mode=0o777)
    os.chown(temporary / f"lazyimport-{NOBODY}", 12345, 12345)
    root = str(cache / "trees" / ("0" * 64))
    os.makedirs(root, mode=0o700)
    cache.chmod(0o700)
    with as_nobody():
        assert place_for_user(root, None) == root
