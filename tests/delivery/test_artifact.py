"""Artifacts on a node: one download, one archive, and the right one."""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
import subprocess
import sys
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from lazyimport.cache.evict import prune
from lazyimport.cache.growth import taken
from lazyimport.cache.node import NodeCache
from lazyimport.cache.usage import usage
from lazyimport.cache.verify import prove
from lazyimport.delivery import artifact as module
from lazyimport.delivery.artifact import deliver
from lazyimport.errors import (
    ArchiveMissing,
    CacheError,
    DamagedArchive,
    PackError,
    SettingsError,
)
from lazyimport.format.archive import Archive
from lazyimport.settings import Settings
from lazyimport.stores.artifact import Artifact, download as download_artifact
from tests.support.containers import Files, make_container, named_by_hash
from tests.support.disks import mounted
from tests.support.recorder import Recorder

FILES: Files = {
    "shop/__init__.py": "",
    "shop/prices.py": "price = 3\n",
    "shop/page.html": "<p>\n",
}
DIGEST = "0123456789abcdef" * 4


@pytest.fixture(name="bucket")
def _bucket(tmp_path: Path) -> Path:
    folder = tmp_path / "bucket"
    folder.mkdir()
    return folder


@pytest.fixture(name="cache")
def _cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(name="downloads")
def _downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs that were downloaded in this process."""
    seen: list[str] = []

    def download(artifact: Artifact, *arguments: Any) -> tuple[int, str]:
        seen.append(artifact.url)
        return download_artifact(artifact, *arguments)

    monkeypatch.setattr(module, "download", download)
    return seen


def settings(path: Path, cache: Path, **more: Any) -> Settings:
    options = more.pop("options", "")
    return Settings(cache_dir=str(cache), artifact=f"file://{path}{options}", **more)


class TestUrl:
    @pytest.mark.parametrize(
        ("url", "store", "key", "suffix", "digest"),
        [
            ("gs://b/code/app.zip", "gs://b/code", "app.zip", ".zip", None),
            ("gs://b/app.tar.gz", "gs://b", "app.tar.gz", ".tar.gz", None),
            (f"gs://b/app-{DIGEST}.zip", "gs://b", ..., ".zip", DIGEST),
            (f"gs://b/{DIGEST}.tgz", "gs://b", ..., ".tgz", DIGEST),
            (f"gs://b/app_{DIGEST.upper()}.ZIP", "gs://b", ..., ".zip", DIGEST),
            (f"gs://b/app-{DIGEST}0.zip", "gs://b", ..., ".zip", None),
            (f"gs://b/app-a{DIGEST}.zip", "gs://b", ..., ".zip", None),
            (f"gs://b/app-{DIGEST[1:]}.zip", "gs://b", ..., ".zip", None),
            ("file:///app.whl", "file:///", "app.whl", ".whl", None),
            ("file:///a%20b/c%25.zip", "file:///a%20b", "c%.zip", ".zip", None),
            ("https://host/x/a.tar.zst", "https://host/x", ..., ".tar.zst", None),
            ("s3://b/p/a.zip?region=x", "s3://b/p?region=x", "a.zip", ".zip", None),
        ],
    )
    def test_parts(
        self, url: str, store: str, key: object, suffix: str, digest: str | None
    ) -> None:
        found = Artifact(url)
        assert (found.store, found.suffix, found.sha256) == (store, suffix, digest)
        if key is not ...:
            assert found.key == key

    def test_options(self) -> None:
        """The last SHA-256 wins, so that a setting can correct a name."""
        other = "f" * 64
        found = Artifact(
            f"gs://b/app-{DIGEST}.zip#subdirectory=a/b/&sha256={'e' * 64}&sha256={other}"
        )
        assert (found.sha256, found.subdirectory) == (other, "a/b")
        assert found.url == f"gs://b/app-{DIGEST}.zip"

    @pytest.mark.parametrize(
        "url",
        [
            "gs://app.zip",
            "gs://b/code",
            "gs://b/app.tar.xz",
            "gs://b/app.zip#sha256=abc",
            "gs://b/app.zip#subdirectory=../..",
            "gs://b/app.zip#egg=app",
            "https://me:hidden@host/app.tar.xz",
            "https://host/app.zip?signature=hidden",
            "file:///a/%2Fetc%2Fapp.zip",
            "file:///a/..%2Fapp.zip",
        ],
    )
    def test_wrong(self, url: str) -> None:
        with pytest.raises(SettingsError, match="not an artifact") as caught:
            Artifact(url)
        assert "hidden" not in str(caught.value)

    def test_a_password_is_never_shown(self) -> None:
        found = Artifact("https://me:hidden@host/app.zip")
        assert found.store == "https://me:hidden@host"
        assert found.url == "https://host/app.zip"


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tgz", ".tar.zst"])
def test_named_by_hash_it_is_downloaded_once(
    bucket: Path, cache: Path, suffix: str, downloads: list[str]
) -> None:
    path = named_by_hash(make_container(FILES, bucket / f"app{suffix}"))
    size = path.stat().st_size

    first, fetched = deliver(settings(path, cache))
    shutil.rmtree(bucket)  # nobody is asked again
    second, nothing = deliver(settings(path, cache))

    assert (fetched, nothing) == (size, 0)
    assert first.hash == second.hash
    assert len(downloads) == 1
    assert list((cache / "staging").iterdir()) == []


def test_the_archive_is_the_one_that_packing_the_tree_gives(
    bucket: Path, cache: Path, tmp_path: Path
) -> None:
    """The hash says what is in it, not which container that came in."""
    from tests.support.compare_importers import pack_tree, write_tree

    hashes = {
        deliver(settings(make_container(FILES, bucket / f"app{s}"), cache))[0].hash
        for s in (".zip", ".tar.gz")
    }
    hashes.add(pack_tree(write_tree(FILES, tmp_path / "tree"), tmp_path / "other"))

    assert len(hashes) == 1


def test_without_a_digest_it_is_looked_at_by_each_process(
    bucket: Path, cache: Path, downloads: list[str]
) -> None:
    path = make_container(FILES, bucket / "app.zip")
    old, _ = deliver(settings(path, cache))
    same, _ = deliver(settings(path, cache))
    make_container({**FILES, "shop/prices.py": "price = 4\n"}, path)
    new, _ = deliver(settings(path, cache))

    assert same.hash == old.hash != new.hash
    assert len(downloads) == 3


def test_wrong_bytes_are_refused_and_both_digests_named(
    bucket: Path, cache: Path
) -> None:
    path = make_container(FILES, bucket / f"app-{DIGEST}.zip")
    actual = hashlib.sha256(path.read_bytes()).hexdigest()

    with pytest.raises(DamagedArchive) as caught:
        deliver(settings(path, cache))

    assert (caught.value.expected, caught.value.actual) == (DIGEST, actual)
    assert DIGEST in str(caught.value)
    assert actual in str(caught.value)
    assert "LAZYIMPORT_ARTIFACT_SHA256" in str(caught.value)
    assert NodeCache(str(cache)).archives() == {}
    deliver(settings(path, cache, options=f"#sha256={actual}"))


def test_a_missing_artifact(bucket: Path, cache: Path) -> None:
    with pytest.raises(ArchiveMissing, match=r"there is no artifact file://.*app\.zip"):
        deliver(settings(bucket / "app.zip", cache))


def test_a_malicious_artifact_leaves_nothing(bucket: Path, cache: Path) -> None:
    path = named_by_hash(make_container({"../evil.py": ""}, bucket / "app.zip"))

    with pytest.raises(PackError, match=r"file://.*'\.\./evil\.py'"):
        deliver(settings(path, cache))

    assert NodeCache(str(cache)).archives() == {}
    assert list((cache / "staging").iterdir()) == []


def test_evicted_it_is_made_again(bucket: Path, cache: Path) -> None:
    path = named_by_hash(make_container(FILES, bucket / "app.zip"))
    first, _ = deliver(settings(path, cache))
    NodeCache(str(cache)).remove(first.hash)

    again, fetched = deliver(settings(path, cache, hash=first.hash))

    assert again.hash == first.hash
    assert fetched > 0


def test_a_child_never_gets_another_version_than_its_parent(
    bucket: Path, cache: Path
) -> None:
    """It only asks here if the archive is no longer in the cache."""
    path = make_container(FILES, bucket / "app.zip")
    first, _ = deliver(settings(path, cache))
    make_container({**FILES, "more.py": ""}, path)

    with pytest.raises(ArchiveMissing, match="no longer in the node cache"):
        deliver(settings(path, cache, hash=first.hash))


@pytest.mark.parametrize("mode", ["zstd", "memory"])
def test_cache_modes(bucket: Path, cache: Path, mode: str) -> None:
    path = named_by_hash(make_container(FILES, bucket / "app.zip"))
    raw, _ = deliver(settings(path, bucket.parent / "raw"))

    archive, _ = deliver(settings(path, cache, cache_mode=mode))

    assert archive.hash == raw.hash
    for entry in archive.index.entries():
        assert bytes(archive.content(entry)) == bytes(raw.content(entry))
    assert cache.exists() == (mode == "zstd")


def test_what_a_killed_process_left_has_no_part(bucket: Path, cache: Path) -> None:
    left = Path(NodeCache(str(cache)).staging_path(), "tree")
    left.mkdir(parents=True)
    (left / "evil.py").write_text("")
    path = named_by_hash(make_container(FILES, bucket / "app.zip"))

    archive, _ = deliver(settings(path, cache))

    assert archive.index.entry("evil.py") is None
    prune(NodeCache(str(cache)))
    assert not left.exists()


@pytest.mark.parametrize("recorded", ["", "x", "é" * 90, "0" * 64, DIGEST * 4])
def test_a_memory_that_makes_no_sense(bucket: Path, cache: Path, recorded: str) -> None:
    path = named_by_hash(make_container(FILES, bucket / "app.zip"))
    first, _ = deliver(settings(path, cache))
    (record,) = (cache / "artifacts").iterdir()
    record.write_text(recorded)

    assert deliver(settings(path, cache))[0].hash == first.hash


def test_a_disk_that_refuses(bucket: Path, cache: Path) -> None:
    path = named_by_hash(make_container(FILES, bucket / "app.zip"))
    cache.mkdir()
    (cache / "staging").write_text("a file in the way")

    with pytest.raises(CacheError, match="LAZYIMPORT_CACHE_DIR"):
        deliver(settings(path, cache), ahead=True)


def makes_it_in_memory(path: Path, cache: Path) -> Archive:
    """Deliver without the disk of the cache, and say so in one line."""
    reporter = Recorder()
    archive, size = deliver(settings(path, cache), reporter)
    prove(archive)
    assert size == path.stat().st_size
    (line,) = reporter.warnings
    for text in (str(path), str(cache), "memory", "LAZYIMPORT_CACHE_DIR"):
        assert text in line
    return archive


def test_a_disk_of_every_size(bucket: Path, cache: Path, tmp_path: Path) -> None:
    """Read-only, without room for the artifact, for its tree, for the archive."""
    files = {**FILES, "shop/data.bin": os.urandom(150_000)}
    path = named_by_hash(make_container(files, bucket / "app.zip"))
    raw, _ = deliver(settings(path, tmp_path / "other"))
    for option in ("ro", "size=40k", "size=200k", "size=400k"):
        with mounted(cache, option, "mode=0700"):
            assert makes_it_in_memory(path, cache).hash == raw.hash
            with pytest.raises(CacheError, match="LAZYIMPORT_CACHE_DIR"):
                deliver(settings(path, cache), ahead=True)
    with mounted(cache, "size=4m", "mode=0700"):
        deliver(settings(path, cache))
        subprocess.run(["mount", "-o", "remount,ro", str(cache)], check=True)
        assert deliver(settings(path, cache))[1] == 0


ACTIVATED = """\
import lazyimport.activation
lazyimport.activation.start()
import shop.prices, subprocess, sys
print(shop.prices.price, shop.prices.__file__, flush=True)
if len(sys.argv) == 1:
    subprocess.run([sys.executable, "-c", sys.orig_argv[-1], "child"], check=True)
