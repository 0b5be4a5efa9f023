"""Archives that come in pieces: bounded, proved, in place, and resumed."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator
from io import BytesIO
from mmap import mmap
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.cache.partial import open_partial
from lazyimport.cache.verify import prove, verify
from lazyimport.delivery import (
    feeds,
    fetch as fetching,
    filling,
    heads,
    pieces,
    rooms,
    streaming,
)
from lazyimport.delivery.fetch import fetch
from lazyimport.delivery.filling import Filling
from lazyimport.delivery.heads import Head
from lazyimport.delivery.rooms import MemoryRoom
from lazyimport.delivery.transfer import bring
from lazyimport.errors import (
    ArchiveError,
    CacheError,
    DamagedArchive,
    MalformedArchive,
    StoreUnavailable,
)
from lazyimport.format.archive import Archive
from lazyimport.format.entries import Entry, listings
from lazyimport.registry.layout import archive_key
from lazyimport.settings import Settings
from lazyimport.stores.file import FileStore
from lazyimport.stores.memory import MemoryStore
from lazyimport.stores.retry import retrying
from tests.support import forge
from tests.support.trees import make_archive

NOISE = random.Random(7)
FILES: dict[str, str | bytes] = {
    "pkg/__init__.py": "",
    **{f"pkg/m{n}.py": f"x = {n}\n" * n for n in range(60)},
    "pkg/noise.bin": NOISE.randbytes(300_000),
    "pkg/same.bin": "compressible\n" * 9000,
    "pkg/half.bin": NOISE.randbytes(60_000) + bytes(60_000),
    "pkg/empty": "",
}
DATA, HASH = make_archive(FILES)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "FIRST", 8_000)
    monkeypatch.setattr(streaming, "_MUCH", 0)  # as if the folder were far away
    monkeypatch.setattr(feeds, "PART", 5_000)
    monkeypatch.setattr(pieces, "_LEAST", 10_000)
    monkeypatch.setattr(pieces, "_MOST", 10_000)


class Counting(MemoryStore):
    """Notes every range that is read, and sends it in parts."""

    def __init__(self, data: bytes = DATA) -> None:
        super().__init__(uuid4().hex)
        self.put(archive_key(HASH), BytesIO(data))
        self.asked: list[tuple[int, int | None]] = []
        self.parts = True

    @property
    def ranges(self) -> bool:
        return self.parts

    def _receive(self, attempt: Any, write: Any, start: int, end: int | None) -> None:
        self.asked.append((start, end))

        def send(data: bytes) -> None:
            for at in range(0, len(data), 3001):
                write(data[at : at + 3001])

        super()._receive(attempt, send, start, end)

    __slots__ = ("asked", "parts")


def filled(store: Any, *, raw: bool, connections: int = 3) -> Archive:
    head = Head(store, HASH)
    filling = Filling(head, raw=raw)
    buffer = mmap(-1, filling.size)
    told: list[tuple[int, int]] = []
    filling.fill(MemoryRoom(buffer), connections, lambda *step: told.append(step))
    assert told[-1] == (len(DATA), len(DATA))
    return Archive(buffer, HASH)


@pytest.mark.parametrize("parts", [True, False], ids=["ranges", "one stream"])
@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize("raw", [True, False])
def test_everything_is_where_it_belongs(
    raw: bool, connections: int, parts: bool
) -> None:
    store = Counting()
    store.parts = parts
    archive = filled(store, raw=raw, connections=connections)
    prove(archive)
    stored = Archive(DATA, HASH)
    for entry in stored.index.entries():
        assert bytes(archive.content(entry)) == bytes(stored.content(entry))
        if raw:
            assert archive.stored(entry.slot)[1] == entry.size
    assert archive.raw_notes == stored.raw_notes
    if not raw:
        assert bytes(archive._buffer[:]) == DATA  # what came over the wire, as it is
    if parts:
        assert sum(min(e, len(DATA)) - s for s, e in store.asked if e) == len(DATA)


def test_what_lies_on_this_machine_is_read_without_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(str(tmp_path))
    store.put(archive_key(HASH), BytesIO(DATA))
    settings = Settings(HASH, store.url, str(tmp_path / "node"))
    head = Head(store, HASH)
    assert streaming.connections_to(head, settings) == settings.connections
    monkeypatch.setattr(streaming, "_MUCH", len(DATA) + 1)
    assert streaming.connections_to(head, settings) == 0

    def start(_: Thread) -> None:
        raise AssertionError

    monkeypatch.setattr(Thread, "start", start)
    prove(filled(store, raw=True, connections=0))
    prove(fetch(settings, HASH)[0])


def test_little_is_read_at_first_of_what_lies_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process runs from its beginning while the rest is read."""
    store = FileStore(str(tmp_path))
    store.put(archive_key(HASH), BytesIO(DATA))
    monkeypatch.setattr(heads, "FIRST", len(DATA))
    monkeypatch.setattr(heads, "_LITTLE", 1000)
    head = Head(store, HASH)
    assert head.moved == len(head.data) == max(1000, head.header.members_at)
    prove(filled(store, raw=True, connections=0))

    monkeypatch.setattr(heads, "is_local", lambda _: False)  # on another machine
    assert Head(store, HASH).moved == len(DATA)


