"""The store in Google Cloud Storage, with its real library and our strict fake."""

from __future__ import annotations

import gc
import io
import json
import os
import subprocess
import sys
import threading
from typing import Any

import pytest
from hypothesis import settings

from lazyimport.errors import (
    KeyMissing,
    StoreDenied,
    StoreError,
    StoreMissing,
    StoreUnavailable,
)
from lazyimport.stores import open_store
from lazyimport.stores.gcs import GcsStore
from tests.stores.suite import (
    MIB,
    MutableStoreTests,
    Place,
    StoreMachine,
    calls,
    check_error,
    download,
    fill,
)

pytest.importorskip("google.cloud.storage", reason="needs the extra 'gcs'")

from tests.fakes.gcs import FakeGcs
from tests.fakes.services import Portal, web_server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Account = Callable[[str], None]

pytestmark = pytest.mark.gcs

ALL = ["read", "download", "put", "delete", "list"]
#: The operation of the service that each method is.
OPERATION = {
    "read": "object.media",
    "download": "object.media",
    "put": "object.insert",
    "delete": "object.delete",
    "list": "object.list",
}


class GcsPlace(Place):
    def __init__(self, fake: FakeGcs, prefix: str = "") -> None:
        self.fake = fake
        self.root = f"bucket/{prefix}/" if prefix else "bucket/"
        self.store = GcsStore("bucket", prefix)
        self.gone = GcsStore("gone", prefix)

    def plant(self, key: str, data: bytes) -> None:
        self.fake.objects[self.root + key] = data

    def peek(self, key: str) -> bytes | None:
        return self.fake.objects.get(self.root + key)

    def everything(self) -> set[str]:
        return {path.removeprefix(self.root) for path in self.fake.objects}


@pytest.fixture
def store(fake: FakeGcs) -> GcsStore:
    return GcsStore("bucket", "pre/fix")


@pytest.fixture
def hasty(fake: FakeGcs) -> GcsStore:
    """A store that gives up at once."""
    return GcsStore("bucket", "pre/fix", timeout=0.4)


class TestGcsStore(MutableStoreTests):
    @pytest.fixture
    def place(self, fake: FakeGcs) -> Place:
        return GcsPlace(fake, "pre/fix")


class GcsMachine(StoreMachine):
    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeGcs().__enter__()
        self.before = os.environ.get("STORAGE_EMULATOR_HOST")
        os.environ["STORAGE_EMULATOR_HOST"] = self.fake.url
        self.store = GcsStore("bucket", "pre")

    def teardown(self) -> None:
        del os.environ["STORAGE_EMULATOR_HOST"]
        if self.before is not None:
            os.environ["STORAGE_EMULATOR_HOST"] = self.before
        self.fake.__exit__()


GcsMachine.TestCase.settings = settings(
    max_examples=12, stateful_step_count=20, deadline=None
)


TestGcsModel = GcsMachine.TestCase


class TestNames:
    def test_a_prefix_is_a_folder(self, fake: FakeGcs, store: GcsStore) -> None:
        for path in ("pre/fix/k", "pre/fixed", "pre/fix", "other", "pre/fix/", "k"):
            fake.objects[f"bucket/{path}"] = b""
        assert [item.key for item in store.list()] == ["k"]
        assert store.put("new", io.BytesIO(b"1"))
        assert fake.objects["bucket/pre/fix/new"] == b"1"

    def test_no_prefix(self, fake: FakeGcs) -> None:
        store = GcsStore("bucket")
        assert store.put("a/k", io.BytesIO(b"1"))
        assert fake.objects["bucket/a/k"] == b"1"
        assert [item.key for item in store.list("a")] == ["a/k"]
        assert store.read("a/k") == b"1"
        store.delete("a/k")
        assert not fake.objects

    @pytest.mark.parametrize(
        ("url", "bucket", "prefix"),
        [
            ("gs://b", "b", ""),
            ("gs://b/", "b", ""),
            ("GS://b.c-d_e/p", "b.c-d_e", "p"),
            ("gs://b/p/q/", "b", "p/q"),
            ("gs://b/p%20 ?#", "b", "p%20 ?#"),
        ],
    )
    def test_url(self, url: str, bucket: str, prefix: str) -> None:
        store = open_store(url, timeout=7)
        assert isinstance(store, GcsStore)
        assert (store.bucket, store.prefix, store.timeout) == (bucket, prefix, 7)
        again = open_store(store.url)
        assert isinstance(again, GcsStore)
        assert (again.bucket, again.prefix) == (bucket, prefix)

    def test_pages(self, fake: FakeGcs, store: GcsStore) -> None:
        keys = [f"dir/{number:02}" for number in range(25)]
        for key in keys:
            fake.objects[f"bucket/pre/fix/{key}"] = b""
        fake.page = 10
        assert [item.key for item in store.list("dir/")] == keys
        assert fake.requests == {"object.list": 3}