"""


def test_an_activated_process_and_its_child_run_without_the_disk(
    bucket: Path, cache: Path
) -> None:
    path = named_by_hash(make_container(FILES, bucket / "app.zip"))
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LAZYIMPORT_")}
    with mounted(cache, "ro", "mode=0700"):
        done = subprocess.run(
            [sys.executable, "-c", ACTIVATED],
            env={
                **clean,
                "LAZYIMPORT_ARTIFACT": f"file://{path}",
                "LAZYIMPORT_CACHE_DIR": str(cache),
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    here, there = done.stdout.splitlines()
    assert here == there
    assert here.startswith(f"3 {cache}/trees/")
    said = f"lazyimport: the artifact file://{path} runs from memory"
    assert [line.startswith(said) for line in done.stderr.splitlines()].count(True) == 2


def test_without_any_folder_for_temporary_files(
    bucket: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container whose whole file system is read-only."""
    path = named_by_hash(make_container(FILES, bucket / "app.zip"))
    with mounted(bucket.parent / "full", "ro") as full:
        monkeypatch.setattr("tempfile.tempdir", str(full))
        with pytest.raises(CacheError, match="Read-only file system; set TMPDIR"):
            deliver(settings(path, cache, cache_mode="memory"))


PROGRAM = """\
import sys
import lazyimport
installed = lazyimport.install(artifact=sys.argv[1])
import shop.prices
print(installed.hash, installed.fetched, shop.prices.price, shop.prices.__file__)
"""