@pytest.mark.parametrize("first", [100, 128, 500, 7_999, len(DATA) - 5, len(DATA)])
def test_the_first_request_may_end_anywhere(
    first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "FIRST", max(first, 128))
    prove(filled(Counting(), raw=True))


def test_what_is_small_is_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "FIRST", 4 << 20)
    store = Counting()
    prove(filled(store, raw=True))
    assert len(store.asked) == 1


def longer(data: bytes) -> bytes:
    return data + bytes(50_000_000)


def shorter(data: bytes) -> bytes:
    return data[:-70_000]


def padded(data: bytes) -> bytes:
    fields = forge.fields_of(data)
    end = len(data) - fields["notes"]
    more = forge.reheaded(data, members=fields["members"] + 50_000_000)
    return more[:end] + bytes(50_000_000) + more[end:]


def sections(data: bytes) -> bytes:
    """An index that is said to take a terabyte."""
    return forge.reheaded(data, pages=(1 << 32) - 1, slots=20 << 40)


def changed(data: bytes) -> bytes:
    return data[:-90_000] + bytes([data[-90_000] ^ 1]) + data[-89_999:]


@pytest.mark.parametrize("parts", [True, False], ids=["ranges", "one stream"])
@pytest.mark.parametrize("spoil", [longer, shorter, padded, sections, changed])
def test_no_more_is_taken_than_the_hash_proves(spoil: Any, parts: bool) -> None:
    store = Counting(spoil(DATA))
    store.parts = parts
    with pytest.raises((MalformedArchive, DamagedArchive)) as caught:
        filled(store, raw=True)
    assert caught.value.hash == HASH
    assert sum((end or 0) - start for start, end in store.asked) <= len(DATA) + 1