class TestOneRequest:
    """What must be quick asks once."""

    @pytest.mark.parametrize("method", ALL)
    def test_each_method(self, fake: FakeGcs, store: GcsStore, method: str) -> None:
        if method != "put":
            fake.objects["bucket/pre/fix/k"] = b"12"
        calls(store, "k")[method]()
        assert fake.requests == {OPERATION[method]: 1}

    def test_a_large_object_goes_up_in_pieces(
        self, fake: FakeGcs, store: GcsStore
    ) -> None:
        assert store.put("k", io.BytesIO(fill(40 * MIB)))
        assert fake.requests == {"upload.start": 1, "upload.piece": 3}
        assert fake.received == 40 * MIB

    def test_what_exists_is_not_sent(self, fake: FakeGcs, store: GcsStore) -> None:
        fake.objects["bucket/pre/fix/k"] = b""
        assert not store.put("k", io.BytesIO(fill(40 * MIB)))
        assert fake.received == 0

    def test_the_service_may_look_at_the_condition_last(
        self, fake: FakeGcs, store: GcsStore
    ) -> None:
        fake.objects["bucket/pre/fix/k"] = b"first"
        fake.conditions_at_start = False
        assert not store.put("k", io.BytesIO(fill(40 * MIB)))
        assert fake.objects["bucket/pre/fix/k"] == b"first"

    def test_a_range_brings_no_more(self, fake: FakeGcs, store: GcsStore) -> None:
        fake.objects["bucket/pre/fix/k"] = fill(MIB)
        store.read("k", 1000, 1100)
        assert fake.sent == 100


class TestReplacing:
    @pytest.mark.parametrize("status", [0, 503])
    def test_an_answer_that_got_lost(
        self, fake: FakeGcs, store: GcsStore, status: int
    ) -> None:
        """The repeated request is refused, because the first one succeeded."""
        fake.lose(1, status, only="object.insert")
        assert store.replace("k", b"first", None) is True
        fake.lose(1, status, only="object.insert")
        assert store.replace("k", b"second", store.read_versioned("k")[1]) is True
        assert store.read("k") == b"second"

    def test_somebody_else_was_first_while_the_answer_got_lost(
        self, fake: FakeGcs, store: GcsStore
    ) -> None:
        assert store.replace("k", b"first", None)
        version = store.read_versioned("k")[1]
        fake.objects["bucket/pre/fix/k"] = b"another"
        fake.fail(1, 503, only="object.insert")
        assert store.replace("k", b"second", version) is False
        assert store.read("k") == b"another"


