"""After a power cut, what was written before it counts only if it is whole."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lazyimport.cache import boot, survivors
from lazyimport.cache.disks import is_local
from lazyimport.cache.layout import SHARED
from lazyimport.cache.marks import BOOT, mark_path
from lazyimport.cache.materialize import Materializer
from lazyimport.cache.node import NodeCache
from lazyimport.cache.verify import verify
from tests.support.disks import LIMITED, mounted
from tests.support.node_cache import DAY, put_archive

LARGE = os.urandom(SHARED + 1)
FILES: dict[str, str | bytes] = {
    "pkg/small.bin": b"small",
    "pkg/deep/large.bin": LARGE,
    "pkg/deep/x.txt": "x" * 5000,
    "seen/one.py": "x = 1\n",
    "top.txt": "top",
}
#: Puts on disk what a process does, in a boot that it is told.
PUT = """
import sys
from lazyimport.cache import boot, survivors
from lazyimport.cache.materialize import Materializer
from lazyimport.cache.node import NodeCache
where, hash, boot._known = sys.argv[1:]
cache = NodeCache(where)
files = Materializer(cache.open(hash), cache.tree_path(hash))
files.put_file(files.archive.index.entry("seen/one.py"))
files.put_package("")
files.put_package("pkg")
"""
BEFORE, NOW = "a" * 32, "b" * 32


def put(cache: NodeCache, hash: str, when: str, *command: str) -> None:
    program = [sys.executable, "-c", PUT, cache.path, hash, when]
    subprocess.run([*command, *program], check=True)


def cut(path: Path, data: bytes) -> None:
    """Let a file be as a power cut leaves it: its inode was written, its bytes not."""
    status = path.stat()
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(status.st_mode)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
def hash(cache: NodeCache, tmp_path: Path) -> str:
    if not is_local(str(tmp_path)):
        pytest.skip("not a disk of this machine, as far as is known")
    return put_archive(cache, used=DAY, **FILES)


@pytest.mark.parametrize(
    "left", [b"", b"x" * 3, bytes(5000)], ids=["empty", "short", "0"]
)
def test_files_without_their_bytes_are_replaced(
    cache: NodeCache, hash: str, left: bytes
) -> None:
    put(cache, hash, BEFORE)
    root = Path(cache.tree_path(hash))
    (blob,) = Path(cache.path, "blobs").rglob("*/*")
    (root / "pkg/made.txt").write_text("by the program")
    for name in ("pkg/small.bin", "pkg/deep/x.txt", "seen/one.py", "top.txt"):
        cut(root / name, left)
    for path in {blob, root / "pkg/deep/large.bin"}:
        cut(path, left * (len(LARGE) // max(len(left), 1)))
    for mark in ("pkg", ":"):
        cut(Path(mark_path(str(root), mark)), b"")

    put(cache, hash, NOW)

    for name, data in FILES.items():
        expected = data.encode() if isinstance(data, str) else data
        assert (root / name).read_bytes() == expected, name
    assert (root / "pkg/made.txt").read_text() == "by the program"
    assert verify(cache, remove=False).damages == []


def test_what_is_missing_although_its_mark_is_there_is_put_there(
    cache: NodeCache, hash: str
) -> None:
    """The mark came to the disk short, so that it says nothing of the directory."""
    put(cache, hash, BEFORE)
    root = cache.tree_path(hash)
    os.unlink(f"{root}/pkg/deep/x.txt")
    cut(Path(mark_path(root, "pkg")), b"")

    put(cache, hash, NOW)

    assert Path(root, "pkg/deep/x.txt").read_text() == "x" * 5000


def test_a_large_file_in_another_tree_is_proved_too(
    cache: NodeCache, hash: str
) -> None:
    put(cache, hash, BEFORE)
    (blob,) = Path(cache.path, "blobs").rglob("*/*")
    cut(blob, bytes(len(LARGE)))
    other = put_archive(cache, used=DAY, **FILES)

    put(cache, other, NOW)

    assert Path(cache.tree_path(other), "pkg/deep/large.bin").read_bytes() == LARGE


def test_once_for_each_boot(cache: NodeCache, hash: str) -> None:
    """What is edited after that stays; what is sound is not written again."""
    put(cache, hash, BEFORE)
    root = cache.tree_path(hash)
    sound = Path(root, "pkg/deep/x.txt").stat().st_ino
    put(cache, hash, NOW)
    assert Path(mark_path(root, BOOT)).read_text() == NOW
    edited = Path(root, "pkg/small.bin")
    edited.chmod(0o644)
    edited.write_bytes(b"edited")

    put(cache, hash, NOW)

    assert edited.read_bytes() == b"edited"
    assert Path(root, "pkg/deep/x.txt").stat().st_ino == sound


def settle(cache: NodeCache, hash: str, when: str) -> bool:
    """Synchronize the tree in a boot, as `lazyimport materialize` does."""
    program = PUT + "print(files.settle())"
    command = [sys.executable, "-c", program, cache.path, hash, when]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout == "True\n"


def test_what_was_synchronized_is_not_proved_again(cache: NodeCache, hash: str) -> None:
    """As in the layer of an image, which each container has in a boot of its own."""
    assert settle(cache, hash, BEFORE)
    root = Path(cache.tree_path(hash))
    unread = root / "pkg/small.bin"
    cut(unread, b"shown")  # so that whoever reads it finds it damaged
    mark = Path(mark_path(str(root), BOOT)).stat()

    put(cache, hash, NOW)

    assert unread.read_bytes() == b"shown"
    assert Path(mark_path(str(root), BOOT)).stat().st_ino == mark.st_ino


@pytest.mark.parametrize("lost", ["seen/one.py", "pkg/deep/x.txt", "top.txt"])
def test_what_is_put_beside_it_is_proved_again(
    cache: NodeCache, hash: str, lost: str
) -> None:
    assert settle(cache, hash, BEFORE)
    root = Path(cache.tree_path(hash))
    (root / lost).unlink()
    put(cache, hash, NOW)
    assert Path(mark_path(str(root), BOOT)).read_text() == NOW
    cut(root / lost, b"")

    put(cache, hash, "c" * 32)

    assert (root / lost).read_bytes() == str(FILES[lost]).encode()


def test_nothing_is_synchronized_while_others_use_it(
    cache: NodeCache, hash: str
) -> None:
    """They may be putting files there."""
    archive = cache.open(hash)
    assert archive is not None
    entry = archive.index.entry("seen/one.py")
    assert entry is not None
    used = Materializer(archive, cache.tree_path(hash))
    used.put_file(entry)

    assert not settle(cache, hash, boot.name())

    assert Path(mark_path(used.root, BOOT)).read_text() == boot.name()
    assert used.settle()


def test_who_starts_while_a_tree_is_synchronized_does_not_wait(
    cache: NodeCache, hash: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine may have much to write, and a worker would not start meanwhile."""
    archive = cache.open(hash)
    assert archive is not None
    files = Materializer(archive, cache.tree_path(hash))
    files.put_all()
    synchronize, held = os.sync, []

    def hold() -> None:
        descriptor = os.open(files.root, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            held.append(True)
        finally:
            os.close(descriptor)
        synchronize()

    monkeypatch.setattr(os, "sync", hold)

    assert files.settle()
    assert held == [True]


def test_nothing_is_synchronized_where_no_lock_says_who_uses_it(
    cache: NodeCache, hash: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems have no locks."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    archive = cache.open(hash)
    assert archive is not None
    files = Materializer(archive, cache.tree_path(hash))
    files.put_all()
    monkeypatch.setattr(survivors, "flock", refuse)

    assert not files.settle()

    assert Path(mark_path(files.root, BOOT)).read_text() == boot.name()


def test_threads_that_put_the_first_files_at_once(cache: NodeCache, hash: str) -> None:
    """None removes what another is just writing, such as the mark of the boot."""
    archive = cache.open(hash)
    assert archive is not None
    entry = archive.index.entry("seen/one.py")
    assert entry is not None
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            for number in range(40):
                files = Materializer(archive, f"{cache.tree_path(hash)}{number}")
                made = [threads.submit(files.put_file, entry) for _ in range(8)]
                assert [each.result() for each in made] == [made[0].result()] * 8
    finally:
        sys.setswitchinterval(interval)


def test_a_disk_that_is_read_only_is_used_as_it_is(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk") as disk:
        cache = NodeCache(str(disk / "cache"))
        hash = put_archive(cache, used=DAY, **FILES)
        put(cache, hash, BEFORE)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

        put(cache, hash, NOW)

        assert (Path(cache.tree_path(hash)) / "pkg/small.bin").read_bytes() == b"small"


def test_a_tree_that_this_user_may_not_write(cache: NodeCache, hash: str) -> None:
    """As in an image that somebody else made."""
    put(cache, hash, BEFORE)
    lock = Path(mark_path(cache.tree_path(hash), ":lock"))
    lock.unlink()
    lock.parent.chmod(0o500)
    try:
        put(cache, hash, NOW, *LIMITED)
    finally:
        lock.parent.chmod(0o700)
    assert Path(mark_path(cache.tree_path(hash), BOOT)).read_text() == BEFORE


def test_where_boots_have_no_names(cache: NodeCache, hash: str) -> None:
    """As in macOS: nothing can be said of them, and everything else works."""
    for _ in range(2):
        put(cache, hash, "")
        assert Path(cache.tree_path(hash), "pkg/deep/large.bin").read_bytes() == LARGE


def test_the_boot_of_this_machine() -> None:
    assert boot.name() == boot.name()
    assert not boot.name() or int(boot.name(), 16)
