"""Stores in S3 (moto), Azure Blob Storage (Azurite) and behind web servers."""

from __future__ import annotations

import datetime as dt
import io
import pickle
import subprocess
import sys
import threading
import traceback
import uuid
from typing import ClassVar, cast
from urllib.parse import parse_qsl, urlsplit

import pytest

from lazyimport.errors import (
    KeyMissing,
    SettingsError,
    StoreDenied,
    StoreError,
    StoreUnavailable,
)
from lazyimport.stores import MutableStore, mutable, open_store, retry, writable
from lazyimport.stores.buckets import S3Store
from tests.fakes import services
from tests.fakes.faulty import Faulty
from tests.stores.suite import (
    MIB,
    MutableStoreTests,
    Place,
    ReadStoreTests,
    check_error,
    download,
    fill,
)
from tests.support.scale import scaled

obstore = pytest.importorskip("obstore", reason="needs the extra 'objects'")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any


#: Reads, forks, and ends with 7 if the child was refused.
FORKING = """
import os, signal, sys
from lazyimport.stores import open_store
from lazyimport.errors import StoreError
store = open_store(sys.argv[1])
print(store.read("k"), flush=True)
child = os.fork()
if not child:
    signal.alarm(30)
    try:
        store.read("k")
    except StoreError as error:
        os._exit(7 if "forked" in str(error) else 8)
    os._exit(9)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


class BucketPlace(Place):
    """A bucket, seen through obstore itself with another client of ours."""

    largest = scaled(2 * MIB, 1 << 40)

    def __init__(self, url: str, gone: str, behind: Any) -> None:
        self.behind = behind
        self.store = mutable(open_store(url, timeout=20))
        self.gone = mutable(open_store(gone, timeout=20))

    def plant(self, key: str, data: bytes) -> None:
        obstore.put(self.behind, key, data)

    def peek(self, key: str) -> bytes | None:
        try:
            return bytes(obstore.get(self.behind, key).bytes())
        except FileNotFoundError:
            return None

    def everything(self) -> set[str]:
        return {item["path"] for page in obstore.list(self.behind) for item in page}


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, services.s3_server() as url:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
        yield url


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("azurite")
    with pytest.MonkeyPatch.context() as patch, services.azurite(folder) as url:
        patch.setenv("AZURE_STORAGE_ACCOUNT_NAME", services.AZURITE_ACCOUNT)
        patch.setenv("AZURE_STORAGE_ACCOUNT_KEY", services.AZURITE_KEY)
        yield url


class TestS3(MutableStoreTests):
    @pytest.fixture
    def place(self, moto: str) -> Place:
        return s3_place(moto)


def test_a_part_that_fails_is_sent_again(
    moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the whole object, for which there may be no time left."""
    monkeypatch.setattr("lazyimport.stores.buckets._PART", 5 * MIB)
    name, data = f"b-{uuid.uuid4().hex}", fill(16 * MIB)
    services.ask("PUT", f"{moto}/{name}")
    with Faulty(moto, seed=143, share=0.25, faults=("503",)) as faulty:
        url = f"s3://{name}/?endpoint={faulty.url}&region=us-east-1"
        S3Store.from_url(url).inner.put_in_parts("k", io.BytesIO(data), 4)
        assert faulty.faults["503"]

    assert download(open_store(f"s3://{name}/?endpoint={moto}"), "k") == data


