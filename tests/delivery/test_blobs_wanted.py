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
for call in (open, lazyimport.path):
    try:
        call(dense)
    except ArchiveReadError as error:
        print(all(text in str(error) for text in ({DENSE!r}, {hash!r}, {site.url!r})))
""",
    )

    assert printed.split() == ["True"] * 2
    assert issubclass(ArchiveReadError, OSError)


#: what is known of a file without its bytes
KNOWN = """
import stat
from pathlib import Path
from importlib import resources
path, weights = Path(dense), Path(folder)
inside = resources.files("shop").joinpath("weights/dense.bin")
for known in (
    os.path.exists(dense), os.path.lexists(dense), os.path.isfile(dense),
    os.path.isdir(dense), os.path.islink(dense), os.path.getsize(dense),
    os.path.getsize(os.fsencode(dense)), os.path.samefile(dense, dense),
    stat.filemode(os.stat(dense).st_mode), stat.filemode(os.lstat(dense).st_mode),
    path.exists(), path.is_file(), path.is_symlink(), path.stat().st_size,
    path.lstat().st_size, sorted(os.listdir(folder)),
    [os.access(dense, mode) for mode in (os.F_OK, os.R_OK, os.X_OK)],
    sorted(glob.glob(f"{folder}/*.bin")), glob.glob(dense),
    sorted(map(str, weights.iterdir())), sorted(map(str, weights.glob("*.bin"))),
    sorted(map(str, weights.rglob("dense*"))), sorted(next(os.walk(folder))[2]),
    sorted((e.name, e.is_file(), e.stat().st_size) for e in os.scandir(folder)),
    inside.is_file(), os.path.realpath(dense), path.resolve(strict=True) == path,
    os.path.exists(f"{folder}/../weights/dense.bin"), os.path.exists(f"{dense}/x"),
):
    print(known)
os.chdir(folder)
print(os.path.getsize("dense.bin"), os.path.exists("loose.bin"), os.path.exists("no"))
"""


@pytest.mark.parametrize("mode", ["raw", "memory"])
def test_what_is_known_of_them_needs_no_store(site: LargeSite, mode: str) -> None:
    """It is as in a directory, and nothing is transferred."""
    hash = site.push().hash
    if mode == "raw":
        run(site, hash, "")
        os.rename(site.base / "store", site.base / "away")

    printed = run(site, hash, KNOWN, cache_mode=mode)

    environ = {**os.environ, "PYTHONPATH": str(site.tree)}
    command = [sys.executable, "-c", START + KNOWN, site.node.path]
    expected = subprocess.check_output(command, env=environ, text=True)
    tree = f"{site.node.path}/trees/{hash}"
    modes = expected.replace("-rw-r--r--", "-r--r--r--")
    assert printed == modes.replace(str(site.tree), tree)
    assert not site.here(hash).exists()


#: what needs the bytes
NEEDED = {
    "open": "print(len(open(dense, 'rb').read()))",
    "os.open": "print(len(os.read(os.open(dense, os.O_RDONLY), 100)))",
    "mmap": """
import mmap
print(len(mmap.mmap(os.open(dense, os.O_RDONLY), 0, prot=mmap.PROT_READ)))
""",
    "ctypes": """
import ctypes
try:
    ctypes.CDLL(dense)
except OSError as error:
    print("No such file" in str(error))
""",
    "child": """
import subprocess
subprocess.run(["cksum", dense], check=True)
""",
    "size, then bytes": """
size = os.stat(dense).st_size
data = open(dense, "rb").read()
print(size == len(data) == os.stat(dense).st_size == os.lstat(dense).st_size)
""",
}


@pytest.mark.parametrize("program", NEEDED.values(), ids=NEEDED)
def test_what_needs_their_bytes_brings_them(site: LargeSite, program: str) -> None:
    hash = site.push().hash

    printed = run(site, hash, program)

    environ = {**os.environ, "PYTHONPATH": str(site.tree)}
    command = [sys.executable, "-c", START + program, site.node.path]
    expected = subprocess.check_output(command, env=environ, text=True)
    tree = f"{site.node.path}/trees/{hash}"
    assert printed == expected.replace(str(site.tree), tree)
    assert site.here(hash).exists()


def test_one_that_another_version_brought_is_here(site: LargeSite) -> None:
    """Nothing is moved for the second, and its status is that of the file."""
    hash = site.push().hash
    run(site, hash, "open(dense).close()")
    (site.tree / "shop/__init__.py").write_text("x = 2\n")
    other = site.push().hash
    run(site, other, "")
    os.rename(site.base / "store", site.base / "away")

    printed = run(site, other, "print(os.stat(dense).st_nlink > 1, os.stat(dense))")

    status = os.stat(site.here(other))
    assert printed.startswith("True")
    assert f"st_ino={status.st_ino}," in printed


def test_materialize_brings_all(site: LargeSite) -> None:
    hash = site.push().hash
    command = [sys.executable, "-m", "lazyimport", "materialize", hash]

    folder = subprocess.check_output(command, env=site.environ(hash), text=True)

    for path, data in ((DENSE, site.dense), (LOOSE, site.loose)):
        file = Path(folder.strip(), path)
        assert not file.is_symlink()
        assert file.read_bytes() == data


def test_prefetch_leaves_them(site: LargeSite) -> None:
    hash = site.push().hash
    obtain_ahead(site.settings(hash), SILENT)
    assert not site.here(hash).exists()

    (site.tree / "pyproject.toml").write_text("")
    other = site.push()
    assert (other.hash != hash, other.large) == (True, 0)
    obtain_ahead(site.settings(other.hash), SILENT)
    assert site.here(other.hash).exists()
