"""Starts over a bad line, on which 30 % of all requests fail in one of many ways."""

from __future__ import annotations

import io
import shutil
import uuid

import pytest

from lazyimport.errors import LazyImportError
from lazyimport.stores import open_store, writable
from tests.delivery.test_fetch import Site, contents
from tests.fakes import services
from tests.fakes.faulty import FAULTS, Faulty
from tests.support.scale import scaled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lazyimport.delivery.publish import Published
    from tests.fakes.gcs import FakeGcs

pytestmark = pytest.mark.timeout(scaled(300, 3600))

STARTS = scaled(12, 500)
#: the faults that the transport itself cannot notice
LIES = {"short"}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less than a minute for an answer that stalls, and little between tries."""
    from lazyimport.stores import gcs, objects, retry

    monkeypatch.setattr(gcs, "_ANSWER", 0.5)
    monkeypatch.setattr(objects, "_ANSWER", 0.5)
    monkeypatch.setattr(retry, "_LONGEST", 0.2)


class Line:
    """A site whose store is at the other end of a bad line."""

    def __init__(self, site: Site, pushed: Published, url: str) -> None:
        self.site = site
        self.pushed = pushed
        self.url = url
        author = site.author.open(pushed.hash)
        assert author is not None
        self.expected = contents(author)

    def start(self) -> str:
        """Start a node with an empty cache; return what went wrong, "" for nothing."""
        shutil.rmtree(self.site.node, ignore_errors=True)
        try:
            archive, _ = self.site.fetch(self.pushed.hash, store=self.url, timeout="60")
        except LazyImportError as error:
            return f"{type(error).__name__}: {error}"
        assert contents(archive) == self.expected
        return ""


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not services.has_azurite():
        pytest.skip("needs azurite-blob on PATH (npm install -g azurite)")
    with services.azurite(tmp_path_factory.mktemp("azurite")) as url:
        yield url


@pytest.fixture(params=["http", "s3", "az", "gs"])
def upstream(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Callable[[str], Line]]]:
    """The URL of a service with an archive, and a function from proxy to `Line`."""
    site = Site(tmp_path)
    if request.param == "gs":
        pytest.importorskip("google.cloud.storage", reason="needs the extra 'gcs'")
        fake: FakeGcs = request.getfixturevalue("fake")
        site.url = "gs://bucket/code"
        pushed = site.push()

        def reached(url: str) -> Line:
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
            return Line(site, pushed, site.url)

        yield fake.url, reached
        return
    pytest.importorskip("obstore", reason="needs the extra 'objects'")
    if request.param == "http":
        pushed = site.push()
        folder = tmp_path / "store"
        with services.web_server(folder, services.Ranges) as url:
            yield url, lambda proxy: Line(site, pushed, proxy)
        return
    bucket = f"b-{uuid.uuid4().hex}"
    if request.param == "az":
        url = request.getfixturevalue("blobs")
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", services.AZURITE_ACCOUNT)
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", services.AZURITE_KEY)
        services.make_container(url, bucket)
        site.url = f"az://{bucket}/code?endpoint={url}"
        pushed = site.push()
        yield (
            url,
            lambda proxy: Line(site, pushed, f"az://{bucket}/code?endpoint={proxy}"),
        )
        return
    with services.s3_server() as url:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
        services.ask("PUT", f"{url}/{bucket}")
        site.url = f"s3://{bucket}/code?endpoint={url}"
        pushed = site.push()
        yield (
            url,
            lambda proxy: Line(site, pushed, f"s3://{bucket}/code?endpoint={proxy}"),
        )


def test_every_start_succeeds(
    upstream: tuple[str, Callable[[str], Line]],
) -> None:
    """No fault that the transport can notice gets through or costs many requests."""
    url, reached = upstream
    honest = [kind for kind in FAULTS if kind not in LIES]
    with Faulty(url, seed=4, faults=honest) as faulty:
        line = reached(faulty.url)
        assert [line.start() for _ in range(STARTS)] == [""] * STARTS
    assert sum(faulty.faults.values()) > STARTS / 5
    assert faulty.requests <= 4 * STARTS


def test_a_lie_about_the_length_is_found_and_named(
    upstream: tuple[str, Callable[[str], Line]],
) -> None:
    """Nothing is imported from half an archive that claims to be whole."""
    url, reached = upstream
    with Faulty(url, seed=5) as faulty:
        line = reached(faulty.url)
        results = [line.start() for _ in range(STARTS)]
    wrong = [result for result in results if result]
    assert len(wrong) <= faulty.faults["short"]
    assert len(wrong) < STARTS / 2
    assert all(line.pushed.hash in result for result in wrong)
    assert faulty.faults["short"]
    assert faulty.requests <= 4 * STARTS


def test_dead_line(
    upstream: tuple[str, Callable[[str], Line]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start gives up, and its error names the store and the archive."""
    url, reached = upstream
    monkeypatch.setattr("lazyimport.stores.retry._MOST", 4)
    with Faulty(url, seed=6, share=1, faults=["503", "reset"]) as faulty:
        line = reached(faulty.url)
        shutil.rmtree(line.site.node, ignore_errors=True)
        with pytest.raises(LazyImportError) as caught:
            line.site.fetch(line.pushed.hash, store=line.url, timeout="2")
    assert line.pushed.hash in str(caught.value)
    assert line.url.partition("?")[0] in str(caught.value)
    assert faulty.requests <= 12


def test_put(
    upstream: tuple[str, Callable[[str], Line]],
) -> None:
    """Every object that was put is whole."""
    url, reached = upstream
    honest = [kind for kind in FAULTS if kind not in LIES]
    with Faulty(url, seed=7, faults=honest) as faulty:
        line = reached(faulty.url)
        if line.url.startswith("http"):
            pytest.skip("a web server can only be read")
        store = writable(open_store(line.url, timeout=60))
        for number in range(scaled(5, 100)):
            data = f"{number}".encode() * 1000
            store.put(f"tests/{number}", io.BytesIO(data))
            assert store.read(f"tests/{number}") == data
