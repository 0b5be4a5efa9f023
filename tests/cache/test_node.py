"""The node cache: archives put there, and the locks under which that happens."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import pytest

from lazyimport.cache.evict import clear, prune
from lazyimport.cache.node import NodeCache
from lazyimport.errors import CacheError, DamagedArchive, MalformedArchive
from lazyimport.format import sha256
from lazyimport.format.archive import Archive
from lazyimport.format.sections import HEADER_SIZE, SLOT
from tests.support.node_cache import DAY, put_archive
from tests.support.trees import make_archive


def test_published_archive_is_open(cache: NodeCache) -> None:
    data, name = make_archive({"pkg/__init__.py": ""})

    archive = cache.publish(name, lambda out: out.write(data))

    assert archive.hash == name
    assert [*cache.archives()] == [name]


def test_what_is_not_that_archive_is_refused(cache: NodeCache) -> None:
    data, _ = make_archive({"pkg/__init__.py": ""})
    with pytest.raises(MalformedArchive):
        cache.publish("ab" * 32, lambda out: out.write(data))


def test_lock_that_another_holds_is_waited_for_and_no_longer(cache: NodeCache) -> None:
    again = cache.lock("a", 0)
    with cache.lock("a", 0), pytest.raises(CacheError, match="has held") as caught:
        again.__enter__()

    assert caught.value.path == cache.lock_path("a")
    assert caught.value.errno is None


def test_lock_that_cannot_be_made(cache: NodeCache) -> None:
    with pytest.raises(CacheError, match="cannot lock") as caught:
        cache.lock("x" * 300, 0).__enter__()

    assert caught.value.errno is not None


def test_archive_that_vanishes_while_they_are_listed(
    cache: NodeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process evicts at the same time: the others are there all the same."""
    left = {put_archive(cache, used=DAY) for _ in range(5)}
    real = os.scandir

    @contextmanager
    def scandir(path: str) -> Iterator[list[os.DirEntry[str]]]:
        with real(path) as items:
            found = list(items)
        os.unlink(found[1].path)
        left.remove(found[1].name)
        yield found

    monkeypatch.setattr(os, "scandir", scandir)

    assert cache.archives().keys() == left
    assert len(left) == 4


def test_time_of_arrival_stays(cache: NodeCache) -> None:
    name = put_archive(cache, used=3 * DAY)
    before = cache.archives()[name].st_mtime
    cache.open(name)

    assert before == cache.archives()[name].st_mtime