@pytest.mark.parametrize("code", ["RequestTimeTooSkewed", "RequestExpired"])
def test_a_clock_that_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """Nobody is told to log in, who has."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "one")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "two")

    class Elsewhen(services.Quiet):
        def do_GET(self) -> None:  # noqa: N802 - the name that it must have
            body = (
                f"<Error><Code>{code}</Code><Message>The difference between the request "
                "time and the current time is too large.</Message></Error>"
            ).encode()
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with services.web_server(tmp_path, Elsewhen) as url:
        store = open_store(f"s3://bucket/?endpoint={url}&region=us-east-1")
        with pytest.raises(StoreDenied, match=r"too large.*set the clock") as caught:
            store.read("k")
    assert "AWS_ACCESS_KEY_ID" not in str(caught.value)


def s3_place(moto: str) -> BucketPlace:
    from obstore.store import S3Store

    name = f"b-{uuid.uuid4().hex}"
    services.ask("PUT", f"{moto}/{name}")
    behind = S3Store(
        name,
        prefix="pre/fix",
        endpoint=moto,
        region="us-east-1",
        client_options={"allow_http": True},
    )
    query = f"?endpoint={moto}&region=us-east-1"
    return BucketPlace(f"s3://{name}/pre/fix{query}", f"s3://gone{query}", behind)


if services.has_azurite():

    class TestAzure(MutableStoreTests):
        @pytest.fixture
        def place(self, blobs: str) -> Place:
            return azure_place(blobs)

else:  # one line in the summary instead of a hundred

    @pytest.mark.skip(reason="needs azurite-blob on PATH (npm install -g azurite)")
    def test_azure() -> None:
        """The suite for stores, against Azurite."""


def azure_place(blobs: str) -> BucketPlace:
    from obstore.store import AzureStore

    name = f"c-{uuid.uuid4().hex}"
    behind = AzureStore(
        name,
        prefix="pre/fix",
        endpoint=blobs,
        client_options={"allow_http": True},
    )
    services.make_container(blobs, name)
    return AzurePlace(
        f"az://{name}/pre/fix?endpoint={blobs}", f"az://gone?endpoint={blobs}", behind
    )


class AzurePlace(BucketPlace):
    def plant(self, key: str, data: bytes) -> None:
        if "\\" not in key:  # for Azure it is a slash
            super().plant(key, data)


class WebPlace(Place):
    """The folder of a file store, behind a web server."""

    def __init__(self, url: str, folder: Path) -> None:
        self.store = cast("MutableStore", open_store(url, timeout=20))
        self.files = writable(open_store(f"file://{folder}"))

    def plant(self, key: str, data: bytes) -> None:
        assert self.files.put(key, io.BytesIO(data))

    def everything(self) -> set[str]:
        return {item.key for item in self.files.list()}


class TestPythonsWebServer(ReadStoreTests):
    """It knows nothing of ranges, and answers with the whole file."""

    handler = services.Quiet

    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[Place]:
        with services.web_server(tmp_path, self.handler) as url:
            yield WebPlace(url, tmp_path)


class TestWebServerWithRanges(TestPythonsWebServer):
    handler = services.Ranges


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    with services.web_server(tmp_path) as url:
        yield url


class TestUrls:
    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("s3://", "a name has letters"),
            ("s3://key:hidden@bucket/p", "a name has letters"),
            ("s3://b?secret_access_key=hidden", "secrets belong in the environment"),
            ("s3://b?colour=hidden", "its options are endpoint, region"),
            ("s3://b?endpoint=minio:9000", "an endpoint is http"),
            ("s3://b?endpoint=http://h:port", "an endpoint is http"),
            ("s3://b?endpoint=http://me:hidden@h:9000", "an endpoint is http"),
            ("az://c?account_key=hidden", "secrets belong in the environment"),
            ("az:///p", "a name has letters"),
            ("https://", "it has a host"),
            ("https:///folder", "it has a host"),
            ("https://me:hidden@host/f?token=hidden", "a host and no query"),
            ("http://host:port/f", "it has a host"),
        ],
    )
    def test_no_store(self, url: str, why: str) -> None:
        with pytest.raises(SettingsError, match=why) as caught:
            open_store(url)
        assert caught.value.name == "store"
        assert "hidden" not in str(caught.value)

    @pytest.mark.parametrize("url", ["s3://b/../c", "s3://b/p//q", "az://c/.hidden"])
    def test_no_prefix(self, url: str) -> None:
        with pytest.raises(SettingsError, match="not a key"):
            open_store(url)

    def test_a_password_is_sent_and_never_shown(self, tmp_path: Path, web: str) -> None:
        """Neither in the URL, nor in an error, its causes, or what prints it."""
        seen = []

        class Asking(services.Quiet):
            def instead(self) -> bool:
                seen.append(self.headers.get("Authorization"))
                self.send_error(403)
                return True

        with services.web_server(tmp_path, Asking) as url:
            store = open_store(url.replace("//", "//me:hid%40den@") + "/f")
            with pytest.raises(StoreDenied) as caught:
                store.read("k")
        assert seen == ["Basic bWU6aGlkQGRlbg=="]
        assert store.url == url + "/f"
        text = "".join(traceback.format_exception(caught.value)) + repr(store)
        assert "403" in text
        assert "hid" not in text.replace("hide", "")
        assert pickle.loads(pickle.dumps(store)).url == store.url

    def test_what_a_service_says_is_one_line_without_escapes(
        self, tmp_path: Path
    ) -> None:
        """It may be anybody who answers, and workers print it where people look."""

        class Forging(services.Quiet):
            def instead(self) -> bool:
                said = "\x1b[2J no\nERROR forged" + "x" * 100_000
                body = f"<Error><Code>Denied</Code><Message>{said}</Message></Error>"
                self.send_response(403)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())
                return True

        with (
            services.web_server(tmp_path, Forging) as url,
            pytest.raises(StoreDenied, match="no ERROR forged") as caught,
        ):
            open_store(url).read("k")
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 1000

    def test_without_obstore(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "obstore", None)
        with pytest.raises(StoreError, match="pip install obstore") as caught:
            open_store("s3://bucket/prefix").read("k")
        check_error(caught.value, open_store("s3://bucket/prefix"), "k")
        assert not caught.value.retryable


class TestErrors:
    """What a service may answer, from a web server that does so."""

    @pytest.mark.parametrize(
        ("status", "kind", "tries"),
        [
            (400, StoreError, 1),
            (401, StoreDenied, 1),
            (403, StoreDenied, 1),
            (404, KeyMissing, 1),
            (408, StoreUnavailable, 2),
            (429, StoreUnavailable, 2),
            (500, StoreUnavailable, 2),
            (503, StoreUnavailable, 2),
        ],
    )
    def test_status(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        status: int,
        kind: type[StoreError],
        tries: int,
    ) -> None:
        asked = []

        class Refusing(services.Quiet):
            def instead(self) -> bool:
                asked.append(self.path)
                self.send_error(status)
                return True

        monkeypatch.setattr(retry, "_MOST", 2)
        with services.web_server(tmp_path, Refusing) as url:
            store = open_store(url)
            with pytest.raises(kind, match=str(status)) as caught:
                store.download("dir/k", io.BytesIO())
            assert type(caught.value) is kind
            check_error(caught.value, store, "dir/k")
        assert len(asked) == tries

    def test_an_account_that_nothing_names(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
        with pytest.raises(
            StoreError, match=r"; add \?account_name=NAME, or set AZURE_"
        ):
            open_store("az://container/x").read("k", 0, 1)

    def test_nobody_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retry, "_MOST", 2)
        store = open_store("http://127.0.0.1:1/f")
        with pytest.raises(StoreUnavailable, match=r"refused.*tried 2 times") as caught:
            store.read("k")
        check_error(caught.value, store, "k")

    def test_a_proxy_that_is_not_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without its name, nobody understands why a service that is up refuses."""
        monkeypatch.setattr(retry, "_MOST", 1)
        monkeypatch.setenv("http_proxy", "http://me:hidden@127.0.0.1:1/")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        (tmp_path / "k").write_bytes(b"data")
        with services.web_server(tmp_path) as url:
            with pytest.raises(StoreUnavailable, match="refused") as caught:
                open_store(url).read("k")
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            assert open_store(url).read("k") == b"data"
        assert "http_proxy sends it through 127.0.0.1:1, unless" in str(caught.value)
        assert "hidden" not in str(caught.value)

    @pytest.mark.parametrize(
        "read",
        [
            lambda store: store.read("dir/k"),
            lambda store: store.read("dir/k", 3, 70),
            lambda store: store.download("dir/k", io.BytesIO()),
            lambda store: store.download("dir/k", io.BytesIO(), 9),
        ],
        ids=["all", "part", "download", "rest"],
    )
    def test_a_page_in_place_of_an_object(self, tmp_path: Path, read: Any) -> None:
        """A portal answers with success, and its bytes are no object's."""
        with services.web_server(tmp_path, services.Portal) as url:
            store = open_store(url)
            with pytest.raises(StoreError) as caught:
                read(store)
        check_error(caught.value, store, "dir/k")
        assert not caught.value.retryable
        said = (
            "answered with a web page titled 'Please sign in' (text/html) in place of"
        )
        assert said in str(caught.value)
        assert "user and password" in str(caught.value)

    @pytest.mark.parametrize(
        "ask",
        [
            lambda store: store.read("k"),
            lambda store: store.read("k", 3, 70),
            lambda store: store.read_versioned("k"),
            lambda store: store.put("k", io.BytesIO(b"data")),
        ],
        ids=["read", "part", "versioned", "put"],
    )
    def test_a_page_in_place_of_a_bucket(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Any
    ) -> None:
        """Where obstore does not show the answer, the message says what may be."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
        with services.web_server(tmp_path, services.Portal) as url:
            store = mutable(open_store(f"s3://bucket?endpoint={url}&region=x"))
            with pytest.raises(StoreError, match=r"with a web page|page to log in"):
                ask(store)

    def test_a_page_behind_a_proxy(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with services.web_server(tmp_path, services.Portal) as url:
            monkeypatch.setenv("http_proxy", url)
            monkeypatch.setenv("no_proxy", "")
            monkeypatch.setenv("NO_PROXY", "")
            with pytest.raises(StoreError) as caught:
                open_store("http://files.invalid/code").read("k")
        assert f"http_proxy sends it through {url[7:]}, unless" in str(caught.value)

    @pytest.mark.parametrize("size", [0, 2 << 20])
    def test_an_object_that_is_a_page(self, tmp_path: Path, size: int) -> None:
        """A large file of an archive may be one; and an empty answer is none."""
        data = (b"<html>" + b"." * size)[:size]
        (tmp_path / "k.html").write_bytes(data)
        with services.web_server(tmp_path) as url:
            assert open_store(url).read("k.html") == data

    def test_a_server_that_does_not_speak_tls(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retry, "_MOST", 1)
        with services.web_server(tmp_path) as url:
            store = open_store(url.replace("http:", "https:"))
            with pytest.raises(StoreUnavailable, match="it does not speak TLS"):
                store.read("k")

    def test_an_answer_that_stays_away(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        released = threading.Event()

        class Hanging(services.Quiet):
            def instead(self) -> bool:
                return released.wait()

        with services.web_server(tmp_path, Hanging) as url:
            with pytest.raises(StoreUnavailable, match="timed out"):
                open_store(url, timeout=0.3).read("k")
            released.set()

    def test_anonymous(self, moto: str) -> None:
        place = s3_place(moto)
        anonymous = open_store(f"{place.store.url}&skip_signature=true")
        place.plant("k", b"1")
        with pytest.raises(StoreDenied, match="403") as caught:  # it is not public
            anonymous.read("k")
        check_error(caught.value, anonymous, "k")
        assert place.store.read("k") == b"1"


def test_a_child_of_a_fork_is_told_so(tmp_path: Path, web: str) -> None:
    """The library would wait there for ever for threads that stayed behind."""
    (tmp_path / "k").write_bytes(b"1")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING, web],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (7, "b'1'\n"), done.stderr


@pytest.mark.parametrize("size", [0, 5, 9 * MIB])
def test_a_real_file_goes_up(moto: str, tmp_path: Path, size: int) -> None:
    place = s3_place(moto)
    data = fill(size)
    (tmp_path / "file").write_bytes(data)
    with (tmp_path / "file").open("rb") as file:
        file.seek(size // 2)
        assert place.store.put("k", file)
    assert place.peek("k") == data


@pytest.mark.parametrize(
    ("url", "most"), [("s3://b/p", 5 << 30), ("az://c/p", 5000 << 20)]
)
def test_what_is_too_large_is_told_before_it_is_sent(
    tmp_path: Path, url: str, most: int
) -> None:
    store = mutable(open_store(url))
    with (tmp_path / "sparse").open("w+b") as file:
        file.truncate(most + 1)
        with pytest.raises(
            StoreError, match=f"and at most {most:,} are possible"
        ) as caught:
            store.put("k", file)
    check_error(caught.value, store, "k")
    assert not caught.value.retryable


#: Sends a file, and prints by how many MiB the peak of its private memory grew.
UPLOADER = """
import re, sys, threading
from lazyimport.stores import open_store
def private():
    with open("/proc/self/status") as file:
        return int(re.search(r"RssAnon:\\s*(\\d+)", file.read())[1]) >> 10
