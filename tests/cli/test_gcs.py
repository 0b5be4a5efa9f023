"""The commands against a bucket: a strict stand-in for Cloud Storage, on loopback."""

from __future__ import annotations

import re
import shutil

import pytest

pytest.importorskip("google.cloud.storage", reason="needs the extra 'gcs'")

from tests.fakes.gcs import FakeGcs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import CommandLine

pytestmark = pytest.mark.gcs

STORE = "gs://bucket/code"


@pytest.fixture(name="fake", autouse=True)
def _fake(cli: CommandLine) -> Iterator[FakeGcs]:
    with FakeGcs(buckets=["bucket"]) as fake:
        cli.environ.update(fake.environ)
        yield fake


def test_push_look_and_run(cli: CommandLine, project: Path, fake: FakeGcs) -> None:
    name = cli.run("push", project, "--store", STORE).stdout.strip()
    shutil.rmtree(cli.cache)

    assert f"bucket/code/archives/{name}" in fake.objects
    assert name in cli.run("ls", "--store", STORE).stdout
    assert "shop/" in cli.run("ls", name[:9], "--store", STORE).stdout
    assert not cli.cache.exists()
    run = cli.run("run", name, "--store", STORE, "-m", "shop.main")
    assert "30 []\n" == run.stdout


def test_channel_and_collection(cli: CommandLine, project: Path, fake: FakeGcs) -> None:
    """What changes objects goes by their generation; what is young stays."""
    cli.environ["LAZYIMPORT_STORE"] = STORE
    name = cli.run("push", project, "--channel", "prod").stdout.strip()
    done = cli.run("gc", "--delete")

    assert "deleted 0 archives" in done.stderr
    assert {
        f"bucket/code/archives/{name}",
        "bucket/code/channels/prod.json",
    } <= set(fake.objects)
    assert "bucket/code/gc/running.json" not in fake.objects
    assert f"{name}\n" == cli.run("channel", "get", "prod").stdout


def test_bucket_that_does_not_exist(cli: CommandLine, project: Path) -> None:
    text = cli.fail("push", project, "-q", "--store", "gs://nobodys/code")

    assert "gs://nobodys/code" in text
    assert "LAZYIMPORT_STORE" in text


@pytest.mark.slow
def test_demo_leaves_the_bucket_as_it_was(cli: CommandLine, fake: FakeGcs) -> None:
    fake.objects["bucket/code/archives/other"] = b"not ours"
    done = cli.run("demo", "--workers", "processes", "--store", STORE)

    assert re.search(r"one line, from edit to running +\S+ s +[\d.]+ k?B", done.stdout)
    assert ["bucket/code/archives/other"] == list(fake.objects)