def test_no_process_that_runs_it_loads_what_converts_it(
    bucket: Path, cache: Path
) -> None:
    path = named_by_hash(make_container(FILES, bucket / "app.zip"))
    program = f"""\
import sys, lazyimport
lazyimport.install(artifact="file://{path}", cache_dir={str(cache)!r})
print(sorted(sys.modules))
"""
    command = [sys.executable, "-c", program]
    first, second = (subprocess.check_output(command, text=True) for _ in range(2))
    for name in ("lazyimport.packing", "zipfile"):
        assert name not in first
    assert first == second


def have_open(path: str) -> set[str]:
    """Return the processes that have a file open."""
    found = set()
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(link) == path:
                found.add(link.split("/")[2])
        except OSError:
            pass
    return found


@pytest.mark.parametrize("named", [True, False])
def test_eight_processes_one_download_one_conversion(
    bucket: Path, cache: Path, named: bool, tmp_path: Path
) -> None:
    path = make_container(FILES, bucket / "app.zip")
    path = named_by_hash(path) if named else path
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LAZYIMPORT_")}
    environ = {**clean, "LAZYIMPORT_CACHE_DIR": str(cache)}
    gate = NodeCache(str(cache)).lock("artifacts", 60)
    with gate:  # all eight wait for it
        children = [
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM, f"file://{path}"],
                env=environ,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(8)
        ]
        deadline = time.monotonic() + 60
        while len(have_open(f"{cache}/locks/artifacts")) < 9:  # and this process
            assert time.monotonic() < deadline
            time.sleep(0.05)
    answers = [child.communicate(timeout=120)[0].split() for child in children]

    assert len({hash for hash, *_ in answers}) == 1
    assert sorted(fetched != "0" for _, fetched, *_ in answers) == [False] * 7 + [True]
    assert {price for _, _, price, _ in answers} == {"3"}


