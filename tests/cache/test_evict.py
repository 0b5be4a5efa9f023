"""Eviction: the longest unused goes first, what is used never does."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import lazyimport
from lazyimport.cache.artifacts import ArtifactRecord
from lazyimport.cache.evict import EVICTION, clear, prune, shrink
from lazyimport.cache.layout import ARTIFACTS, SHARED, SIGNATURES
from lazyimport.cache.node import NodeCache
from lazyimport.cache.sweeper import Pruned
from lazyimport.cache.usage import usage
from lazyimport.files import AtomicFile, unfinished_path
from tests.support.disks import mounted
from tests.support.node_cache import (
    DAY,
    SIZE,
    all_files,
    hashes_by_use,
    materialize,
    put_archive,
)

#: What can be done, or said.
DOINGS: tuple[Callable[[NodeCache, bool], Pruned], ...] = (
    lambda cache, dry: prune(cache, dry_run=dry),
    lambda cache, dry: prune(cache, limit=3 * SHARED, dry_run=dry),
    lambda cache, dry: prune(cache, older_than=DAY, dry_run=dry),
    lambda cache, dry: clear(cache, dry_run=dry),
    lambda cache, dry: clear(cache, force=True, dry_run=dry),
)
#: Directories become smaller, or larger, with what is in them.
FOLDERS = 300_000


def fill_with_leftovers(cache: NodeCache) -> None:
    """Put what killed processes leave into every folder of *cache*."""
    other = "ab" * 32
    for path in [
        AtomicFile(cache.archive_path(other)).temporary,
        AtomicFile(f"{cache.path}/blobs/ab/{other}").temporary,
        AtomicFile(f"{cache.path}/bytecode/py-00-O0/ab/{other}").temporary,
        f"{unfinished_path(cache.tree_path(other))}/pkg/mod.py",
        f"{cache.staging_path()}/src/mod.py",
        f"{cache.path}/blobs/ab/{other}",
    ]:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(path).write_bytes(b"half")
        os.utime(path, (0, 0))


def contents(cache: NodeCache) -> list[tuple[str, bytes]]:
    return [(name, Path(cache.path, name).read_bytes()) for name in all_files(cache)]


def test_longest_unused_goes_first(cache: NodeCache) -> None:
    old, older, new = (put_archive(cache, used=days * DAY) for days in (3, 4, 1))
    assert hashes_by_use(cache) == [older, old, new]

    pruned = prune(cache, limit=usage(cache) - 1)

    assert hashes_by_use(cache) == [old, new]
    assert [archive.hash for archive in pruned.removed] == [older]
    assert pruned.freed >= SIZE
    assert pruned.left == usage(cache)


@pytest.mark.parametrize("remove", [prune, clear])
def test_a_disk_that_takes_no_more_files(
    tmp_path: Path, remove: Callable[..., Pruned]
) -> None:
    """Nor does it take the file of a lock, and what is there has to go all the same."""
    with mounted(tmp_path / "disk", "nr_inodes=40", "mode=0700") as disk:
        cache = NodeCache(str(disk / "cache"))
        hash = put_archive(cache, used=3 * DAY)
        with cache.lock(hash, 0):
            pass  # it was fetched under it
        for number in range(os.statvfs(disk).f_favail):
            (disk / str(number)).touch()
        options = {"limit": 0} if remove is prune else {}
        assert [archive.hash for archive in remove(cache, **options).removed] == [hash]
        assert hashes_by_use(cache) == []


def test_older_than(cache: NodeCache) -> None:
    put_archive(cache, used=40 * DAY)
    new = put_archive(cache, used=3 * DAY)

    prune(cache, older_than=30 * DAY)

    assert hashes_by_use(cache) == [new]


def test_tree_goes_with_its_archive_and_shared_files_stay(cache: NodeCache) -> None:
    shared = os.urandom(SHARED)
    old = put_archive(cache, used=2 * DAY, **{"pkg/shared.bin": shared})
    new = put_archive(cache, used=DAY, **{"pkg/shared.bin": shared})
    materialize(cache, old)
    root = materialize(cache, new)
    os.utime(cache.archive_path(old), (0, 0))

    pruned = prune(cache, older_than=3 * DAY)

    assert [archive.hash for archive in pruned.removed] == [old]
    assert pruned.freed > 2 * SIZE  # the archive and the file that it alone had
    assert not [name for name in all_files(cache) if old in name]
    assert Path(root, "pkg/shared.bin").read_bytes() == shared
    assert len(list(Path(cache.path, "blobs").rglob("*/*"))) == 1


def test_dry_run_says_what_would_be_done_and_changes_nothing(cache: NodeCache) -> None:
    shared = {"pkg/shared.bin": os.urandom(SHARED)}
    names = [put_archive(cache, used=days * DAY, **shared) for days in (5, 3, 1)]
    for name in names:
        materialize(cache, name)
    fill_with_leftovers(cache)
    archive = cache.open(names[1])
    for second, name in enumerate(names):
        os.utime(cache.archive_path(name), (second, second))

    assert archive is not None
    for do in DOINGS:
        before = contents(cache)
        said = do(cache, True)
        assert before == contents(cache)
        done = do(cache, False)
        for fact in ("removed", "in_use"):
            hashes = [[each.hash for each in getattr(x, fact)] for x in (said, done)]
            assert hashes[0] == hashes[1]
        assert abs(said.freed - done.freed) <= FOLDERS
        assert abs(done.left - usage(cache)) <= FOLDERS
    assert contents(cache) == []


def test_shrink(cache: NodeCache) -> None:
    name = put_archive(cache, used=DAY)
    for limit in ("off", "900TB", None):
        shrink(cache, limit)
    assert hashes_by_use(cache) == [name]

    shrink(cache, "1kB")
    assert hashes_by_use(cache) == []


def test_shrink_never_fails_nor_waits(cache: NodeCache, tmp_path: Path) -> None:
    shrink(NodeCache(str(tmp_path / "none")), "1kB")
    (tmp_path / "file").write_text("")
    shrink(NodeCache(str(tmp_path / "file")), "1kB")

    name = put_archive(cache, used=DAY)
    with cache.lock(EVICTION, 0):
        shrink(cache, "1kB")
    assert hashes_by_use(cache) == [name]


def test_clear(cache: NodeCache) -> None:
    used, unused = put_archive(cache, used=DAY), put_archive(cache, used=DAY)
    materialize(cache, unused)
    archive = cache.open(used)
    assert archive is not None

    cleared = clear(cache)
    assert [archive.hash for archive in cleared.in_use] == [used]
    assert all_files(cache) == [f"archives/{used}"]

    assert [archive.hash for archive in clear(cache, force=True).removed] == [used]
    assert all_files(cache) == []
    entry = archive.index.entry("pkg/data.bin")
    assert entry is not None
    assert len(archive.content(entry)) == SIZE  # a process that has it open goes on


@pytest.mark.skipif(os.getuid() != 0, reason="makes a cache that belongs to root")
def test_whose_cache_it_is_that_another_user_may_not_change() -> None:
    program = (
        "import os, sys\n"
        "sys.path[:0] = eval(sys.argv[2])\n"
        "from lazyimport.cache.evict import clear\n"
        "from lazyimport.cache.node import NodeCache\n"
        "from lazyimport.errors import CacheError\n"
        "os.setuid(12345)\n"
        "try: clear(NodeCache(sys.argv[1]))\n"
        "except CacheError as error: print(error)\n"
    )
    where = [str(Path(lazyimport.__file__).parents[1]), *sys.path]
    # Not tmp_path: pytest keeps the folders above it from other users.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        NodeCache(f"{folder}/cache").make()
        done = subprocess.run(
            [sys.executable, "-c", program, f"{folder}/cache", repr(where)],
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.stdout.endswith(": it belongs to user 0; run this as that user\n"), done


def test_archive_in_use_is_named_once(cache: NodeCache) -> None:
    """It is too old, and the cache too large."""
    name = put_archive(cache, used=3 * DAY)
    archive = cache.open(name)
    os.utime(cache.archive_path(name), (0, 0))

    pruned = prune(cache, limit=0, older_than=DAY)

    assert archive is not None
    assert [archive.hash for archive in pruned.in_use] == [name]


def test_leftovers_of_killed_processes_go(cache: NodeCache) -> None:
    name = put_archive(cache, used=DAY)
    materialize(cache, name)
    before = all_files(cache)
    fill_with_leftovers(cache)

    prune(cache)

    assert before == all_files(cache)


def test_file_that_is_being_written_stays(cache: NodeCache) -> None:
    put_archive(cache, used=DAY)
    unknown = "ab" * 32
    with cache.lock(unknown, 1), AtomicFile(cache.archive_path(unknown)) as file:
        prune(cache)
        file.write(b"x")

    assert unknown in hashes_by_use(cache)


def test_file_that_is_being_put_into_a_tree_stays(cache: NodeCache) -> None:
    """As long as the tree does."""
    name = put_archive(cache, used=DAY)
    file = Path(unfinished_path(f"{materialize(cache, name)}/pkg/late.txt"))
    file.write_bytes(b"half")
    os.utime(file, (0, 0))
    archive = cache.open(name)

    prune(cache, limit=0)
    assert file.exists()

    del archive
    prune(cache, limit=0)
    assert not file.exists()


def test_what_is_known_of_an_archive_stays_with_it(cache: NodeCache) -> None:
    """Who starts it next needs its signature, or the record of its artifact."""
    kept, gone = put_archive(cache, used=DAY), put_archive(cache, used=DAY)
    for folder in (ARTIFACTS, SIGNATURES):
        cache.make_folder(folder)
    records = {}
    for hash in (kept, gone):
        Path(cache.signature_path(hash)).write_text("{}")
        records[hash] = ArtifactRecord(cache, hash)
        records[hash].write(hash)
    archive = cache.open(kept)
    assert archive is not None

    shrink(cache, "1kB")

    assert hashes_by_use(cache) == [kept]
    assert os.path.exists(cache.signature_path(kept))
    assert not os.path.exists(cache.signature_path(gone))
    assert (bool(records[kept].read()), bool(records[gone].read())) == (True, False)


@pytest.mark.parametrize("folder", ["archives", "blobs"])
def test_unfinished_file_that_somebody_goes_on_with_stays(
    cache: NodeCache, folder: str
) -> None:
    """Its fetcher has the lock, and is about to open what a killed one left."""
    name = "ab" * 32
    file = Path(cache.make_folder(folder), f".{name}.part.tmp")
    file.write_bytes(b"half")
    with cache.lock(name, 0):
        clear(cache)
        assert file.exists()

    clear(cache)
    assert not file.exists()


@pytest.mark.parametrize("folder", ["archives", "blobs"])
def test_what_was_broken_off_goes_when_its_turn_comes(
    cache: NodeCache, folder: str
) -> None:
    """Before an archive that was used after it, though somebody may yet go on."""
    older = put_archive(cache, used=DAY)
    newer = put_archive(cache, used=60)
    file = Path(cache.make_folder(folder), f".{'ab' * 32}.part.tmp")
    file.write_bytes(b"x" * SIZE)
    then = time.time() - DAY / 2
    os.utime(file, (then, then))

    shrink(cache, f"{usage(cache) - SIZE // 2}B")
    assert (hashes_by_use(cache), file.exists()) == ([newer], True)
    shrink(cache, f"{usage(cache) - SIZE // 2}B")
    assert (hashes_by_use(cache), file.exists()) == ([newer], False)
    assert not cache.open(older)

    file.write_bytes(b"x")
    os.utime(file, (then, then))
    prune(cache, older_than=DAY)
    assert file.exists()
    prune(cache, older_than=DAY / 4)
    assert (hashes_by_use(cache), file.exists()) == ([newer], False)


@pytest.mark.parametrize("years", [-1, 1], ids=["back", "forward"])
def test_a_clock_that_was_wrong_keeps_nothing_for_ever(
    cache: NodeCache, years: int
) -> None:
    """What is written while a clock is wrong has its time."""
    wrong = time.time() + years * 365 * DAY
    digest = "cd" * 32
    files = [
        Path(cache.path, f"bytecode/py-00-O0/cd/{digest}"),
        Path(cache.path, f"blobs/cd/{digest}"),
        Path(cache.path, f"blobs/.{digest}.part.tmp"),
        Path(cache.path, f"trees/{digest}"),
    ]
    used = put_archive(cache, used=60)
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_bytes(b"x") if file != files[-1] else file.mkdir()
        os.utime(file, (wrong, wrong))
    stays = put_archive(cache, used=-years * 365 * DAY)

    prune(cache, older_than=30 * DAY)

    assert [file for file in files if file.exists()] == []
    assert hashes_by_use(cache) == [used]
    assert not cache.open(stays)


def test_artifact_that_is_being_unpacked_stays(cache: NodeCache) -> None:
    file = Path(cache.staging_path(), "file")
    file.parent.mkdir()
    file.write_bytes(b"x" * SIZE)
    with cache.lock(ARTIFACTS, 0):
        assert clear(cache, force=True).left >= SIZE
        assert file.exists()

    assert clear(cache).freed >= SIZE
    assert not file.parent.exists()


def test_blob_that_is_being_written_stays(cache: NodeCache) -> None:
    """No tree links to it yet, and its writer has not given it its name."""
    put_archive(cache, used=DAY)
    path = cache.blob_path(b"d" * 32, executable=False)
    os.makedirs(os.path.dirname(path))
    with AtomicFile(path) as file:
        clear(cache)
        file.write(b"x")

    assert Path(path).read_bytes() == b"x"


def test_a_tree_whose_archive_is_gone_makes_room(cache: NodeCache) -> None:
    """As when whoever removed both was killed in between."""
    name = put_archive(cache, used=DAY)
    materialize(cache, name)
    cache.remove(name)

    prune(cache, limit=usage(cache))
    assert all_files(cache)
    prune(cache, limit=0)
    assert all_files(cache) == []
