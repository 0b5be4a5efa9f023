"""A damaged page of the index: the process goes on with all that is not in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lazyimport.format.archive import Archive
from lazyimport.format.entries import FILE, stem_of
from tests.support.trees import make_archive

#: The command line is not in the archive; `shop` is, with distribution and modules.
PROGRAM = """
import sys
import lazyimport

lazyimport.install(sys.argv[1], cache_dir=sys.argv[2])

import importlib.machinery
import importlib.metadata
import importlib.util
import pkgutil
import warnings
warnings.simplefilter("ignore")

def told(call, *arguments):
    try:
        answer = call(*arguments)
    except Exception as error:
        assert isinstance(error, ImportError) or call is importlib.metadata.version
        return type(error).__name__
    return "found" if answer else "nothing"

root = next(entry for entry in sys.path if sys.argv[1] in entry)
print(told(importlib.import_module, "outside"))
print(told(importlib.util.find_spec, "nobody_has_it"))
print(told(importlib.metadata.version, "outside-dist"))
print(told(lambda: list(importlib.metadata.distributions())))
print(told(importlib.metadata.entry_points))
print(told(importlib.import_module, sys.argv[3]))
print(told(lambda: list(pkgutil.iter_modules())))
print(told(importlib.machinery.PathFinder.find_spec, "mod", [root + "/shop"]))
"""
FILES = {
    **{f"app/m{number}.py": f"x = {number}\n" for number in range(200)},
    "app/__init__.py": "",
    "shop/__init__.py": "",
    "shop/mod.py": "y = 1\n",
    # more than one page of the distribution alone
    **{f"shop-1.1.dist-info/LICENSE{number}": "" for number in range(1500)},
    "shop-1.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: shop\nVersion: 1.1\n",
    "shop-1.1.dist-info/entry_points.txt": "[x]\na = shop\n",
}


@pytest.fixture(name="outside")
def _outside(tmp_path: Path) -> Path:
    """A folder with an installed distribution and module."""
    folder = tmp_path / "outside"
    (folder / "outside_dist-2.0.dist-info").mkdir(parents=True)
    (folder / "outside.py").write_text("")
    (folder / "outside_dist-2.0.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: outside-dist\nVersion: 2.0\n"
    )
    return folder


def page_after(archive: Archive, *stems: str) -> int:
    """Return the page of the first stem, in which none of the others lies."""
    first, *others = [archive.index.page_of(stem) for stem in stems]
    assert first not in others
    return first


def put_damaged(cache: Path, data: bytes, hash: str, at: int) -> None:
    """Put an archive into a new node cache, of which the byte *at* is damaged."""
    damaged = bytearray(data)
    damaged[at] ^= 1
    place = cache / "archives" / hash
    place.parent.mkdir(parents=True, mode=0o700)
    cache.chmod(0o700)
    place.write_bytes(damaged)


@pytest.mark.parametrize(
    "name", ["shop.mod", "app.m7", "outside", "shop-1.1.dist-info/entry_points.txt"]
)
def test_what_is_in_other_pages_works(tmp_path: Path, outside: Path, name: str) -> None:
    data, hash = make_archive(FILES)
    archive = Archive(data, hash)
    path = name if "/" in name else name.replace(".", "/") + ".py"
    page = page_after(archive, stem_of(path, FILE), "")
    header = archive.header
    _, end = archive.index.page_place(page)
    put_damaged(tmp_path / "cache", data, hash, header.pages_at + end - 2)
    module = name if "/" not in name and name != "outside" else "shop.mod"

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, hash, str(tmp_path / "cache"), module],
        env={"PYTHONPATH": str(outside), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    said = done.stdout.split()
    assert said[:5] == ["found", "nothing", "found", "found", "found"]
    is_damaged = page == archive.index.page_of(module.replace(".", "/"))
    assert said[5] == ("ArchiveImportError" if is_damaged else "found")


@pytest.mark.parametrize(
    ("file", "found"),
    [
        ("METADATA", "['basket'] []"),
        ("entry_points.txt", "['basket', 'shop'] []"),
    ],
)
def test_whoever_wants_all_distributions_gets_the_others(
    tmp_path: Path, file: str, found: str
) -> None:
    """Who wants the damaged file of one that is named gets an error."""
    files = {
        **FILES,
        "basket-1.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: basket\n",
        "basket-1.1.dist-info/entry_points.txt": "[y]\nb = basket\n",
    }
    data, hash = make_archive(files)
    archive = Archive(data, hash)
    read = [
        f"{folder}-1.1.dist-info/{name}"
        for folder in ("shop", "basket")
        for name in ("METADATA", "PKG-INFO", "entry_points.txt")
    ]
    damaged = f"shop-1.1.dist-info/{file}"
    page = page_after(archive, damaged, "", *(each for each in read if each != damaged))
    _, end = archive.index.page_place(page)
    put_damaged(tmp_path / "cache", data, hash, archive.header.pages_at + end - 2)
    program = """
import sys
import lazyimport
lazyimport.install(sys.argv[1], cache_dir=sys.argv[2])
from importlib.metadata import distribution, distributions, entry_points
names = {each.metadata["Name"] for each in distributions()}
print(sorted(names & {"basket", "shop"}), end=" ")
print([each.name for each in entry_points(group="x")], end=" ")
print([each.name for each in entry_points(group="y")], end=" ")
try: print(distribution("shop").read_text(sys.argv[3]))
except Exception as error: print(type(error).__name__)
"""

    done = subprocess.run(
        [sys.executable, "-c", program, hash, str(tmp_path / "cache"), file],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == f"{found} ['b'] DamagedArchive\n", done.stderr
    assert damaged.partition("/")[0] in done.stderr