def watch():
    while not done.wait(0.005):
        seen.append(private())
store = open_store(sys.argv[1])
with open(sys.argv[2], "rb") as file:
    assert store.put("first", file) is True
    done, seen, before = threading.Event(), [], private()
    thread = threading.Thread(target=watch)
    thread.start()
    assert store.put("second", file) is True
    done.set()
    thread.join()
print(max(seen) - before)
"""


def test_a_file_is_sent_without_reading_it_into_memory(
    moto: str, tmp_path: Path
) -> None:
    class Swallowing(services.Quiet):
        def do_PUT(self) -> None:  # noqa: N802
            left = int(self.headers["Content-Length"])
            while left:
                left -= len(self.rfile.read(min(left, MIB)))
            self.send_response(200)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", "0")
            self.end_headers()

    with (tmp_path / "large").open("wb") as file:
        file.truncate(200 * MIB)
    with services.web_server(tmp_path, Swallowing) as url:
        done = subprocess.run(
            [
                *(sys.executable, "-c", UPLOADER),
                *(f"s3://b/p?endpoint={url}&region=x", str(tmp_path / "large")),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 40


def test_a_part_of_a_file_is_asked_for_once(tmp_path: Path, web: str) -> None:
    """Of a server without ranges no more than one refusal is needed."""
    (tmp_path / "k").write_bytes(fill(3 * MIB))
    store = open_store(web)
    for start in (5, 2 * MIB):
        assert store.read("k", start, start + 9) == fill(3 * MIB)[start : start + 9]
    out = io.BytesIO()
    assert store.download("k", out, MIB) == 2 * MIB
    assert download(store, "k") == fill(3 * MIB)


class Bucket(services.Quiet):
    """A bucket of *keys*, of which one answer has fifty."""

    keys = tuple(f"p/{folder}/{n:03x}" for folder in "abc" for n in range(1000))
    asked: ClassVar[list[str]] = []

    def instead(self) -> bool:
        query = dict(parse_qsl(urlsplit(self.path).query))
        self.asked.append(self.path)
        after = query.get("continuation-token") or query.get("start-after", "")
        prefix = query.get("prefix", "")
        keys = [k for k in self.keys if k.startswith(prefix) and k > after]
        more = "".join(
            f"<NextContinuationToken>{key}</NextContinuationToken>"
            for key in keys[49:50] * bool(keys[50:])
        )
        body = "".join(
            f"<Contents><Key>{key}</Key><Size>1</Size><ETag>1</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in keys[:50]
        )
        whole = f"<ListBucketResult>{more}{body}</ListBucketResult>".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(whole)))
        self.end_headers()
        self.wfile.write(whole)
        return True


@pytest.mark.parametrize(
    ("prefix", "found", "most"),
    [
        ("b/1ff", 1, 2),
        ("b/1f", 16, 6),
        ("b/1", 256, 13),
        ("b", 1000, 42),
        ("b/", 1000, 21),
        ("x/y", 0, 1),
    ],
)
def test_one_object_of_a_large_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prefix: str,
    found: int,
    most: int,
) -> None:
    """Others are not listed: a store with thousands of versions is asked for one."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    Bucket.asked.clear()
    with services.web_server(tmp_path, Bucket) as url:
        store = writable(open_store(f"s3://bucket/p?endpoint={url}&region=x"))
        listed = [item.key for item in store.list(prefix)]
    assert listed == [k[2:] for k in Bucket.keys if k[2:].startswith(prefix)]
    assert (len(listed), len(Bucket.asked) <= most) == (found, True)


def test_a_bucket_that_lists_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Directory buckets do, of S3 Express; others are listed as far as is needed."""
    when = dt.datetime.now(dt.timezone.utc)
    keys = ["archives/f0", "archives/0b", "archives/0a2", "archives/0a1", "archives/09"]
    facts = {"size": 1, "last_modified": when, "e_tag": "x"}
    found = [[{"path": key, **facts}] for key in keys]
    monkeypatch.setattr(obstore, "list", lambda *_, **__: found)

    store = S3Store("s3://code--use1-az4--x-s3/p?region=us-east-1")
    assert [item.key for item in store.list("archives/0a")] == keys[3:1:-1]
    assert [item.key for item in store.list("archives/")] == sorted(keys)
