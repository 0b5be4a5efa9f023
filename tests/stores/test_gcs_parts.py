"""Uploads to Cloud Storage in parts, with its real library and our strict fake."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from lazyimport.errors import StoreDenied, StoreError, StoreMissing, StoreUnavailable
from lazyimport.registry.gc import collect
from lazyimport.registry.survey import Rules
from lazyimport.stores.gcs import GcsStore
from tests.stores.suite import MIB, check_error, fill

pytest.importorskip("google.cloud.storage", reason="needs the extra 'gcs'")

from tests.fakes.gcs import FakeGcs
from tests.fakes.gcs_parts import Parts

pytestmark = pytest.mark.gcs

#: Three parts, of which the last is smaller than any other may be.
DATA = fill(33 * MIB)
KEY, NAME = "blobs/k", "bucket/pre/blobs/k"
CREATE = "storage.multipartUploads.create"
WEEK = 7 * 86400


@pytest.fixture
def store(fake: FakeGcs) -> GcsStore:
    return GcsStore("bucket", "pre")


def put(store: GcsStore, data: bytes = DATA) -> bool:
    return store.put_in_parts(KEY, io.BytesIO(data), 4)


def test_parts_go_up_at_once_and_become_the_object(
    fake: FakeGcs, store: GcsStore
) -> None:
    """The service gets a second part before it has answered the first."""
    both = threading.Barrier(2, timeout=20)
    arrived = fake.parts_send

    def wait(request: Any) -> Any:
        if request.query["partNumber"] != "3":
            fake.lock.release()  # held by the one who calls
            both.wait()
            fake.lock.acquire()
        return arrived(request)

    fake.parts_send = wait  # type: ignore[method-assign]

    assert put(store) is True

    assert fake.objects[NAME] == DATA
    assert not fake.in_parts
    assert fake.requests == {
        "object.get": 3,  # before, before it is finished, and afterwards
        "parts.list": 1,
        "parts.start": 1,
        "parts.send": 3,
        "parts.finish": 1,
    }


def test_what_is_small_goes_up_under_a_condition(
    fake: FakeGcs, store: GcsStore
) -> None:
    assert put(store, DATA[: 16 * MIB])
    assert fake.objects[NAME] == DATA[: 16 * MIB]
    assert {name.partition(".")[0] for name in fake.requests} == {"upload"}


def test_what_exists_is_not_sent(fake: FakeGcs, store: GcsStore) -> None:
    fake.objects[NAME] = b"first"
    assert put(store) is False
    assert fake.objects[NAME] == b"first"
    assert fake.requests == {"object.get": 1}


@pytest.mark.parametrize("may_cancel", [True, False])
def test_what_others_made_meanwhile_is_not_written_again(
    fake: FakeGcs, store: GcsStore, may_cancel: bool
) -> None:
    """It is there, whatever becomes of the parts: a collection finds them too."""
    if not may_cancel:
        fake.denied.add("storage.multipartUploads.abort")

    class Data(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            fake.objects[NAME] = DATA
            return super().read(size)

    assert store.put_in_parts(KEY, Data(DATA), 4) is False

    assert fake.requests["parts.finish"] == 0
    assert bool(fake.in_parts) is not may_cancel


def test_what_may_not_be_written_again_is_there(fake: FakeGcs, store: GcsStore) -> None:
    """Others have made it at the last moment, and this user may only create."""
    fake.denied.add("storage.objects.delete")
    finish = fake.parts_finish

    def late(request: Any) -> Any:
        fake.objects[NAME] = DATA
        return finish(request)

    fake.parts_finish = late  # type: ignore[method-assign]

    assert put(store) is False
    assert fake.objects[NAME] == DATA
    assert not fake.in_parts


class TestFaults:
    @pytest.mark.parametrize("status", [0, 408, 429, 500, 503])
    @pytest.mark.parametrize("only", ["parts.start", "parts.send", "parts.finish"])
    def test_what_may_pass_is_tried_again(
        self, fake: FakeGcs, store: GcsStore, only: str, status: int
    ) -> None:
        fake.fail(1, status, only=only)
        assert put(store) is True
        assert fake.objects[NAME] == DATA
        expected = {"parts.start": 1, "parts.send": 3, "parts.finish": 1}
        expected[only] += 1
        assert {name: fake.requests[name] for name in expected} == expected

    @pytest.mark.parametrize("at", [0, 1, 5 * MIB])
    def test_only_the_part_that_broke_off_is_sent_again(
        self, fake: FakeGcs, store: GcsStore, at: int
    ) -> None:
        fake.break_off(at=at)
        assert put(store) is True
        assert fake.objects[NAME] == DATA
        assert fake.requests["parts.send"] == 4
        assert fake.received == len(DATA)

    def test_only_the_part_that_was_damaged_is_sent_again(
        self, fake: FakeGcs, store: GcsStore
    ) -> None:
        fake.damage(only="parts.send")
        assert put(store) is True
        assert fake.objects[NAME] == DATA
        assert fake.requests["parts.send"] == 4

    @pytest.mark.parametrize("status", [0, 503])
    @pytest.mark.parametrize("only", ["parts.send", "parts.finish"])
    def test_an_answer_that_got_lost(
        self, fake: FakeGcs, store: GcsStore, only: str, status: int
    ) -> None:
        fake.lose(1, status, only=only)
        assert put(store) is True
        assert fake.objects[NAME] == DATA
        assert not fake.in_parts

    def test_what_is_stored_damaged_is_not_left(
        self, fake: FakeGcs, store: GcsStore
    ) -> None:
        fake._faults.append(_rot("parts.finish"))
        with pytest.raises(StoreError, match="damaged on the way") as caught:
            put(store)
        assert caught.value.retryable
        check_error(caught.value, store, KEY)
        assert not fake.objects
        assert put(store) is True

    @pytest.mark.parametrize("only", ["parts.start", "parts.send", "parts.finish"])
    def test_until_the_time_is_up(self, fake: FakeGcs, only: str) -> None:
        store = GcsStore("bucket", "pre", timeout=0.4)
        fake.fail(1000, 503, only=only)
        with pytest.raises(StoreUnavailable, match="internal error") as caught:
            put(store)
        check_error(caught.value, store, KEY)
        assert not fake.objects
        assert not fake.in_parts

    def test_an_upload_that_was_dropped(self, fake: FakeGcs, store: GcsStore) -> None:
        """As a lifecycle rule may do."""

        class Data(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                fake.in_parts.clear()
                return super().read(size)

        with pytest.raises(StoreUnavailable, match="upload was not found") as caught:
            store.put_in_parts(KEY, Data(DATA), 4)
        assert "404, NoSuchUpload: The requested" in str(caught.value)
        check_error(caught.value, store, KEY)

    @pytest.mark.parametrize("failure", [OSError, KeyboardInterrupt])
    def test_the_callers_own_errors_pass(
        self, fake: FakeGcs, store: GcsStore, failure: type[BaseException]
    ) -> None:
        class Data(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                if self.tell():
                    raise failure("mine")
                return super().read(size)

        with pytest.raises(failure, match="mine"):
            store.put_in_parts(KEY, Data(DATA), 4)
        assert not fake.objects
        assert not fake.in_parts


class TestRefusals:
    @pytest.mark.parametrize("why", ["emulator", "role"])
    def test_who_may_not_send_parts_sends_it_in_a_row(
        self, fake: FakeGcs, store: GcsStore, why: str
    ) -> None:
        if why == "role":
            fake.denied.add(CREATE)
        else:
            fake.xml = False
        assert put(store) is True
        assert fake.objects[NAME] == DATA
        assert fake.requests["upload.piece"] == 3

    def test_what_lists_no_uploads_may_still_take_one(
        self, fake: FakeGcs, store: GcsStore
    ) -> None:
        fake.fail(status=501, only="parts.list")
        assert put(store) is True
        assert fake.objects[NAME] == DATA
        assert not fake.requests["upload.piece"]

    def test_no_permission(self, fake: FakeGcs, store: GcsStore) -> None:
        fake.denied |= {CREATE, "storage.objects.create"}
        with pytest.raises(StoreDenied, match=r"roles/storage\.object") as caught:
            put(store)
        check_error(caught.value, store, KEY)

    def test_no_bucket(self, fake: FakeGcs) -> None:
        with pytest.raises(StoreMissing):
            put(GcsStore("gone"))


#: Sends a file in parts, and tells when one has arrived.
SENDER = """
import sys
from lazyimport.stores import open_store
with open(sys.argv[1], "rb") as file:
    open_store("gs://bucket/pre").put_in_parts("blobs/k", file, 2)