class TestRetries:
    @pytest.mark.parametrize("status", [0, 408, 429, 500, 502, 503, 504])
    @pytest.mark.parametrize("method", ALL)
    def test_what_may_pass_is_tried_again(
        self, fake: FakeGcs, store: GcsStore, method: str, status: int
    ) -> None:
        if method != "put":
            fake.objects["bucket/pre/fix/k"] = b"12"
        fake.fail(1, status)
        calls(store, "k")[method]()
        assert fake.requests == {OPERATION[method]: 2}

    @pytest.mark.parametrize("method", ALL)
    def test_until_the_time_is_up(
        self, fake: FakeGcs, hasty: GcsStore, method: str
    ) -> None:
        fake.fail(1000, 503)
        # Releases before 3.0 raise the last answer of an upload.
        with pytest.raises(StoreUnavailable, match=r"gave up|answered 503") as caught:
            calls(hasty, "k")[method]()
        assert "internal error" in str(caught.value)
        assert "LAZYIMPORT_TIMEOUT" in str(caught.value)
        assert caught.value.retryable
        check_error(caught.value, hasty, None if method == "list" else "k")

    @pytest.mark.parametrize("method", ALL)
    def test_no_answer(self, fake: FakeGcs, hasty: GcsStore, method: str) -> None:
        fake.hang(1000)
        with pytest.raises(StoreUnavailable) as caught:
            calls(hasty, "k")[method]()
        check_error(caught.value, hasty, None if method == "list" else "k")

    @pytest.mark.parametrize("method", ALL)
    def test_nobody_listens(self, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
        with FakeGcs() as fake:
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        store = GcsStore("bucket", timeout=0.4)
        with pytest.raises(StoreUnavailable, match="refused") as caught:
            calls(store, "k")[method]()
        check_error(caught.value, store, None if method == "list" else "k")

    @pytest.mark.parametrize("method", ["read", "download"])
    def test_an_answer_that_drips(
        self, fake: FakeGcs, hasty: GcsStore, method: str
    ) -> None:
        """Bytes keep coming, so no timeout of the library ever strikes."""
        fake.objects["bucket/pre/fix/k"] = b"x" * 1_000_000
        fake.drip(seconds=0.01)
        with pytest.raises(StoreUnavailable, match="came within") as caught:
            calls(hasty, "k")[method]()
        check_error(caught.value, hasty, "k")

    @pytest.mark.parametrize("at", [0, 1, 100_000, 999_999])
    def test_a_download_goes_on_where_it_broke(
        self, fake: FakeGcs, store: GcsStore, at: int
    ) -> None:
        data = fill(1_000_000)
        fake.objects["bucket/pre/fix/k"] = data
        fake.truncate(at=at)
        assert download(store, "k") == data
        assert fake.requests["object.media"] == 2

    def test_a_range_goes_on_where_it_broke(
        self, fake: FakeGcs, store: GcsStore
    ) -> None:
        data = fill(1_000_000)
        fake.objects["bucket/pre/fix/k"] = data
        fake.truncate(2, at=100_000)
        assert store.read("k", 500_000, 900_000) == data[500_000:900_000]

    def test_replaced_while_it_was_read(self, fake: FakeGcs, store: GcsStore) -> None:
        """What was begun with one generation does not go on with another."""
        fake.objects["bucket/pre/fix/k"] = fill(1_000_000)
        fake.truncate(at=500_000)

        class Out(io.BytesIO):
            def write(self, data: Any, /) -> int:
                fake.objects["bucket/pre/fix/k"] = bytes(1_000_000)
                return super().write(data)

        with pytest.raises(KeyMissing):
            store.download("k", Out())

    @pytest.mark.parametrize("size", [10, 9 * MIB])
    def test_a_create_whose_answer_got_lost(
        self, fake: FakeGcs, store: GcsStore, size: int
    ) -> None:
        """The object is whole; who created it is not known, which is harmless."""
        fake.lose(only="object.insert")
        fake.lose(only="upload.piece")
        created = store.put("k", io.BytesIO(fill(size)))
        assert created is (size > 10)  # an upload in pieces knows its own
        assert fake.objects["bucket/pre/fix/k"] == fill(size)

    def test_a_delete_whose_answer_got_lost(
        self, fake: FakeGcs, store: GcsStore
    ) -> None:
        fake.objects["bucket/pre/fix/k"] = b""
        fake.lose(only="object.delete")
        with pytest.raises(KeyMissing):
            store.delete("k")
        assert not fake.objects

    @pytest.mark.parametrize("status", [0, 503])
    def test_an_upload_goes_on_after_a_lost_answer(
        self, fake: FakeGcs, store: GcsStore, status: int
    ) -> None:
        data = fill(40 * MIB)
        fake.lose(2, status, only="upload.piece")
        fake.fail(1, status, only="upload.start")
        assert store.put("k", io.BytesIO(data))
        assert fake.objects["bucket/pre/fix/k"] == data

    def test_an_upload_of_which_less_was_kept(
        self, fake: FakeGcs, store: GcsStore
    ) -> None:
        fake.keep_less()
        with pytest.raises(StoreUnavailable, match="lost its place") as caught:
            store.put("k", io.BytesIO(fill(40 * MIB)))
        check_error(caught.value, store, "k")
        assert not fake.objects
        assert store.put("k", io.BytesIO(fill(40 * MIB)))

    @pytest.mark.parametrize("status", [404, 410])
    def test_an_upload_that_was_dropped(
        self, fake: FakeGcs, store: GcsStore, status: int
    ) -> None:
        fake.fail(1, status, only="upload.piece")
        with pytest.raises(StoreUnavailable) as caught:
            store.put("k", io.BytesIO(fill(9 * MIB)))
        check_error(caught.value, store, "k")


class TestChecksums:
    @pytest.mark.parametrize("hashes", [True, False])
    @pytest.mark.parametrize("method", ["read", "download"])
    def test_a_damaged_download(
        self, fake: FakeGcs, store: GcsStore, method: str, hashes: bool
    ) -> None:
        fake.objects["bucket/pre/fix/k"] = fill(100_000)
        fake.hashes = hashes
        fake.corrupt()
        with pytest.raises(StoreError, match="damaged on the way") as caught:
            calls(store, "k")[method]()
        assert type(caught.value) is StoreError
        assert caught.value.retryable
        check_error(caught.value, store, "k")
        calls(store, "k")[method]()
        assert fake.requests["object.get"] == (0 if hashes else 2)

    def test_damaged_before_it_broke(self, fake: FakeGcs, store: GcsStore) -> None:
        """The library does not check what came in two answers."""
        fake.objects["bucket/pre/fix/k"] = fill(100_000)
        fake.corrupt()
        fake.truncate(at=90_000)
        with pytest.raises(StoreError, match="damaged on the way") as caught:
            download(store, "k")
        assert fake.requests["object.media"] == 2
        assert caught.value.retryable

    @pytest.mark.parametrize("size", [10, 9 * MIB])
    def test_a_damaged_upload(self, fake: FakeGcs, store: GcsStore, size: int) -> None:
        fake.damage()
        with pytest.raises(StoreError, match="damaged on the way") as caught:
            store.put("k", io.BytesIO(fill(size)))
        assert type(caught.value) is StoreError
        assert caught.value.retryable
        check_error(caught.value, store, "k")
        assert not fake.objects
        assert store.put("k", io.BytesIO(fill(size)))

    def test_an_upload_that_was_stored_damaged(
        self, fake: FakeGcs, store: GcsStore
    ) -> None:
        """The service says what it has; the library deletes that."""
        fake.rot()
        with pytest.raises(StoreError, match="damaged on the way") as caught:
            store.put("k", io.BytesIO(fill(9 * MIB)))
        assert caught.value.retryable
        check_error(caught.value, store, "k")
        assert not fake.objects

    @pytest.mark.parametrize(("start", "end"), [(5, 9), (5, None), (0, 9)])
    def test_the_whole_object_in_place_of_a_range(
        self, fake: FakeGcs, hasty: GcsStore, start: int, end: int | None
    ) -> None:
        """As a proxy may send it: not to be taken for the range."""
        fake.objects["bucket/pre/fix/k"] = b"0123456789"
        fake.ranges = False
        with pytest.raises(StoreUnavailable, match="whole object") as caught:
            hasty.read("k", start, end)
        check_error(caught.value, hasty, "k")


class TestRefusals:
    @pytest.mark.parametrize("method", ALL)
    def test_no_permission(self, fake: FakeGcs, store: GcsStore, method: str) -> None:
        fake.denied = {
            "storage.objects.create",
            "storage.objects.delete",
            "storage.objects.get",
            "storage.objects.list",
        }
        with pytest.raises(StoreDenied, match=r"roles/storage\.object") as caught:
            calls(store, "k")[method]()
        assert "tester@example.com does not have storage.objects." in str(caught.value)
        check_error(caught.value, store, None if method == "list" else "k")

    @pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
    @pytest.mark.parametrize("method", ALL)
    def test_nobody(self, fake: FakeGcs, store: GcsStore, method: str) -> None:
        fake.anonymous = True
        with pytest.raises(StoreDenied, match="gcloud auth") as caught:
            calls(store, "k")[method]()
        assert "workload identity" in str(caught.value)
        check_error(caught.value, store, None if method == "list" else "k")
        # google-auth forgets the connection when it cannot refresh credentials.
        del caught
        gc.collect()

    @pytest.mark.parametrize("method", ALL)
    def test_what_has_no_name(
        self, fake: FakeGcs, store: GcsStore, method: str
    ) -> None:
        fake.fail(1, 418)
        with pytest.raises(StoreError, match="answered 418") as caught:
            calls(store, "k")[method]()
        assert type(caught.value) is StoreError
        assert not caught.value.retryable
        check_error(caught.value, store, None if method == "list" else "k")

    @pytest.mark.parametrize(
        ("bucket", "denied", "kind"),
        [
            ("bucket", "", KeyMissing),
            ("gone", "", StoreMissing),
            ("bucket", "storage.objects.list", KeyMissing),
        ],
    )
    def test_a_404_in_other_words(
        self, fake: FakeGcs, bucket: str, denied: str, kind: type[StoreError]
    ) -> None:
        """As emulators and proxies have them."""
        store = GcsStore(bucket)
        fake.denied = {denied}
        fake.fail(1, 404, only="object.media")
        with pytest.raises(kind) as caught:
            store.read("k")
        check_error(caught.value, store, "k")

    def test_an_address_that_makes_no_sense(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", "ftp://127.0.0.1:1")
        with pytest.raises(StoreError, match="STORAGE_EMULATOR_HOST") as caught:
            GcsStore("bucket", timeout=0.4).read("k")
        assert not caught.value.retryable


class TestCredentials:
    """Without STORAGE_EMULATOR_HOST the library looks for real ones."""

    @pytest.fixture(autouse=True)
    def _nowhere(
        self, fake: FakeGcs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.delenv("STORAGE_EMULATOR_HOST")
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        monkeypatch.setenv("API_ENDPOINT_OVERRIDE", fake.url)
        monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "nothing"))
        monkeypatch.setenv("NO_GCE_CHECK", "true")
        # google-auth asks Google about service accounts, in a thread of its own.
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")

    @pytest.mark.parametrize("method", ALL)
    def test_none(self, method: str) -> None:
        store = GcsStore("bucket", timeout=2)
        with pytest.raises(StoreDenied, match="credentials") as caught:
            calls(store, "k")[method]()
        assert "gcloud auth application-default login" in str(caught.value)
        assert "workload identity" in str(caught.value)
        check_error(caught.value, store, None if method == "list" else "k")

    @pytest.mark.parametrize("content", [None, "", "no json", "{}", '{"type": "x"}'])
    def test_a_file_that_makes_no_sense(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
    ) -> None:
        path = tmp_path / "credentials.json"
        if content is not None:
            path.write_text(content)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
        with pytest.raises(StoreDenied, match=r"credentials\.json"):
            GcsStore("bucket", timeout=2).read("k")

    def test_a_folder_as_a_file(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path))
        with pytest.raises(StoreDenied):
            GcsStore("bucket", timeout=2).read("k")

    @pytest.fixture
    def account(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Account:
        """Log in as a service account whose tokens come from the given URL."""
        if not hasattr(sys.modules["google.cloud.storage"].Client, "api_endpoint"):
            pytest.skip("this release would take the tokens to the real service")
        rsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.rsa")
        from cryptography.hazmat.primitives import serialization

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        content = {
            "type": "service_account",
            "client_email": "robot@example.com",
            "private_key_id": "1",
            "private_key": key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ).decode(),
        }
        path = tmp_path / "account.json"
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))

        def log_in(token_uri: str) -> None:
            path.write_text(json.dumps({**content, "token_uri": token_uri}))

        return log_in

    def test_good_ones(self, fake: FakeGcs, account: Account) -> None:
        fake.objects["bucket/k"] = b"1"
        account(f"{fake.url}/token")
        assert GcsStore("bucket", timeout=2).read("k") == b"1"
        assert fake.requests == {"token": 1, "object.media": 1}

    @pytest.mark.parametrize("method", ALL)
    def test_refused_by_the_store(
        self, fake: FakeGcs, account: Account, method: str
    ) -> None:
        fake.anonymous = True
        account(f"{fake.url}/token")
        store = GcsStore("bucket", timeout=2)
        with pytest.raises(StoreDenied, match="answered 401") as caught:
            calls(store, "k")[method]()
        assert "gcloud auth" in str(caught.value)
        check_error(caught.value, store, None if method == "list" else "k")

    @pytest.mark.parametrize("method", ALL)
    def test_refused_by_the_token_server(
        self, fake: FakeGcs, account: Account, method: str
    ) -> None:
        fake.fail(100, 400, only="token")
        account(f"{fake.url}/token")
        store = GcsStore("bucket", timeout=2)
        with pytest.raises(StoreDenied, match="gcloud auth") as caught:
            calls(store, "k")[method]()
        check_error(caught.value, store, None if method == "list" else "k")

    def test_a_token_server_in_trouble(self, fake: FakeGcs, account: Account) -> None:
        fake.fail(100, 503, only="token")
        account(f"{fake.url}/token")
        store = GcsStore("bucket", timeout=0.4)
        with pytest.raises(StoreUnavailable) as caught:
            store.read("k")
        check_error(caught.value, store, "k")

    def test_no_token_server(self, account: Account) -> None:
        with FakeGcs() as closed:
            url = closed.url
        account(f"{url}/token")
        store = GcsStore("bucket", timeout=0.4)
        with pytest.raises(StoreUnavailable) as caught:
            store.read("k")
        assert caught.value.retryable
        check_error(caught.value, store, "k")


