"""What every store promises, as tests: subclass one class of tests for each store.

`ReadStoreTests`, `StoreTests` and `MutableStoreTests` are for what the protocols
of these names promise, each with all of the one before. A subclass gives the
fixture ``place``: a `Place` with the store under test and with ways to look
behind it, which use none of the store's own methods.
"""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lazyimport.errors import KeyMissing, SettingsError, StoreError, StoreMissing
from lazyimport.stores import Item, MutableStore, ReadStore, open_store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20
DATA = bytes(range(256)) * 4

RANGES: list[tuple[int, int | None]] = [
    (0, None),
    (0, 0),
    (0, 1),
    (5, 5),
    (5, 9),
    (1000, 1024),
    (1000, None),
    (1020, 5000),
    (1023, 1024),
    (1024, 1024),
    (1024, 1030),
    (1024, None),
    (5000, 5000),
    (5000, None),
    (5000, 6000),
    (0, 10**12),
]
#: Sizes on both sides of every border inside a store: pieces, kinds of upload.
SIZES = [0, 1, 8191, MIB, MIB + 1, 8 * MIB, 8 * MIB + 1, 32 * MIB + 5]

KEYS = [
    "a",
    "archives/0123456789abcdef",
    "deep/er/and/deeper/still",
    "with space and + & = % # ? * ' \" < >",
    "%41%2F",
    "umlaut-\u00e4/\u65e5\u672c/\U0001f600",
    "x" * 240,
    "trailing.",
    "semi;colon:at@",
]
NO_KEYS = [
    "",
    "/absolute",
    "a//b",
    "a/",
    "..",
    "../a",
    "a/../b",
    "a/..",
    ".",
    "./a",
    ".hidden",
    "a/.hidden",
    "a\\b",
    "a\0b",
    "a\nb",
    "a\x7f",
    "\udc80",
    "x" * 241,
    "/".join(["x" * 200] * 6),
]

#: Downloads an object of a pickled store and prints the peak of memory.
DOWNLOADER = """
import pickle, sys, tracemalloc
store = pickle.loads(bytes.fromhex(sys.argv[1]))
class Out:
    size = 0
    def write(self, data):
        self.size += len(data)
        return len(data)
store.read("small")
tracemalloc.start()
out = Out()
size = store.download("large", out)
assert size == out.size
print(size, tracemalloc.get_traced_memory()[1])
"""


class Place:
    """A store, and what is needed to test it without trusting it."""

    store: MutableStore
    """A cast where it can do less: the tests of its class ask for no more."""
    gone: MutableStore | None = None
    """Another one, whose bucket or folder does not exist; None if all do."""
    put_creates_store = False
    one_process = False
    """Whether other processes do not see what is there."""
    largest = 1 << 40
    """Bytes of the largest object to try, where more would take too long."""

    def plant(self, key: str, data: bytes) -> None:
        """Put an object there, whatever its key."""
        raise NotImplementedError

    def peek(self, key: str) -> bytes | None:
        """Return what is there under a key, None for nothing."""
        raise NotImplementedError

    def everything(self) -> set[str]:
        """Return the names of all there is, leftovers included."""
        raise NotImplementedError


class Slow(io.BytesIO):
    """A file that calls *during* when all but the last of it has been read."""

    def __init__(self, data: bytes, during: Callable[[], object]) -> None:
        super().__init__(data)
        self.during = during

    def read(self, size: int | None = -1, /) -> bytes:
        self.during()
        return super().read(size)


