"""Files of a tree: no version changes another's, and what was removed is mended."""

from __future__ import annotations

import os
import posix
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from lazyimport.cache import blobs, putting
from lazyimport.cache.evict import prune
from lazyimport.cache.layout import SHARED
from lazyimport.cache.materialize import Materializer
from lazyimport.cache.node import NodeCache
from lazyimport.cache.verify import verify
from lazyimport.importing.tree import Tree
from tests.support.compare_importers import pack_tree, write_tree
from tests.support.node_cache import DAY, materialize, put_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.format.archive import Archive
    from lazyimport.format.entries import Entry

LARGE = os.urandom(SHARED)
FILES: dict[str, str | bytes] = {
    "pkg/small.bin": b"small",
    "pkg/deep/large.bin": LARGE,
    "pkg/deep/x.txt": "x",
}


def put(cache: NodeCache, version: str) -> str:
    return put_archive(cache, used=DAY, **{**FILES, "pkg/version": version})


def test_no_version_changes_the_files_of_another(cache: NodeCache) -> None:
    """As root, whom no mode stops. What is large is shared until it is changed."""
    first, second = put(cache, "1"), put(cache, "2")
    root, other = Path(materialize(cache, first)), Path(materialize(cache, second))
    for path in ("pkg/small.bin", "pkg/deep/large.bin"):
        (other / path).chmod(0o644)
        with (other / path).open("r+b") as file:
            file.write(b"EVIL")

    materialize(cache, first)

    assert (root / "pkg/small.bin").read_bytes() == b"small"
    assert (root / "pkg/deep/large.bin").read_bytes() == LARGE
    third = Path(materialize(cache, put(cache, "3")))
    assert (third / "pkg/deep/large.bin").read_bytes() == LARGE


def test_whatever_the_umask_is(tmp_path: Path) -> None:
    """It may be strict for a moment, and the files stay."""
    tree = write_tree({"pkg/deep/tool.sh": "#!/bin/sh\n"}, tmp_path / "tree")
    (tree / "pkg/deep/tool.sh").chmod(0o755)
    cache = tmp_path / "cache"
    name = pack_tree(tree, cache)
    before = os.umask(0o177)
    try:
        root = Path(materialize(NodeCache(str(cache)), name))
    finally:
        os.umask(before)

    modes = [oct(path.stat().st_mode & 0o777) for path in sorted(root.rglob("*"))]

    assert modes == ["0o700", "0o700", "0o555"]


def test_a_directory_takes_one_call_where_the_umask_lets_its_owner_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package may have thousands."""
    tree = write_tree({f"pkg/d{n}/x.txt": "x" for n in range(9)}, tmp_path / "tree")
    cache = tmp_path / "cache"
    name = pack_tree(tree, cache)
    called: list[object] = []
    monkeypatch.setattr(posix, "chmod", lambda *all, **_: called.append(all))

    root = Path(materialize(NodeCache(str(cache)), name))

    assert {0o700} == {path.stat().st_mode & 0o777 for path in root.glob("pkg/d*")}
    assert called == []


@pytest.mark.parametrize("path", ["pkg/deep/x.txt", "pkg/deep/large.bin"])
def test_who_lists_a_directory_sees_no_unfinished_file(
    cache: NodeCache, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Nor does it matter if eviction finds that one, and takes it for abandoned."""
    name = put(cache, "1")
    archive = cache.open(name)
    assert archive is not None
    entry = archive.index.entry(path)
    assert entry is not None
    files = Materializer(archive, cache.tree_path(name))
    files.put_directory("pkg/deep")
    seen = []
    replace = posix.replace

    def list_and_replace(old: str, new: str) -> None:
        if new.startswith(files.root):
            seen.append(os.listdir(f"{files.root}/pkg/deep"))
            if len(seen) == 1:
                prune(cache)
        replace(old, new)

    monkeypatch.setattr(posix, "replace", list_and_replace)

    files.put_file(entry)

    assert seen == [[], []]
    assert os.listdir(f"{files.root}/pkg/deep") == [os.path.basename(path)]


def test_large_files_take_no_room_twice(cache: NodeCache) -> None:
    materialize(cache, put(cache, "1"))
    root = Path(materialize(cache, put(cache, "2")))
    (blob,) = Path(cache.path, "blobs").rglob("*/*")
    large = root / "pkg/deep/large.bin"

    # a clone is a file of its own, which takes no room either
    assert large.stat().st_nlink in {1, 3}
    assert blob.read_bytes() == large.read_bytes()


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("how", ["start", "verify"])
def test_removed_file_is_mended(cache: NodeCache, path: str, how: str) -> None:
    name = put(cache, "1")
    root = Path(materialize(cache, name))
    sound = (root / path).read_bytes()
    (root / path).unlink()

    if how == "start":
        materialize(cache, name)
    else:
        (damage,) = verify(cache, remove=False).damages
        assert damage.path == str(root / path)
        assert not (root / path).exists()
        verify(cache, remove=True)
    assert (root / path).read_bytes() == sound
    assert verify(cache, remove=False).damages == []


def test_a_tree_that_is_removed_below_a_process_comes_again(cache: NodeCache) -> None:
    """Such as by somebody who empties the node cache."""
    archive = cache.open(put(cache, "1"))
    assert archive is not None
    large = archive.index.entry("pkg/deep/large.bin")
    assert large is not None
    root = cache.tree_path(archive.hash)
    files = Materializer(archive, root)
    files.put_package("pkg")
    for again in (
        partial(files.put_package, "pkg"),
        partial(files.put_file, large),
        partial(files.put_directory, "pkg/deep"),
    ):
        shutil.rmtree(Path(root).parent, ignore_errors=True)
        again()
        assert Path(root, "pkg/deep").is_dir()