#: Uses a store on both sides of a fork.
FORKER = """
import os, sys, warnings
from lazyimport.stores import open_store
warnings.simplefilter("ignore", DeprecationWarning)
store = open_store("gs://bucket")
assert store.read("k") == b"content"
client = store._connected()
pid = os.fork()
if pid == 0:
    try:
        same = store._connected() is client
        ok = store.read("k") == b"content"
        os._exit(0 if ok and not same else 1)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert store.read("k") == b"content"
assert store._connected() is client
"""
#: Has no google-cloud-storage.
WITHOUT = """
import importlib.abc, io, pickle, sys
class Nothing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"google", "google_crc32c"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Nothing())
from lazyimport.stores import open_store
from lazyimport.errors import StoreError
store = open_store("gs://bucket/p")
for call in (
    lambda: store.read("k"),
    lambda: store.download("k", io.BytesIO()),
    lambda: store.put("k", io.BytesIO()),
    lambda: list(store.list()),
    lambda: store.delete("k"),
    lambda: store.read_versioned("k"),
    lambda: store.replace("k", b"", None),
):
    try:
        call()
    except StoreError as error:
        assert type(error) is StoreError and error.url == "gs://bucket/p"
        print(error)
"""


class TestProcesses:
    def test_a_fork_makes_its_own_client(self, fake: FakeGcs) -> None:
        fake.objects["bucket/k"] = b"content"
        subprocess.run([sys.executable, "-c", FORKER], check=True, timeout=60)
        assert fake.requests == {"object.media": 3}

    def test_without_the_library(self) -> None:
        answer = subprocess.run(
            [sys.executable, "-c", WITHOUT],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        lines = answer.stdout.splitlines()
        assert len(lines) == 7
        assert all("pip install google-cloud-storage" in line for line in lines)

    def test_threads_share_a_store(self, fake: FakeGcs, store: GcsStore) -> None:
        data = fill(300_000)
        fake.objects["bucket/pre/fix/k"] = data
        results: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: results.append(store.read("k")))
            for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [data] * 16

    def test_what_is_refused_beforehand_asks_nothing(
        self, fake: FakeGcs, store: GcsStore
    ) -> None:
        with pytest.raises(ValueError, match="not a key"):
            store.read("../k")
        with pytest.raises(ValueError, match="not a range"):
            store.read("k", -1)
        assert not fake.requests