"""


class TestKilled:
    @pytest.fixture
    def killed(self, fake: FakeGcs, tmp_path: Path) -> FakeGcs:
        """A service to which somebody was sending when they were killed."""
        (tmp_path / "data").write_bytes(DATA)
        command = [sys.executable, "-c", SENDER, str(tmp_path / "data")]
        fake.hang(only="parts.send")
        with subprocess.Popen(command, env={**os.environ}) as sender:
            deadline = time.monotonic() + 60
            while fake.requests["parts.send"] < 3:
                assert sender.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            sender.send_signal(signal.SIGKILL)
        assert len(fake.in_parts) == 1
        return fake

    def test_nobody_takes_parts_for_the_object(
        self, killed: FakeGcs, store: GcsStore
    ) -> None:
        assert not list(store.list())
        assert put(store) is True
        assert killed.objects[NAME] == DATA

    def test_what_they_have_sent_is_not_sent_again(
        self, killed: FakeGcs, store: GcsStore
    ) -> None:
        """However many pages name it."""
        killed.parts_page = 1
        (left,) = killed.in_parts.values()
        sent = sum(map(len, left.parts.values()))
        assert sent >= 16 * MIB
        before = killed.received

        assert put(store) is True

        assert killed.objects[NAME] == DATA
        assert killed.received - before == len(DATA) - sent
        assert not killed.in_parts

    @pytest.mark.parametrize("what", ["other bytes", "fewer bytes", "too old"])
    def test_what_cannot_be_gone_on_with_stays_and_another_begins(
        self, killed: FakeGcs, store: GcsStore, what: str
    ) -> None:
        (left,) = killed.in_parts.values()
        number, data = next(iter(left.parts.items()))
        if what == "too old":  # a collection may be about to remove it
            left.begun -= WEEK / 2
        else:
            new = data[1:] if what == "fewer bytes" else data[:-1] + b"?"
            left.parts = {number: new}
        assert put(store) is True
        assert killed.objects[NAME] == DATA
        assert [*killed.in_parts.values()] == [left]

    @pytest.mark.parametrize("why", ["list", "listParts"])
    def test_who_may_not_ask_begins(
        self, killed: FakeGcs, store: GcsStore, why: str
    ) -> None:
        killed.denied.add(f"storage.multipartUploads.{why}")
        assert put(store) is True
        assert killed.objects[NAME] == DATA
        assert len(killed.in_parts) == 1

    @pytest.mark.parametrize("end", ["finished", "removed"])
    def test_they_live_all_the_same(
        self, killed: FakeGcs, store: GcsStore, end: str
    ) -> None:
        """And end their upload while somebody else goes on with it."""

        class Data(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                if self.tell() > 17 * MIB and ended.acquire(blocking=False):
                    with killed.lock:
                        killed.in_parts.clear()
                        if end == "finished":
                            killed.objects[NAME] = DATA
                return super().read(size)

        ended = threading.Semaphore(1)
        made = store.put_in_parts(KEY, Data(DATA), 4)
        assert (made, killed.objects[NAME]) == (end == "removed", DATA)
        assert not killed.in_parts

    def test_gc_removes_them_when_nobody_can_go_on(
        self, killed: FakeGcs, store: GcsStore
    ) -> None:
        (left,) = killed.in_parts.values()
        assert collect(store, Rules(older_than=0), "me").leftovers == 0
        assert killed.in_parts
        left.begun -= WEEK + 2 * 3600

        assert collect(store, Rules(older_than=0), "me").leftovers == 1

        assert not killed.in_parts

    def test_gc_asks_for_them_once(self, killed: FakeGcs, store: GcsStore) -> None:
        before = killed.requests["parts.list"]
        collect(store, Rules(older_than=0), "me")
        assert killed.requests["parts.list"] == before + 1


class TestSweep:
    def test_pages_and_names(self, fake: FakeGcs, store: GcsStore) -> None:
        names = ["pre/blobs/a&b <c>", "pre/blobs/a", "pre/blobs", "other/blobs/x"]
        for number, name in enumerate([*names, *names]):
            fake.in_parts[f"id/{number}=="] = Parts("bucket", name, "", 1000.25)
        fake.parts_page = 1

        folders = ["archives/", "blobs/"]
        assert not store.sweep(folders, 1000.25 + WEEK, dry_run=True)
        shown = store.sweep(folders, 1000.5 + WEEK, dry_run=True)
        assert len(fake.in_parts) == 8
        assert store.sweep(folders, 1000.5 + WEEK) == shown

        assert sorted(shown) == sorted(f"gs://bucket/{name}" for name in names[:2] * 2)
        left = {upload.name for upload in fake.in_parts.values()}
        assert left == {"pre/blobs", "other/blobs/x"}

    @pytest.mark.parametrize("why", ["emulator", "role"])
    def test_where_nobody_may_ask_nothing_is_found(
        self, fake: FakeGcs, store: GcsStore, why: str
    ) -> None:
        fake.in_parts["id"] = Parts("bucket", "pre/blobs/a", "", 0.0)
        if why == "role":
            fake.denied.add("storage.multipartUploads.list")
        else:
            fake.xml = False
        assert not store.sweep(["blobs/"], time.time())


def _rot(only: str) -> Any:
    from tests.fakes.gcs import Fault

    return Fault("rot", 1, only)