def test_damage_met_by_a_running_process_is_repaired(bucket: Path, cache: Path) -> None:
    """There is no store to fetch from, but the artifact is still there."""
    path = named_by_hash(make_container(FILES, bucket / "app.zip"))
    program = f"""\
import lazyimport, pathlib
installed = lazyimport.install(artifact="file://{path}", cache_dir={str(cache)!r})
file = pathlib.Path({str(cache)!r}, "archives", installed.hash)
file.chmod(0o644)
data = bytearray(file.read_bytes())
at = data.index(b"price = 3")
with file.open("r+b") as out:
    out.seek(at)
    out.write(b"price = 9")
import shop.prices, inspect
print(inspect.getsource(shop.prices).strip())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "price = 3\n"
    assert f"was fetched again from file://{path}" in done.stderr


def test_behind_a_web_server(bucket: Path, cache: Path) -> None:
    """At exactly the path of the URL: not all servers forgive another."""
    pytest.importorskip("obstore", reason="needs the extra 'objects'")
    folder = bucket / "a b"
    folder.mkdir()
    path = make_container(FILES, folder / "app 1.zip")
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(bucket))

        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/a%20b/app%201.zip"
        try:
            archive, size = deliver(Settings(cache_dir=str(cache), artifact=url))
        finally:
            server.shutdown()
            thread.join()

    assert size == path.stat().st_size
    assert archive.index.entry("shop/prices.py") is not None
    assert set(asked) == {"/a%20b/app%201.zip"}


def test_bytes_are_reported_while_they_come(bucket: Path, cache: Path) -> None:
    data = os.urandom(3 << 20)
    path = make_container({**FILES, "shop/data.bin": data}, bucket / "app.zip")
    reporter = Recorder()

    _, size = deliver(settings(path, cache), reporter)

    steps = [done for text, done, _ in reporter.steps if text.endswith("app.zip")]
    assert steps[0] is None
    assert steps[-1] == size
    assert len(steps) > 3


def test_until_it_is_an_archive_nobody_knows_what_it_takes(
    bucket: Path, cache: Path
) -> None:
    """A process that is killed leaves what it has unpacked."""
    path = make_container(FILES, bucket / "app.zip")
    known = []

    class Looking(Recorder):
        def step(self, *args: Any, **keywords: Any) -> None:
            known.append(taken(str(cache)))

    deliver(settings(path, cache), Looking())

    assert known
    assert set(known) == {None}
    size = taken(str(cache))
    assert size is not None
    assert size + (64 << 10) > usage(NodeCache(str(cache))) > 0