class Broken(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError(5, "the disk of the caller broke")


def download(store: ReadStore, key: str) -> bytes:
    out = io.BytesIO()
    assert store.download(key, out) == len(out.getvalue())
    return out.getvalue()


def fits(place: Place, size: int) -> None:
    if size > place.largest:
        pytest.skip("with LAZYIMPORT_TEST_FULL=1")


def fill(size: int) -> bytes:
    block = bytes((i * i + i // 251) % 256 for i in range(65521))
    return (block * (size // len(block) + 1))[:size]


class ReadStoreTests:
    @pytest.fixture
    def place(self) -> Place:
        raise NotImplementedError

    # read

    @pytest.mark.parametrize(("start", "end"), RANGES)
    def test_read_returns_what_a_slice_would(
        self, place: Place, start: int, end: int | None
    ) -> None:
        place.plant("k", DATA)
        assert place.store.read("k", start, end) == DATA[start:end]

    @pytest.mark.parametrize(("start", "end"), [(0, None), (0, 0), (0, 9), (3, None)])
    def test_an_empty_object_reads_as_nothing(
        self, place: Place, start: int, end: int | None
    ) -> None:
        place.plant("k", b"")
        assert place.store.read("k", start, end) == b""

    @pytest.mark.parametrize(("start", "end"), [(0, None), (0, 0), (7, 7), (5, 9)])
    def test_reading_what_is_not_there(
        self, place: Place, start: int, end: int | None
    ) -> None:
        place.plant("other", b"")
        with pytest.raises(KeyMissing) as caught:
            place.store.read("k", start, end)
        check_error(caught.value, place.store, "k")

    @pytest.mark.parametrize(("start", "end"), [(-1, None), (-1, 5), (5, 4), (0, -1)])
    def test_what_is_no_range(self, place: Place, start: int, end: int | None) -> None:
        place.plant("k", DATA)
        with pytest.raises(SettingsError, match="not a range"):
            place.store.read("k", start, end)

    # download

    @pytest.mark.parametrize("size", SIZES)
    def test_download_brings_all_of_it(self, place: Place, size: int) -> None:
        fits(place, size)
        data = fill(size)
        place.plant("dir/k", data)
        assert download(place.store, "dir/k") == data

    @pytest.mark.parametrize(("start", "end"), RANGES)
    def test_download_brings_the_part_that_is_asked_for(
        self, place: Place, start: int, end: int | None
    ) -> None:
        place.plant("k", DATA)
        out = io.BytesIO()
        size = place.store.download("k", out, start, end)
        assert out.getvalue() == DATA[start:end]
        assert size == len(out.getvalue())

    def test_downloading_what_is_not_there(self, place: Place) -> None:
        place.plant("other", b"")
        out = io.BytesIO()
        for part in (), (7, 7), (5, 9):
            with pytest.raises(KeyMissing) as caught:
                place.store.download("k", out, *part)
            check_error(caught.value, place.store, "k")
        assert out.getvalue() == b""

    def test_download_leaves_errors_of_the_callers_file_alone(
        self, place: Place
    ) -> None:
        class Full(io.BytesIO):
            def write(self, data: Any, /) -> int:
                raise OSError(28, "the disk of the caller is full")

        place.plant("k", DATA)
        with pytest.raises(OSError, match="the disk of the caller") as caught:
            place.store.download("k", Full())
        assert not isinstance(caught.value, StoreError)

    def test_another_process_downloads_in_bounded_memory(self, place: Place) -> None:
        """A store pickles, works elsewhere, and holds no whole object there."""
        if place.one_process:
            pytest.skip("of this process alone")
        place.plant("small", b"1")
        place.plant("large", fill(48 * MIB))
        pickled = pickle.dumps(place.store).hex()
        answer = subprocess.run(
            [sys.executable, "-c", DOWNLOADER, pickled],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        size, peak = map(int, answer.stdout.split())
        assert size == 48 * MIB
        assert peak < 8 * MIB

    # the store itself

    @pytest.mark.parametrize("key", NO_KEYS)
    def test_what_is_no_key_is_refused(self, place: Place, key: str) -> None:
        for method, call in calls(place.store, key).items():
            if method == "list":
                continue
            with pytest.raises(SettingsError, match="not a key") as caught:
                call()
            assert caught.value.value == key
        assert place.everything() == set()

    def test_a_store_that_does_not_exist(self, place: Place) -> None:
        if place.gone is None:
            pytest.skip("stores of this kind are always there")
        for method, call in calls(place.gone, "k").items():
            if method in {"put", "replace"} and place.put_creates_store:
                continue
            with pytest.raises(StoreMissing) as caught:
                call()
            check_error(caught.value, place.gone, None if method == "list" else "k")

    def test_the_url_opens_it_again(self, place: Place) -> None:
        place.plant("k", DATA)
        again = open_store(place.store.url)
        assert type(again) is type(place.store)
        assert again.url == place.store.url
        assert again.read("k") == DATA

    def test_a_used_store_pickles(self, place: Place) -> None:
        place.plant("k", DATA)
        assert place.store.read("k") == DATA
        again = pickle.loads(pickle.dumps(place.store))
        assert again.url == place.store.url
        assert repr(again) == repr(place.store)
        assert again.read("k") == DATA


class StoreTests(ReadStoreTests):
    # put

    @pytest.mark.parametrize("size", SIZES)
    def test_put_stores_all_of_it(self, place: Place, size: int) -> None:
        fits(place, size)
        data = fill(size)
        assert place.store.put("dir/k", io.BytesIO(data)) is True
        assert place.peek("dir/k") == data

    @pytest.mark.parametrize("key", KEYS)
    def test_put_stores_under_any_key(self, place: Place, key: str) -> None:
        assert place.store.put(key, io.BytesIO(key.encode())) is True
        assert place.peek(key) == key.encode()
        assert place.store.read(key) == key.encode()
        assert [item.key for item in place.store.list()] == [key]
        place.store.delete(key)
        assert place.peek(key) is None

    @pytest.mark.parametrize("size", [3, 9 * MIB])
    def test_put_never_changes_what_exists(self, place: Place, size: int) -> None:
        place.plant("k", b"first")
        assert place.store.put("k", io.BytesIO(fill(size))) is False
        assert place.peek("k") == b"first"

    def test_put_begins_at_the_beginning_of_the_file(self, place: Place) -> None:
        data = io.BytesIO(DATA)
        data.seek(100)
        assert place.store.put("k", data)
        assert place.peek("k") == DATA

    def test_put_again_after_delete(self, place: Place) -> None:
        assert place.store.put("k", io.BytesIO(b"1"))
        place.store.delete("k")
        assert place.store.put("k", io.BytesIO(b"2"))
        assert place.peek("k") == b"2"

    @pytest.mark.parametrize("size", [4 * MIB, 40 * MIB])
    def test_nobody_sees_an_object_before_it_is_whole(
        self, place: Place, size: int
    ) -> None:
        fits(place, size)
        looked = 0

        def look() -> None:
            nonlocal looked
            looked += 1
            assert place.peek("k") is None
            assert list(place.store.list()) == []
            with pytest.raises(KeyMissing):
                place.store.read("k", 0, 1)

        data = fill(size)
        assert place.store.put("k", Slow(data, look))
        assert looked
        assert place.peek("k") == data

    @pytest.mark.parametrize("size", [10, 9 * MIB])
    def test_put_that_breaks_leaves_nothing(self, place: Place, size: int) -> None:
        place.plant("other", b"")
        with pytest.raises(OSError, match="the disk of the caller") as caught:
            place.store.put("k", Broken(fill(size)))
        assert not isinstance(caught.value, StoreError)
        assert place.everything() == {"other"}
        assert place.store.put("k", io.BytesIO(b"2"))

    @pytest.mark.parametrize("size", [1000, 9 * MIB])
    def test_of_sixteen_writers_one_creates(self, place: Place, size: int) -> None:
        barrier = threading.Barrier(16)

        def race(number: int) -> bool:
            data = bytes([number]) * min(size, place.largest)
            barrier.wait()
            return place.store.put("dir/k", io.BytesIO(data))

        with ThreadPoolExecutor(16) as pool:
            created = list(pool.map(race, range(16)))
        assert created.count(True) == 1
        winner = bytes([created.index(True)])
        assert place.peek("dir/k") == winner * min(size, place.largest)
        assert place.everything() == {"dir/k"}

    # list

    def test_put_makes_the_store(self, place: Place) -> None:
        if place.put_creates_store:
            assert place.gone is not None
            assert place.gone.put("k", io.BytesIO(b"1")) is True
            assert place.gone.read("k") == b"1"

    def test_an_empty_store_lists_nothing(self, place: Place) -> None:
        place.plant("k", b"")
        place.store.delete("k")
        assert list(place.store.list()) == []

    def test_list_says_size_and_time(self, place: Place) -> None:
        before = time.time()
        place.plant("k", DATA)
        (item,) = place.store.list()
        assert isinstance(item, Item)
        assert (item.key, item.size) == ("k", len(DATA))
        assert before - 60 < item.modified < time.time() + 60

    def test_list_is_ordered_by_key_across_folders(self, place: Place) -> None:
        keys = ["a-b", "a.b", "a/b", "a/c/d", "a0", "A", "b", "z/\u00e4", "\u00e4/z"]
        for key in reversed(keys):
            place.plant(key, b"")
        assert [item.key for item in place.store.list()] == sorted(keys)

    @pytest.mark.parametrize(
        "prefix",
        ["", "a", "a/", "a/b", "a/b/", "ab", "c", "a/bc", "a/b/c/d/e", "/", ".."],
    )
    def test_list_takes_any_beginning_of_a_key(self, place: Place, prefix: str) -> None:
        keys = ["a/b/c", "a/b/d", "a/bc", "ab", "b/a", "c"]
        for key in keys:
            place.plant(key, b"")
        found = [item.key for item in place.store.list(prefix)]
        assert found == [key for key in keys if key.startswith(prefix)]

    def test_list_leaves_out_what_is_no_key(self, place: Place) -> None:
        for name in (".tmp-0011", "a/.tmp-0022", ".claim-k", "a\\b", "k"):
            place.plant(name, b"")
        assert [item.key for item in place.store.list()] == ["k"]

    # delete

    def test_delete_deletes_one(self, place: Place) -> None:
        place.plant("k", b"1")
        place.plant("kk", b"2")
        place.store.delete("k")
        assert place.everything() == {"kk"}
        with pytest.raises(KeyMissing) as caught:
            place.store.delete("k")
        check_error(caught.value, place.store, "k")


class MutableStoreTests(StoreTests):
    def test_a_version_is_that_of_the_bytes_beside_it(self, place: Place) -> None:
        place.plant("dir/k", b"first")
        data, version = place.store.read_versioned("dir/k")
        assert (data, place.store.read_versioned("dir/k")) == (
            b"first",
            (data, version),
        )
        assert version
        assert isinstance(version, str)

    @pytest.mark.parametrize("size", [0, 3, 3_000_000])
    def test_a_version_comes_with_as_much_as_is_asked_for(
        self, place: Place, size: int
    ) -> None:
        place.plant("k", bytes(size))
        data, version = place.store.read_versioned("k")
        assert data == bytes(size)
        for end in (0, 2, 70_000):
            asked = place.store.read_versioned("k", end)
            assert asked == (bytes(min(size, end)), version)
        with pytest.raises(SettingsError):
            place.store.read_versioned("k", -1)

    def test_what_is_not_there_has_no_version(self, place: Place) -> None:
        place.plant("other", b"")
        with pytest.raises(KeyMissing) as caught:
            place.store.read_versioned("k")
        check_error(caught.value, place.store, "k")

    @pytest.mark.parametrize("data", [b"", b"second", b"x" * 100_000])
    def test_replace_what_was_read(self, place: Place, data: bytes) -> None:
        place.plant("dir/k", b"first")
        _, version = place.store.read_versioned("dir/k")
        assert place.store.replace("dir/k", data, version) is True
        assert place.peek("dir/k") == data
        again, changed = place.store.read_versioned("dir/k")
        assert again == data
        assert changed != version
        assert [item.key for item in place.store.list()] == ["dir/k"]

    def test_replace_what_has_changed_meanwhile(self, place: Place) -> None:
        place.plant("k", b"first")
        _, version = place.store.read_versioned("k")
        assert place.store.replace("k", b"second", version) is True
        assert place.store.replace("k", b"third", version) is False
        assert place.peek("k") == b"second"

    def test_replace_what_has_been_deleted_meanwhile(self, place: Place) -> None:
        place.plant("k", b"first")
        _, version = place.store.read_versioned("k")
        place.store.delete("k")
        assert place.store.replace("k", b"second", version) is False
        assert place.everything() == set()

    def test_replace_only_if_there_is_none(self, place: Place) -> None:
        assert place.store.replace("dir/k", b"first", None) is True
        for data in (b"second", b"first"):
            assert place.store.replace("dir/k", data, None) is False
        assert place.peek("dir/k") == b"first"

    @pytest.mark.parametrize("version", ["nobody's", "1", "", "0" * 64])
    def test_a_version_of_something_else(self, place: Place, version: str) -> None:
        place.plant("k", b"first")
        assert place.store.replace("k", b"second", version) is False
        assert place.store.replace("none", b"second", version) is False
        assert place.peek("k") == b"first"
        assert place.everything() == {"k"}

    def test_put_does_not_touch_what_replace_made(self, place: Place) -> None:
        assert place.store.replace("k", b"first", None)
        assert place.store.put("k", io.BytesIO(b"second")) is False
        assert place.store.read("k") == b"first"

    def test_no_change_of_many_writers_is_lost(self, place: Place) -> None:
        """Each of eight adds ten lines of its own, whatever the others do."""
        barrier = threading.Barrier(8)

        def write(number: int) -> None:
            barrier.wait()
            for line in range(10):
                while not self.add(place.store, f"{number}-{line}\n".encode()):
                    pass

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(8)))
        lines = (place.peek("dir/k") or b"").decode().split()
        assert sorted(lines) == sorted(f"{n}-{i}" for n in range(8) for i in range(10))
        assert place.everything() == {"dir/k"}

    @staticmethod
    def add(store: MutableStore, line: bytes) -> bool:
        try:
            data, version = store.read_versioned("dir/k")
        except KeyMissing:
            return store.replace("dir/k", line, None)
        return store.replace("dir/k", data + line, version)


def calls(store: Any, key: str) -> dict[str, Callable[[], object]]:
    """Return a call of every method that *store* has, by name."""
    every: dict[str, Callable[[], object]] = {
        "read": lambda: store.read(key),
        "download": lambda: store.download(key, io.BytesIO()),
        "put": lambda: store.put(key, io.BytesIO(b"1")),
        "delete": lambda: store.delete(key),
        "list": lambda: list(store.list()),
        "read_versioned": lambda: store.read_versioned(key),
        "replace": lambda: store.replace(key, b"1", None),
    }
    return {method: call for method, call in every.items() if hasattr(store, method)}


def check_error(error: StoreError, store: ReadStore, key: str | None) -> None:
    """The text says where and what, the attributes too, and both travel."""
    assert ".; " not in str(error)
    assert error.url == store.url
    assert error.key == key
    assert store.url in str(error)
    assert key is None or repr(key) in str(error)
    assert ";" in str(error)  # what to do follows it
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
    assert (again.url, again.key) == (error.url, error.key)
    assert again.retryable == error.retryable


class StoreMachine(RuleBasedStateMachine):
    """A store behaves as a dict does, one that keeps what it has.

    The subclass gives ``store``.
    """

    keys = st.sampled_from(["a", "b/c", "b/d", "b-c", "b/e/f", "g.h", "\u00e4/\u00e4"])
    contents = st.binary(max_size=300)
    store: MutableStore

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, bytes] = {}

    @rule(key=keys, data=contents)
    def put(self, key: str, data: bytes) -> None:
        created = self.store.put(key, io.BytesIO(data))
        assert created == (key not in self.model)
        self.model.setdefault(key, data)

    @rule(key=keys, start=st.integers(0, 320), length=st.none() | st.integers(0, 320))
    def read(self, key: str, start: int, length: int | None) -> None:
        end = None if length is None else start + length
        if key not in self.model:
            with pytest.raises(KeyMissing):
                self.store.read(key, start, end)
            return
        numbered = enumerate(self.model[key])
        expected = [b for i, b in numbered if i >= start and (end is None or i < end)]
        assert list(self.store.read(key, start, end)) == expected

    @rule(key=keys)
    def download(self, key: str) -> None:
        out: BinaryIO = io.BytesIO()
        if key not in self.model:
            with pytest.raises(KeyMissing):
                self.store.download(key, out)
            return
        assert self.store.download(key, out) == len(self.model[key])
        out.seek(0)
        assert out.read() == self.model[key]

    @rule(key=keys)
    def delete(self, key: str) -> None:
        if key not in self.model:
            with pytest.raises(KeyMissing):
                self.store.delete(key)
            return
        self.store.delete(key)
        del self.model[key]

    @rule(key=keys, data=contents)
    def change(self, key: str, data: bytes) -> None:
        if key not in self.model:
            assert not self.store.replace(key, data, "0" * 64)
            assert self.store.replace(key, data, None)
        else:
            there, version = self.store.read_versioned(key)
            assert there == self.model[key]
            assert not self.store.replace(key, data, None)
            assert self.store.replace(key, data, version)
        self.model[key] = data

    @rule(prefix=st.sampled_from(["", "b", "b/", "b/e", "b/e/f", "c", "\u00e4/"]))
    def list(self, prefix: str) -> None:
        expected = [
            (key, len(data))
            for key, data in sorted(self.model.items())
            if key.startswith(prefix)
        ]
        found = [(item.key, item.size) for item in self.store.list(prefix)]
        assert found == expected

    @rule()
    def reopen(self) -> None:
        self.store = pickle.loads(pickle.dumps(self.store))

    @invariant()
    def nothing_else_is_there(self) -> None:
        assert {item.key for item in self.store.list()} == set(self.model)
