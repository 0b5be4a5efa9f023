"""Large files that stay in the store until somebody needs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lazyimport.delivery.blobs_wanted import obtain_ahead
from lazyimport.errors import ArchiveReadError
from lazyimport.reporting import SILENT
from tests.support.large import DENSE, LOOSE, LargeSite

START = """
import glob, os, sys, lazyimport, shop
folder = os.path.dirname(shop.__file__) + "/weights"
dense = f"{folder}/dense.bin"
def here():
    return len(glob.glob(f"{sys.argv[1]}/blobs/*/*"))
"""


@pytest.fixture
def site(tmp_path: Path) -> LargeSite:
    return LargeSite(tmp_path, on_demand="shop/weights/**")


def run(site: LargeSite, hash: str, program: str, **changes: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", START + program, site.node.path],
        env=site.environ(hash, **changes),
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_stay_in_the_store_until_somebody_looks(site: LargeSite) -> None:
    hash = site.push().hash

    printed = run(
        site,
        hash,
        """
print(sorted(os.listdir(folder)), here())
print(len(open(dense, "rb").read()), os.path.islink(dense), here())
""",
    )

    assert printed.splitlines() == [
        "['dense.bin', 'loose.bin'] 0",
        f"{len(site.dense)} False 1",
    ]
    assert not site.here(hash, LOOSE).exists()


@pytest.mark.parametrize("mode", ["raw", "memory"])
def test_path_of_a_file(site: LargeSite, mode: str) -> None:
    hash = site.push().hash

    printed = run(
        site,
        hash,
        f"""
path = lazyimport.path({LOOSE!r})
print(path == f"{{folder}}/loose.bin", os.stat(path).st_size, os.path.islink(path))
print(lazyimport.path("shop/weights") == folder, os.path.islink(dense))
""",
        cache_mode=mode,
    )

    assert printed.split() == ["True", str(len(site.loose)), "False", "True", "False"]


def test_path_that_is_not_there(site: LargeSite) -> None:
    hash = site.push().hash

    printed = run(
        site,
        hash,
        """
for name in ("shop/none.bin", "/etc/passwd", "shop/weights/dense.bin/x"):
    try:
        lazyimport.path(name)
    except FileNotFoundError as error:
        print(error.filename, error.strerror)
""",
    )

    assert printed.splitlines() == [
        f"{name} archive {hash} has no such file"
        for name in ("shop/none.bin", "/etc/passwd", "shop/weights/dense.bin/x")
    ]


def test_path_without_an_archive(site: LargeSite) -> None:
    program = f"import lazyimport; print(lazyimport.path({DENSE!r}))"
    environ = {**os.environ, "PYTHONPATH": str(site.tree)}

    command = [sys.executable, "-c", program]
    found = subprocess.run(
        command, env=environ, capture_output=True, text=True, check=False
    )
    lost = subprocess.run(command, capture_output=True, text=True, check=False)

    assert found.stdout.strip() == str(site.tree / DENSE)
    assert "FileNotFoundError" in lost.stderr


#: what a program may ask of a folder with such files
PROGRAMS = {
    "entries": """
with os.scandir(folder) as found:
    for entry in sorted(found, key=lambda entry: entry.name):
        print(entry.is_file(), entry.is_dir(), entry.is_symlink(), os.fspath(entry))
        print(isinstance(entry, os.DirEntry), entry.stat().st_size, entry)
""",
    "copytree": """
import shutil
shutil.copytree(os.path.dirname(folder), "copy")
print(os.path.getsize("copy/weights/dense.bin"), os.path.islink("copy/weights/dense.bin"))
""",
    "realpath": """
print(os.path.realpath(dense), os.path.realpath(dense.encode()))
os.chdir(folder)
print(os.path.realpath("loose.bin"))
""",
    "URI": """
import sqlite3
try:
    sqlite3.connect(f"file:{dense}?mode=ro", uri=True).execute("select * from a")
except sqlite3.DatabaseError as error:
    print(error)
""",
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_no_difference(
    site: LargeSite, program: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    hash = site.push().hash

    def outcome(folder: str | Path, environ: dict[str, str]) -> str:
        command = [sys.executable, "-c", START + program, site.node.path]
        done = subprocess.run(
            command,
            env=environ,
            cwd=tmp_path_factory.mktemp("work"),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.replace(str(folder), "ROOT")

    directory = outcome(site.tree, {**os.environ, "PYTHONPATH": str(site.tree)})
    tree = f"{site.node.path}/trees/{hash}"
    assert outcome(tree, site.environ(hash)) == directory


def test_walk_fetches_nothing(site: LargeSite) -> None:
    hash = site.push().hash

    printed = run(
        site,
        hash,
        """
print([name for _, _, names in os.walk(folder) for name in sorted(names)])
print(sorted(entry.name for entry in os.scandir(folder) if entry.is_file()), here())
os.path.realpath(dense)
print(here())
""",
    )

    names = "['dense.bin', 'loose.bin']"
    assert printed.splitlines() == [names, f"{names} 0", "0"]


def test_offline_it_names_file_hash_and_store(site: LargeSite) -> None:
    hash = site.push().hash
    run(site, hash, "")
    os.rename(site.base / "store", site.base / "away")

    printed = run(
        site,
        hash,
        f"""
from lazyimport.errors import ArchiveReadError
for call in (open, os.stat, lazyimport.path):
    try:
        call(dense)
    except ArchiveReadError as error:
        print(all(text in str(error) for text in ({DENSE!r}, {hash!r}, {site.url!r})))
""",
    )

    assert printed.split() == ["True"] * 3
    assert issubclass(ArchiveReadError, OSError)


def test_prefetch_leaves_them(site: LargeSite) -> None:
    hash = site.push().hash
    obtain_ahead(site.settings(hash), SILENT)
    assert not site.here(hash).exists()

    (site.tree / "pyproject.toml").write_text("")
    other = site.push()
    assert (other.hash != hash, other.large) == (True, 0)
    obtain_ahead(site.settings(other.hash), SILENT)
    assert site.here(other.hash).exists()
