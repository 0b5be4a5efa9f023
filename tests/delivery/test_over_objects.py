"""The whole way over S3 (moto) and Azure (Azurite): push, change, fetch, artifacts."""

from __future__ import annotations

import uuid
from io import BytesIO
from pathlib import Path

import pytest

pytest.importorskip("obstore", reason="needs the extra 'objects'")

from lazyimport.cache.node import NodeCache
from lazyimport.cache.verify import prove
from lazyimport.delivery.artifact import deliver
from lazyimport.delivery.blobs_wanted import obtain_ahead
from lazyimport.delivery.verify import verify_store
from lazyimport.errors import ArchiveMissing, DamagedArchive, StoreMissing
from lazyimport.reporting import SILENT
from lazyimport.settings import Settings
from lazyimport.stores import open_store, writable
from tests.delivery.test_fetch import Site, contents
from tests.fakes import services
from tests.support.containers import make_container, named_by_hash
from tests.support.large import LOOSE, LargeSite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = {"shop/__init__.py": "price = 3\n", "shop/page.html": "<p>\n"}


@pytest.fixture(scope="module", params=["s3", "az"])
def folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a bucket with a place in it for ``{}``, the rest of a key."""
    name = f"b-{uuid.uuid4().hex}"
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "s3":
            patch.setenv("AWS_ACCESS_KEY_ID", "key")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
            with services.s3_server() as url:
                services.ask("PUT", f"{url}/{name}")
                yield f"s3://{name}/code{{}}?endpoint={url}&region=us-east-1"
            return
        if not services.has_azurite():
            pytest.skip("needs azurite-blob on PATH (npm install -g azurite)")
        patch.setenv("AZURE_STORAGE_ACCOUNT_NAME", services.AZURITE_ACCOUNT)
        patch.setenv("AZURE_STORAGE_ACCOUNT_KEY", services.AZURITE_KEY)
        with services.azurite(tmp_path_factory.mktemp("azurite")) as url:
            services.make_container(url, name)
            yield f"az://{name}/code{{}}?endpoint={url}"


def test_large_files(folder: str, tmp_path: Path) -> None:
    """In parts, each once; a node has them as they were."""
    site = LargeSite(tmp_path)
    site.url = folder.format("/large")

    first = site.push()
    (site.tree / "shop/__init__.py").write_text("x = 2\n")
    second = site.push()
    obtain_ahead(site.settings(second.hash), SILENT)

    assert first.large > len(site.dense)
    assert second.large == 0
    assert site.here(second.hash).read_bytes() == site.dense
    assert site.here(second.hash, LOOSE).read_bytes() == site.loose


def test_push_change_fetch(folder: str, tmp_path: Path) -> None:
    """The whole, then the difference, up and down; the third push sends nothing."""
    site = Site(tmp_path)
    site.url = folder.format("/pushes")
    first = site.push()
    site.fetch(first.hash)
    (site.tree / "pkg/m3.py").write_text("x = 'changed'\n")
    second = site.push()

    archive, size = site.fetch(second.hash)

    original = site.author.open(second.hash)
    assert original is not None
    assert (first.kind, second.kind, site.push().kind) == ("full", "delta", "present")
    assert contents(archive) == contents(original)
    assert size == second.size
    verified = verify_store(open_store(site.url), NodeCache(str(tmp_path / "new")))
    assert (verified.archives, verified.faults) == (2, [])


def test_a_delta_whose_base_is_gone(folder: str, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.url = folder.format("/repairs")
    first = site.push()
    (site.tree / "pkg/m3.py").write_text("x = 'changed'\n")
    second = site.push()
    writable(open_store(site.url)).delete(f"archives/{first.hash}")

    again = site.push()

    assert (second.kind, again.kind, again.hash) == ("delta", "full", second.hash)
    assert site.fetch(second.hash)[1] == again.size


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.zst", ".whl"])
def test_artifacts(folder: str, tmp_path: Path, suffix: str) -> None:
    """Downloaded once, checked against the digest in the name, and recorded."""
    files = dict(FILES)
    if suffix == ".whl":
        files["shop-1.dist-info/METADATA"] = "Name: shop\nVersion: 1\n"
    path = named_by_hash(make_container(files, tmp_path / f"shop-1-py3{suffix}"))
    store = writable(open_store(folder.format("")))
    assert store.put(path.name, BytesIO(path.read_bytes()))
    settings = Settings(
        cache_dir=str(tmp_path / "cache"), artifact=folder.format(f"/{path.name}")
    )

    archive, size = deliver(settings)
    store.delete(path.name)
    again, nothing = deliver(settings)

    prove(archive)
    assert archive.index.entry("shop/page.html") is not None
    assert (size, nothing) == (path.stat().st_size, 0)
    assert again.hash == archive.hash


def test_what_is_wrong_with_an_artifact(folder: str, tmp_path: Path) -> None:
    """The error has its URL, without what follows the question mark."""
    cache = str(tmp_path / "cache")
    path = make_container(FILES, tmp_path / f"app-{'0' * 64}.zip")
    store = writable(open_store(folder.format("")))
    store.put(path.name, BytesIO(path.read_bytes()))
    place = folder.format(f"/{path.name}")
    shown = place.partition("?")[0]

    with pytest.raises(DamagedArchive, match=f"the artifact {shown} has SHA-256"):
        deliver(Settings(cache_dir=cache, artifact=place))
    with pytest.raises(ArchiveMissing, match=r"no artifact .*/code/none\.zip"):
        deliver(Settings(cache_dir=cache, artifact=folder.format("/none.zip")))
    gone = place.replace("://b-", "://gone-")
    with pytest.raises(StoreMissing, match="gone-"):
        deliver(Settings(cache_dir=cache, artifact=gone))
