"""Stores around stores: retrying and counting."""

from __future__ import annotations

import io
import pickle
import time
import uuid
from typing import Any

import pytest

from lazyimport.errors import (
    KeyMissing,
    SettingsError,
    StoreDenied,
    StoreError,
    StoreUnavailable,
)
from lazyimport.stores import mutable, writable
from lazyimport.stores.memory import MemoryStore
from lazyimport.stores.retry import retrying
from tests.stores.suite import MIB, MutableStoreTests, Place, calls
from tests.stores.test_memory import MemoryPlace
from tests.support.counting import counting
from tests.support.wrapped import wrap

ALL = ["read", "download", "put", "list", "delete", "read_versioned", "replace"]


class Faulty:
    """A policy: calls fail as often as ``failures`` holds errors for them.

    Those of ``after`` fail when all is done, as if the answer had been lost,
    and a download after ``cut`` bytes.
    """

    def __init__(self, *failures: StoreError, after: bool = False) -> None:
        self.failures = list(failures)
        self.after = after
        self.cut = 0
        self.calls = 0

    def call(self, store: Any, method: str, *arguments: Any) -> Any:
        self.calls += 1
        failure = self.failures.pop(0) if self.failures else None
        if method == "download" and failure and self.cut:
            key, out, start, _ = arguments
            out.write(store.read(key, start, start + self.cut))
        if failure and not self.after:
            raise failure
        answer = getattr(store, method)(*arguments)
        if method == "list" and failure:
            return self.broken(list(answer), failure)
        if failure:
            raise failure
        return answer

    def broken(self, items: list[Any], failure: StoreError) -> Any:
        yield items[0]
        raise failure


class RetryingPlace(MemoryPlace):
    largest = 2 * MIB

    def __init__(self) -> None:
        super().__init__()
        self.store = retrying(self.store, 5)


class CountingPlace(MemoryPlace):
    largest = 2 * MIB

    def __init__(self) -> None:
        super().__init__()
        self.store = counting(self.store)[0]


class TestRetryingStore(MutableStoreTests):
    @pytest.fixture
    def place(self) -> Place:
        return RetryingPlace()

    def test_the_url_opens_it_again(self, place: Place) -> None:
        assert place.store.url.startswith("memory://")


class TestCountingStore(TestRetryingStore):
    @pytest.fixture
    def place(self) -> Place:
        return CountingPlace()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(uuid.uuid4().hex)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


def away(text: str = "not now; later") -> StoreUnavailable:
    return StoreUnavailable(text, url="memory://x", key="k")


class Reading:
    """A store that can only be read."""

    def __init__(self, store: MemoryStore) -> None:
        self.url = store.url
        self.ranges = store.ranges
        self.read = store.read
        self.download = store.download


def test_a_wrapper_can_do_what_the_store_can(store: MemoryStore) -> None:
    assert mutable(retrying(store, 5)).replace("k", b"", None)
    reading = retrying(Reading(store), 5)
    with pytest.raises(SettingsError, match="can only be read"):
        writable(reading)
    assert pickle.loads(pickle.dumps(retrying(store, 5))).url == store.url


def test_a_key_may_be_given_by_its_name(store: MemoryStore) -> None:
    same = retrying(store, 5)
    assert same.replace(key="k", data=b"1", version=None)
    assert b"1" == same.read(key="k")
    assert b"1" == same.read_versioned(key="k")[0]
    assert ["k"] == [item.key for item in same.list(prefix="k")]
    same.delete(key="k")