class TestPortal:
    """Something between this machine and the service answers with a page to log in."""

    @pytest.mark.parametrize(
        "ask",
        [
            lambda store: store.read("k"),
            lambda store: store.read("k", 0, 9),
            lambda store: store.read_versioned("k"),
            lambda store: store.download("k", io.BytesIO(), 3),
            lambda store: list(store.list()),
            lambda store: store.put("k", io.BytesIO(b"data")),
            lambda store: store.put_in_parts("k", io.BytesIO(bytes(20 * MIB)), 2),
            lambda store: store.replace("k", b"data", None),
            lambda store: store.delete("k"),
            lambda store: store.sweep(["blobs/"], 1e9),
        ],
        ids=[
            "read",
            "part",
            "versioned",
            "rest",
            "list",
            "put",
            "parts",
            "replace",
            "delete",
            "sweep",
        ],
    )
    def test_is_named_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Any
    ) -> None:
        """It would answer so for as long as anybody asks."""
        with web_server(tmp_path, Portal) as url:
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
            store = GcsStore("bucket", timeout=60.0)
            with pytest.raises(
                StoreError, match="web page titled 'Please sign in'"
            ) as e:
                ask(store)
        assert not e.value.retryable

    def test_a_page_that_is_an_object_is_read(
        self, fake: FakeGcs, store: GcsStore
    ) -> None:
        page = b"<!doctype html><html>"
        fake.objects["bucket/pre/fix/k"] = page
        assert store.read("k", 0, 9) == page[:9]