def put_wide(cache: NodeCache, base: Path, **files: str | bytes) -> str:
    """Put a package on disk that is more than a glance takes in; return its root."""
    folders = {f"pkg/deep/{number:03}/x.txt": "x" for number in range(100)}
    tree = {"pkg/__init__.py": "", "pkg/large.bin": LARGE, **folders, **files}
    return materialize(cache, pack_tree(write_tree(tree, base), Path(cache.path)))


def begin(cache: NodeCache, root: str) -> Tree:
    """Do what a new process does before the first module of the package runs."""
    archive = cache.open(os.path.basename(root))
    assert archive is not None
    held: dict[str, int] = {}
    seen: dict[str, int] = {}
    tree = Tree(archive, root, lambda: Materializer(archive, root, held, seen))
    tree.prepare("pkg/__init__.py")
    return tree


@pytest.mark.parametrize("path", ["__init__.py", "large.bin", "deep"])
def test_an_import_mends_what_lies_near_the_top(
    cache: NodeCache, tmp_path: Path, path: str
) -> None:
    root = put_wide(cache, tmp_path / "tree")
    Path(root, "pkg", path).rename(tmp_path / "removed")

    begin(cache, root)

    assert Path(root, "pkg", path).exists()
    assert Path(root, "pkg/deep/099/x.txt").exists()


@pytest.mark.parametrize("native", [False, True])
def test_an_import_looks_into_the_depths_of_a_package_with_native_code(
    cache: NodeCache, tmp_path: Path, native: bool
) -> None:
    """Of one without, only when somebody looks at it."""
    library = {"pkg/deep/library.so": "no library"} if native else {}
    root = put_wide(cache, tmp_path / "tree", **library)
    removed = Path(root, "pkg/deep/099/x.txt")
    removed.unlink()

    tree = begin(cache, root)

    assert removed.exists() == native
    tree.put_package("pkg")
    assert removed.exists()


@pytest.mark.parametrize("look", ["file", "package"])
def test_what_a_process_changes_stays_so(
    cache: NodeCache, tmp_path: Path, look: str
) -> None:
    """Also when somebody looks at it later; the next process mends."""
    root = put_wide(cache, tmp_path / "tree")
    tree = begin(cache, root)
    large = Path(root, "pkg/large.bin")
    large.chmod(0o644)
    with large.open("r+b") as file:
        file.write(b"own")

    entry = tree.entry("pkg/large.bin")
    assert entry is not None
    tree.put(entry) if look == "file" else tree.put_package("pkg")

    assert large.read_bytes() != LARGE
    begin(cache, root)
    assert large.read_bytes() == LARGE


def test_many_processes_at_once_write_a_package_once(cache: NodeCache) -> None:
    program = (
        "import sys\n"
        "from lazyimport.cache import putting as module\n"
        "from lazyimport.cache.materialize import Materializer\n"
        "from lazyimport.cache.node import NodeCache\n"
        "real, wrote = module.write_file, []\n"
        "module.write_file = lambda *all: (wrote.append(1), real(*all))\n"
        "cache, name = NodeCache(sys.argv[1]), sys.argv[2]\n"
        "Materializer(cache.open(name), cache.tree_path(name)).put_all()\n"
        "print(len(wrote))"
    )
    command = [sys.executable, "-c", program, cache.path, put(cache, "1")]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)
    ]
    wrote = sorted(int(process.communicate()[0]) for process in started)

    assert wrote == [0, 0, 0, 0, 0, len(FILES) + 2]


def test_files_are_put_in_the_order_in_which_they_come(
    cache: NodeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a package is nearly on disk when the last of it has come."""
    files = {f"pkg/{name}/{n}.txt": f"{name}{n}" for name in "cab" for n in range(9)}
    hash = put_archive(cache, used=DAY, **files, **{"pkg/__init__.py": "", "x.txt": ""})
    archive = cache.open(hash)
    assert archive is not None
    put: list[int] = []
    write = blobs.write_file

    def noting(archive: Archive, entry: Entry, path: str, folder: int) -> None:
        put.append(archive.stored(entry.slot)[0])
        write(archive, entry, path, folder)

    wanted: list[int] = []
    monkeypatch.setattr(putting, "write_file", noting)
    monkeypatch.setattr(type(archive), "want", lambda _, slots: wanted.extend(slots))
    Materializer(archive, cache.tree_path(hash)).put_package("pkg")
    assert put == sorted(put)
    assert put == [archive.stored(slot)[0] for slot in wanted]
    root = Path(cache.tree_path(hash))
    found = {
        str(path.relative_to(root)): path.read_text() for path in root.rglob("*.txt")
    }
    assert found == files


def test_much_of_an_archive_and_little_of_it_are_put_alike(cache: NodeCache) -> None:
    much = {f"much/d{n % 7}/{n}.txt": f"{n}" for n in range(300)}
    little = {f"little/d{n}/{n}.txt": f"{n}" for n in range(3)}
    hash = put_archive(cache, used=DAY, **much, **little, **{"muchmore/x.txt": "x"})
    root = Path(cache.tree_path(hash))
    for top, files in ("much", much), ("little", little):
        archive = cache.open(hash)
        assert archive is not None
        Materializer(archive, str(root)).put_package(top)
        found = {
            str(path.relative_to(root)): path.read_text()
            for path in (root / top).rglob("*")
            if path.is_file()
        }
        assert found == files
    assert not (root / "muchmore").exists()