class Site:
    """A store in a folder and a node."""

    def __init__(self, base: Path) -> None:
        self.store = FileStore(str(base / "store"))
        self.store.put(archive_key(HASH), BytesIO(DATA))
        self.cache = NodeCache(str(base / "node"))

    def fetch(self, **changes: Any) -> tuple[Archive, int]:
        settings = Settings(HASH, self.store.url, self.cache.path, **changes)
        return fetch(settings, HASH)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_listings_that_were_made_are_not_decoded(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    proved = Head.proved

    def noting(self: Head, data: Any, size: int, digest: bytes, path: str) -> Any:
        decoded.append(path)
        return proved(self, data, size, digest, path)

    monkeypatch.setattr(Head, "proved", noting)
    prove(site.fetch(fetch="stream")[0])
    assert "pkg/m1.py" in decoded
    assert not {"", "pkg"} & {*decoded}


def test_processes_open_an_archive_before_listings_are_made(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have much to do before they look into a directory, or may wait for it."""
    opened = []

    def noting(entries: Iterable[Entry]) -> Iterator[bytes]:
        opened.append(open_partial(site.cache, HASH))
        return listings(entries)

    monkeypatch.setattr(filling, "listings", noting)
    prove(site.fetch(fetch="stream")[0])
    ((archive, _),) = filter(None, opened)
    assert archive.children("pkg")


@pytest.mark.parametrize("mode", ["raw", "zstd"])
def test_a_download_goes_on_where_it_broke_off(
    site: Site, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = FileStore._receive
    left = 12

    def breaking(self: FileStore, attempt: Any, *rest: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise StoreUnavailable("down", url=self.url, key=attempt.key)
        receive(self, attempt, *rest)

    monkeypatch.setattr(FileStore, "_receive", breaking)
    with pytest.raises(StoreUnavailable):
        site.fetch(cache_mode=mode, connections=1)
    (partial,) = os.listdir(f"{site.cache.path}/archives")
    assert HASH in partial

    left = 1000
    archive, moved = site.fetch(cache_mode=mode)
    prove(archive)
    assert moved < len(DATA) * 0.9
    assert os.listdir(f"{site.cache.path}/archives") == [HASH]
    assert not verify(site.cache, remove=False).damages


def test_what_has_not_come_is_noticed_at_the_end(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was said of the transfer: slots say what is still awaited."""

    def forgetful(store: Any, plan: list[Any], connections: int, take: Any) -> None:
        bring(store, plan[1:], connections, take)

    monkeypatch.setattr(filling, "bring", forgetful)
    with pytest.raises(MalformedArchive, match="nothing has its member"):
        site.fetch()
    assert not site.cache.open(HASH)

    monkeypatch.undo()
    prove(site.fetch()[0])


def test_what_is_left_of_a_download_is_proved_again(site: Site) -> None:
    """Zeros, other bytes and a file of another size are not taken for members."""
    folder = site.cache.make_folder("archives")
    size = Filling(Head(site.store, HASH), raw=True).size
    for junk in (bytes(size), os.urandom(size), b"x" * 100, b""):
        Path(f"{folder}/.{HASH}.raw.tmp").write_bytes(junk)
        archive, moved = site.fetch()
        assert moved == len(DATA)
        prove(archive)
        site.cache.remove(HASH)


def test_an_object_that_changes_meanwhile(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody stores the same archive again, compressed in another way."""
    other, _ = make_archive({"other": "x"})
    path = Path(site.store.folder, archive_key(HASH))
    receive = FileStore._receive
    asked = 0

    def swapping(self: FileStore, *rest: Any) -> None:
        nonlocal asked
        asked += 1
        if asked in {2, 30}:
            path.unlink()
            path.write_bytes(other * 1000 if asked == 2 else DATA)
        receive(self, *rest)

    monkeypatch.setattr(FileStore, "_receive", swapping)
    with pytest.raises(ArchiveError, match=HASH):
        site.fetch(connections=1)
    asked = 29
    prove(site.fetch()[0])


@pytest.mark.parametrize("answer", ["cut", "longer", "forged", "another"])
@pytest.mark.parametrize("connections", [1, 3])
def test_answers_that_lie(
    site: Site, connections: int, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not what was asked for is refused, and what was is kept."""
    receive = FileStore._receive

    def lying(self: FileStore, attempt: Any, write: Any, *part: Any) -> None:
        start, end = part
        if start < 200_000:  # all is well at first
            receive(self, attempt, write, start, end)
        elif answer == "cut":
            receive(self, attempt, write, start, end - 5000)
        elif answer == "longer":
            receive(self, attempt, write, start, end)
            write(bytes(5000))
        elif answer == "forged":
            receive(self, attempt, lambda data: write(bytes(len(data))), start, end)
        else:
            receive(self, attempt, write, start - 5000, end - 5000)

    monkeypatch.setattr(FileStore, "_receive", lying)
    with pytest.raises(ArchiveError, match="push the tree again"):
        site.fetch(connections=connections)
    assert not site.cache.open(HASH)
    monkeypatch.undo()
    prove(site.fetch()[0])


@pytest.mark.parametrize("connections", [1, 3])
def test_an_object_that_changes_while_a_piece_breaks_off(
    site: Site, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same archive, laid out in another way, is what the rest of it comes from."""
    other, same = make_archive(FILES, raw=True)
    assert same == HASH
    monkeypatch.setattr(pieces, "_MOST", 100_000)
    monkeypatch.setattr(pieces, "_LEAST", 100_000)
    path = Path(site.store.folder, archive_key(HASH))
    receive = FileStore._receive
    changed: list[str] = []

    def breaking(self: FileStore, attempt: Any, write: Any, *part: Any) -> None:
        start, end = part
        if start < 200_000 or changed:
            receive(self, attempt, write, start, end)
            return
        changed.append("it has")
        (new := path.with_suffix(".new")).write_bytes(other)
        new.replace(path)
        write(DATA[start : start + 50_000])
        raise StoreUnavailable("down", url=self.url, key=attempt.key)

    monkeypatch.setattr(FileStore, "_receive", breaking)
    patient = retrying(site.store, 60)
    monkeypatch.setattr(fetching, "store_of", lambda *_, **__: patient)
    prove(site.fetch(connections=connections)[0])
    assert changed


def test_memory_has_a_limit(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full, and the archive is more than a quarter of what is free."""
    site.cache.make()
    monkeypatch.setattr(rooms, "available", lambda: len(DATA) * 3)
    prove(site.fetch(cache_mode="memory")[0])

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(CacheError, match=r"No space.*a quarter of the") as caught:
        site.fetch()
    assert HASH in str(caught.value)
    assert os.listdir(f"{site.cache.path}/archives") == []
    monkeypatch.setattr(rooms, "available", lambda: len(DATA) * 5)
    with pytest.warns(RuntimeWarning, match="runs from memory"):
        prove(site.fetch()[0])


def test_free_memory_is_known_here() -> None:
    free = rooms.available()
    assert free is None or 1 << 20 < free < 1 << 50