class TestRetry:
    @pytest.mark.parametrize("method", ALL)
    def test_what_can_succeed_later_is_asked_again(
        self, store: MemoryStore, pauses: list[float], method: str
    ) -> None:
        if method not in {"put", "replace"}:
            store.replace("k", b"1", None)
        alike = MemoryStore(uuid.uuid4().hex)
        alike._objects.update(store._objects)
        expected = calls(alike, "k")[method]()
        faulty = Faulty(away(), away(), away())
        answer = calls(retrying(wrap(store, faulty), 60), "k")[method]()
        assert answer == expected
        assert len(pauses) == 3

    @pytest.mark.parametrize("method", ALL)
    @pytest.mark.parametrize("kind", [StoreDenied, StoreError, KeyMissing])
    def test_what_cannot_is_not(
        self,
        store: MemoryStore,
        pauses: list[float],
        method: str,
        kind: type[StoreError],
    ) -> None:
        faulty = Faulty(*[kind("no; never", url="u", key="k") for _ in range(9)])
        with pytest.raises(kind, match=r"^no; never$"):
            calls(retrying(wrap(store, faulty), 60), "k")[method]()
        assert (faulty.calls, pauses) == (1, [])

    def test_it_ends(self, store: MemoryStore, pauses: list[float]) -> None:
        faulty = Faulty(*[away() for _ in range(99)])
        with pytest.raises(StoreUnavailable, match=r"later \(tried 12") as caught:
            retrying(wrap(store, faulty), 600).read("k")
        assert (caught.value.url, caught.value.key) == ("memory://x", "k")
        assert faulty.calls == 12
        assert all(
            0 <= pause <= min(0.1 * 2**number, 10.0)
            for number, pause in enumerate(pauses)
        )
        assert len(set(pauses)) > 5  # no two nodes come back together

    def test_it_ends_in_time(
        self, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = [0.0]
        monkeypatch.setattr(time, "monotonic", lambda: clock[0])

        def sleep(seconds: float) -> None:
            clock[0] += 1.0 + seconds

        monkeypatch.setattr(time, "sleep", sleep)
        faulty = Faulty(*[away() for _ in range(99)])
        with pytest.raises(StoreUnavailable, match="tried"):
            retrying(wrap(store, faulty), 5.0).read("k")
        assert clock[0] <= 6.0

    def test_a_download_goes_on_where_it_broke_off(
        self, store: MemoryStore, pauses: list[float]
    ) -> None:
        """Every byte comes once, and what moves counts as progress."""
        data = bytes(range(256)) * 4
        store.put("k", io.BytesIO(data))
        faulty = Faulty(*[away() for _ in range(30)])
        faulty.cut = 30
        out = io.BytesIO()
        counted, counts = counting(wrap(store, faulty))
        assert retrying(counted, 600).download("k", out) == len(data)
        assert out.getvalue() == data
        assert counts.received == len(data)
        assert counts.calls == {"download": 31}

    def test_a_download_ends_that_has_more_than_was_asked_for(
        self, store: MemoryStore, pauses: list[float]
    ) -> None:
        store.put("k", io.BytesIO(b"a" * 90))

        class Generous(MemoryStore):
            def download(
                self, key: str, out: Any, start: int = 0, end: Any = None
            ) -> int:
                out.write(self.read(key, start))
                raise away()

        generous = Generous(store.url.rpartition("/")[2])
        assert retrying(generous, 5).download("k", io.BytesIO(), 0, 30) == 90

    def test_a_listing_goes_on_after_its_last_key(
        self, store: MemoryStore, pauses: list[float]
    ) -> None:
        for key in "abc":
            store.replace(key, b"", None)
        faulty = Faulty(away(), away(), after=True)
        found = retrying(wrap(store, faulty), 60).list()
        assert [item.key for item in found] == ["a", "b", "c"]

    def test_answers_that_got_lost(
        self, store: MemoryStore, pauses: list[float]
    ) -> None:
        def lossy() -> Any:
            return retrying(wrap(store, Faulty(away(), after=True)), 60)

        assert lossy().replace("k", b"1", None) is True
        assert lossy().replace("k", b"2", store.read_versioned("k")[1]) is True
        assert lossy().replace("k", b"3", "0") is False
        assert store.read("k") == b"2"
        assert lossy().delete("k") is None
        with pytest.raises(KeyMissing):
            store.delete("k")
        assert (
            lossy().put("k", io.BytesIO(b"1")) is False
        )  # it created it, all the same
        assert store.read("k") == b"1"


def test_counts(store: MemoryStore) -> None:
    counted, counts = counting(store)
    assert counted.put("a", io.BytesIO(b"12345"))
    assert not counted.put("a", io.BytesIO(b"123"))
    assert counted.replace("b", b"123", None)
    assert (counts.sent, counts.received) == (8, 0)
    counted.read("a", 1, 3)
    counted.download("a", io.BytesIO(), 1)
    counted.read_versioned("b")
    assert len(list(counted.list())) == 2
    with pytest.raises(KeyMissing):
        counted.read("c")
    counted.delete("a")
    assert (counts.sent, counts.received) == (8, 2 + 4 + 3)
    assert counts.calls == {
        "put": 2,
        "replace": 1,
        "read": 2,
        "download": 1,
        "read_versioned": 1,
        "list": 1,
        "delete": 1,
    }
