"""The whole way over google-cloud-storage: push, change, fetch, refuse."""

from __future__ import annotations

import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest

pytest.importorskip("google.cloud.storage", reason="needs the extra 'gcs'")

from lazyimport.delivery.artifact import deliver
from lazyimport.delivery.blobs_wanted import obtain_ahead
from lazyimport.delivery.verify import verify_store
from lazyimport.errors import (
    ArchiveMissing,
    DamagedArchive,
    MalformedArchive,
    StoreDenied,
    StoreMissing,
)
from lazyimport.registry.layout import archive_key
from lazyimport.reporting import SILENT
from lazyimport.settings import Settings
from lazyimport.stores.gcs import GcsStore
from tests.delivery.test_fetch import Site, contents, everything
from tests.fakes.gcs import FakeGcs
from tests.support.containers import make_container, named_by_hash
from tests.support.large import LOOSE, LargeSite

pytestmark = pytest.mark.gcs


@pytest.fixture
def site(tmp_path: Path, fake: FakeGcs) -> Site:
    site = Site(tmp_path)
    site.url = "gs://bucket/code"
    return site


def test_push_change_fetch(site: Site, fake: FakeGcs) -> None:
    """The first push is whole, the second a delta; a node that has the base
    downloads the delta alone."""
    first = site.push()
    site.fetch(first.hash)
    (site.tree / "pkg/m3.py").write_text("x = 'changed'\n")
    second = site.push()
    sent = fake.sent

    archive, size = site.fetch(second.hash)
    original = site.author.open(second.hash)
    assert original is not None

    assert (first.kind, second.kind) == ("full", "delta")
    assert contents(archive) == contents(original)
    assert size == second.size == fake.sent - sent
    assert sorted(key for key in fake.objects if "/archives/" in key) == sorted(
        f"bucket/code/{archive_key(pushed.hash)}" for pushed in (first, second)
    )
    verified = verify_store(GcsStore("bucket", "code"), site.author, repair=True)
    assert (verified.archives, verified.faults) == (2, [])


def test_large_files(tmp_path: Path, fake: FakeGcs) -> None:
    site = LargeSite(tmp_path)
    site.url = "gs://bucket/code"

    first = site.push()
    (site.tree / "shop/__init__.py").write_text("x = 2\n")
    second = site.push()
    obtain_ahead(site.settings(second.hash), SILENT)

    assert len([key for key in fake.objects if "/blobs/" in key]) == 2
    assert (first.large > len(site.dense), second.large) == (True, 0)
    assert site.here(second.hash).read_bytes() == site.dense
    assert site.here(second.hash, LOOSE).read_bytes() == site.loose


def test_a_very_large_file_goes_up_in_parts(tmp_path: Path, fake: FakeGcs) -> None:
    """Once: a push of another line of code asks whether it is there."""
    site = LargeSite(tmp_path)
    site.url = "gs://bucket/code"
    data = os.urandom(40 << 20)
    (site.tree / "shop/weights/very.bin").write_bytes(data)

    site.push()
    assert (fake.requests["parts.send"], fake.requests["parts.finish"]) == (3, 1)
    (site.tree / "shop/__init__.py").write_text("x = 2\n")
    second = site.push()
    obtain_ahead(site.settings(second.hash), SILENT)

    assert fake.requests["parts.send"] == 3
    assert not verify_store(GcsStore("bucket", "code"), site.author).faults
    assert site.here(second.hash, "shop/weights/very.bin").read_bytes() == data


def test_two_pushes_of_one_tree(site: Site, fake: FakeGcs) -> None:
    """The object is created under a precondition, so once."""
    pushed = site.push()
    content = fake.objects[f"bucket/code/{archive_key(pushed.hash)}"]

    assert site.push().kind == "present"
    assert fake.objects[f"bucket/code/{archive_key(pushed.hash)}"] == content


@pytest.mark.parametrize(
    "environ",
    [
        {"LAZYIMPORT_STORE": "gs://bucket/code"},
        {"BUCKET_NAME": "bucket", "SOURCE_CODE_PATH": "code"},
    ],
    ids=["store", "older spelling"],
)
def test_worker_starts_from_the_bucket(
    site: Site, fake: FakeGcs, environ: dict[str, str]
) -> None:
    """Neither the first process of a node nor the second loads the library."""
    pushed = site.push()
    program = (
        "import lazyimport.activation as a, sys; a.start()\n"
        "import pkg.m7; print(pkg.m7.f7(), 'google.cloud.storage' in sys.modules)"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LAZYIMPORT_")}

    def worker() -> str:
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={
                **clean,
                **environ,
                "LAZYIMPORT_HASH": pushed.hash,
                "LAZYIMPORT_CACHE_DIR": str(site.node),
                # google-api-core warns of Pythons past their end of life
                "PYTHONWARNINGS": "ignore::FutureWarning",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert not done.stderr, done.stderr
        return done.stdout

    assert worker() == "49 False\n"
    requests = fake.requests.total()
    assert worker() == "49 False\n"
    assert fake.requests.total() == requests


def test_bucket_that_does_not_exist(site: Site) -> None:
    site.url = "gs://other/code"

    with pytest.raises(StoreMissing, match="other"):
        site.push()
    with pytest.raises(StoreMissing, match="other"):
        site.fetch("ab" * 32)


def test_no_rights(site: Site, fake: FakeGcs) -> None:
    pushed = site.push()
    fake.denied.add("storage.objects.get")

    with pytest.raises(StoreDenied) as caught:
        site.fetch(pushed.hash)

    assert "gs://bucket/code" in str(caught.value)
    assert pushed.hash in str(caught.value)


def test_unknown_hash(site: Site) -> None:
    with pytest.raises(ArchiveMissing, match="gs://bucket/code"):
        site.fetch("ab" * 32)


def test_object_replaced_behind_our_back(site: Site, fake: FakeGcs) -> None:
    """Checksums of the service prove the transport, ours the content."""
    pushed = site.push()
    key = f"bucket/code/{archive_key(pushed.hash)}"
    good = fake.objects[key]
    fake.objects[key] = good[:-2000] + bytes(2000)

    with pytest.raises((DamagedArchive, MalformedArchive), match=pushed.hash):
        site.fetch(pushed.hash)

    fake.objects[key] = good
    everything(site.fetch(pushed.hash)[0])


def test_an_artifact_by_the_older_variables(tmp_path: Path, fake: FakeGcs) -> None:
    """What workers used to download themselves: nothing but the import is new."""
    path = make_container({"shop/__init__.py": "price = 3\n"}, tmp_path / "app.zip")
    path = named_by_hash(path)
    GcsStore.from_url("gs://bucket/code").put(path.name, BytesIO(path.read_bytes()))
    settings = Settings.from_environ(
        {
            "BUCKET_NAME": "bucket",
            "SOURCE_CODE_PATH": f"code/{path.name}",
            "LAZYIMPORT_CACHE_DIR": str(tmp_path / "cache"),
        }
    )

    archive, size = deliver(settings)

    assert archive.index.entry("shop/__init__.py") is not None
    assert size == path.stat().st_size