def test_reopened_archive_that_was_removed_meanwhile_is_not_here(
    cache: NodeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race in the docstring of lazyimport.cache.removal."""
    from lazyimport.cache import sealed as module

    name = put_archive(cache, used=DAY)

    def flock(descriptor: int, how: int) -> None:
        cache.remove(name)

    monkeypatch.setattr(module, "flock", flock)
    assert cache.open(name) is None


class TestSeal:
    """What was proved on arrival is read with checksums, until it is written to."""

    @pytest.fixture(name="name")
    def _name(self, cache: NodeCache) -> str:
        data, name = make_archive({"pkg/__init__.py": "", "pkg/data.bin": b"0123" * 99})
        cache.publish(name, lambda out: out.write(data))
        return name

    def test_no_digest_is_computed(
        self, cache: NodeCache, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hashed = count_digests(monkeypatch)

        assert read_everything(open_sealed(cache, name))
        assert not hashed

    def test_reading_for_others_still_proves(
        self, cache: NodeCache, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        archive = cache.open(name)
        hashed = count_digests(monkeypatch)
        assert archive is not None
        read_everything(archive)

        assert hashed

    @pytest.mark.parametrize("change", ["touched", "copied", "rewritten"])
    def test_what_somebody_wrote_to_is_proved(
        self, cache: NodeCache, name: str, change: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = cache.archive_path(name)
        if change == "touched":
            os.utime(path)
        elif change == "copied":
            shutil.copyfile(path, path + "2")
            os.replace(path + "2", path)
        else:
            data = Path(path).read_bytes()
            os.chmod(path, 0o644)
            Path(path).write_bytes(data)
        hashed = count_digests(monkeypatch)
        archive = open_sealed(cache, name)
        assert hashed  # of the root
        hashed.clear()
        read_everything(archive)

        assert hashed

    def test_forged_copy_is_refused(self, cache: NodeCache, name: str) -> None:
        """Its checksums are right, and its digests are not."""
        path = Path(cache.archive_path(name))
        data = bytearray(path.read_bytes())
        at = data.index(b"0123")
        data[at : at + 4] = b"evil"
        header = Archive(bytes(data), name).header
        members = bytes(data[header.members_at : header.notes_at])
        for slot in range(header.slots_at, header.members_at, SLOT.size):
            offset, stored, _ = SLOT.unpack_from(data, slot)
            SLOT.pack_into(
                data, slot, offset, stored, crc32(members[offset : offset + stored])
            )
        path.chmod(0o644)
        path.write_bytes(data)

        with pytest.raises(DamagedArchive, match=r"pkg/data\.bin"):
            read_everything(open_sealed(cache, name))

    @pytest.mark.parametrize("where", ["root", "page", "member", "slot"])
    def test_bytes_that_a_disk_has_changed(
        self, cache: NodeCache, name: str, where: str
    ) -> None:
        """The time of change is that of the seal: nobody has written to the file."""
        path = Path(cache.archive_path(name))
        status = path.stat()
        data = bytearray(path.read_bytes())
        header = Archive(bytes(data), name).header
        at = {
            "root": header.pages_at - 1,
            "page": header.pages_at + 40,
            "member": data.index(b"0123"),
            "slot": header.slots_at,
        }[where]
        data[at] ^= 1
        path.chmod(0o644)
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

        with pytest.raises((DamagedArchive, MalformedArchive)):
            read_everything(open_sealed(cache, name))

    @pytest.mark.parametrize("where", ["root", "slot"])
    def test_checksum_that_is_damaged_itself(
        self, cache: NodeCache, name: str, where: str
    ) -> None:
        """The digest decides, so nothing is lost."""
        path = Path(cache.archive_path(name))
        status = path.stat()
        data = bytearray(path.read_bytes())
        header = Archive(bytes(data), name).header
        if where == "root":
            header.root_check ^= 1
            data[:HEADER_SIZE] = header.encode()
        else:
            data[header.slots_at + 16] ^= 1
        path.chmod(0o644)
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

        assert read_everything(open_sealed(cache, name))


def open_sealed(cache: NodeCache, name: str) -> Archive:
    archive = cache.open(name, relied=True)
    assert archive is not None
    return archive


def read_everything(archive: Archive) -> list[bytes]:
    return [bytes(archive.content(entry)) for entry in archive.index.entries()]


def count_digests(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the size of all that is hashed."""
    hashed: list[int] = []

    def counted(data: bytes) -> bytes:
        hashed.append(len(data))
        return sha256(data)

    monkeypatch.setattr("lazyimport.format.sections.sha256", counted)
    monkeypatch.setattr("lazyimport.format.index.sha256", counted)
    return hashed


def test_default_limit_is_a_quarter_of_the_disk(
    cache: NodeCache, tmp_path: Path
) -> None:
    cache.make()
    disk = os.statvfs(tmp_path)

    assert cache.default_limit() == disk.f_blocks * disk.f_frsize // 4


def test_cache_that_is_not_there_has_no_limit(cache: NodeCache) -> None:
    assert cache.default_limit() == 0


def test_what_is_killed_while_the_disk_writes_goes_on(
    cache: NodeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That may take minutes, and a file that nobody may write is begun anew."""
    data, name = make_archive({"pkg/__init__.py": ""})

    def killed(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, cache.begin(name, "raw", bool) as file:
        patch.setattr(os, "fsync", killed)
        file.write(data)
        with pytest.raises(KeyboardInterrupt):
            cache.complete(name, file, "raw")
    path = cache.partial_path(name, "raw")
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_archive_that_is_being_filled_is_not_removed(cache: NodeCache) -> None:
    """Nor what a killed process left of it, for a day: another goes on with it."""
    name = "ab" * 32

    def fits(descriptor: int) -> bool:
        return os.fstat(descriptor).st_size in {0, 4}

    with cache.lock(name, 0), cache.begin(name, "raw", fits) as file:
        path = f"{cache.folder('archives')}/.{name}.raw.tmp"
        os.utime(path, (0, 0))
        clear(cache, force=True)
        file.write(b"half")
        assert os.path.exists(path)
    prune(cache)
    with cache.lock(name, 0), cache.begin(name, "raw", fits) as file:
        assert file.read() == b"half"
        file.write(b"more")
    with open(path, "rb") as other, cache.lock(name, 0):
        with cache.begin(name, "raw", fits) as file:
            assert file.read() == b""
        assert other.read() == b"halfmore"  # a process that has it open goes on

    os.utime(path, (0, 0))
    prune(cache)
    assert not os.path.exists(path)
