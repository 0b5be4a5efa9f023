"""Large files go to a store once, and into the one file that ``pack -o`` writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO

import pytest
import zstandard

from lazyimport.delivery.contents import read_contents
from lazyimport.delivery.publish import publish
from lazyimport.delivery.pushing import push
from lazyimport.delivery.verify import verify_store
from lazyimport.errors import DamagedArchive, StoreError
from lazyimport.registry.gc import collect
from lazyimport.registry.survey import Rules
from lazyimport.stores import open_store, writable
from lazyimport.stores.file import FileStore
from tests.support.large import DENSE, LOOSE, LargeSite, damage
from tests.support.recorder import Recorder


@pytest.fixture
def site(tmp_path: Path) -> LargeSite:
    return LargeSite(tmp_path)


def test_any_zstd_opens_a_compressed_one(site: LargeSite) -> None:
    data = site.object(site.push().hash, LOOSE).read_bytes()

    opened = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True)

    assert opened.read() == site.loose


@pytest.mark.parametrize("path", [DENSE, LOOSE])
@pytest.mark.parametrize("how", ["cut", "changed"])
@pytest.mark.parametrize("line", ["x = 1\n", "x = 2\n"])
def test_a_push_mends_what_the_store_has_damaged(
    site: LargeSite, path: str, how: str, line: str
) -> None:
    """Whether the archive is there already or not."""
    stored = site.object(site.push().hash, path)
    sound = stored.read_bytes()
    stored.chmod(0o644)
    stored.write_bytes(sound[:-9] if how == "cut" else sound[:-9] + bytes(9))
    (site.tree / "shop/__init__.py").write_text(line)
    reporter = Recorder()

    pushed = push([site.tree], site.author_settings(), reporter=reporter).published

    assert stored.read_bytes() == sound
    assert pushed.large == len(sound)
    (warning,) = reporter.warnings
    assert f"{site.url}/blobs/{stored.name} is damaged; sending {path}" in warning
    assert not verify_store(open_store(site.url), site.node).faults


def test_one_that_nobody_has_proved_is_read_once(site: LargeSite) -> None:
    site.push()
    for proof in (site.base / "store/proofs").iterdir():
        proof.unlink()
    steps = []
    for _ in range(2):
        reporter = Recorder()
        pushed = push([site.tree], site.author_settings(), reporter=reporter).published
        assert (pushed.kind, pushed.large) == ("present", 0)
        assert not reporter.warnings
        steps.append([step for step in reporter.steps if "proving shop/" in str(step)])

    assert steps[0]
    assert not steps[1]


def test_proofs_stay_as_long_as_their_blobs(site: LargeSite) -> None:
    site.push()
    proofs = site.base / "store/proofs"
    for path in (site.base / "store").rglob("*"):
        if path.parent == proofs:
            os.utime(path, (1, 1))
    before = {path.name for path in proofs.iterdir()}

    collect(writable(open_store(site.url)), Rules(older_than=0), "me")

    assert {path.name for path in proofs.iterdir()} == before


@pytest.mark.parametrize("path", [DENSE, LOOSE])
def test_a_damaged_one_is_not_sent_and_comes_from_the_tree_again(
    site: LargeSite, path: str
) -> None:
    hash = site.pack().hash
    damage(site, hash, path)

    with pytest.raises(DamagedArchive, match=f"{path}.*Push again"):
        site.push()
    assert not site.object(hash, path).exists()

    assert site.push().hash == hash
    assert not verify_store(open_store(site.url), site.node).faults


@pytest.mark.parametrize("failure", [StoreError, KeyboardInterrupt])
def test_the_first_failure_ends_the_others(
    site: LargeSite, failure: type[BaseException]
) -> None:
    """A slow store reads a byte at a time; a push of gigabytes waits for none of it."""
    for number in range(4):
        copy = site.dense[number + 1 :]
        (site.tree / f"shop/weights/{number}.bin").write_bytes(copy)
    begun, ended = [], []
    sending = threading.Event()

    class Slow(FileStore):
        def put(self, key: str, data: BinaryIO) -> bool:
            if key.startswith("blobs/"):
                begun.append(key)
                if len(begun) == 4:
                    sending.set()
                elif len(begun) < 4:
                    sending.wait(10)
                if key == begun[0]:
                    if failure is StoreError:
                        raise StoreError("no")
                    os.kill(os.getpid(), signal.SIGINT)
                for _ in range(1000):
                    data.read(1)
                    time.sleep(0.01)
                ended.append(key)
            return super().put(key, data)

    revision = site.pack().revision
    with pytest.raises(failure):
        publish(revision, Slow(f"{site.base}/store"), site.author)

    assert not ended


def test_file_of_an_archive_has_all_of_it(site: LargeSite, tmp_path: Path) -> None:
    packed = site.pack()
    file = tmp_path / "code.lza"
    size = packed.save(str(file))
    assert len(site.dense) < size < len(site.dense) + len(site.loose) / 2

    other = site.settings()  # of a machine that has not packed it
    pushed = push([file], other).published

    assert pushed.hash == packed.hash
    assert pushed.size < 100_000
    assert pushed.large == sum(
        path.stat().st_size for path in (site.base / "store/blobs").iterdir()
    )
    assert site.object(pushed.hash).read_bytes() == site.dense


@pytest.mark.parametrize("path", [DENSE, LOOSE])
def test_one_can_be_read_without_a_cache(site: LargeSite, path: str) -> None:
    hash = site.push().hash

    contents = read_contents(hash, site.settings())

    expected = site.dense if path == DENSE else site.loose
    assert contents.content(contents.file(path)) == expected
    assert not Path(site.node.path).exists()


def test_packed_ones_run_without_a_store(site: LargeSite) -> None:
    hash = site.pack().hash
    environ = {**site.environ(hash), "LAZYIMPORT_CACHE_DIR": site.author.path}
    del environ["LAZYIMPORT_STORE"]
    program = (
        f"import lazyimport; print(len(open(lazyimport.path({DENSE!r}), 'rb').read()))"
    )

    printed = subprocess.check_output([sys.executable, "-c", program], env=environ)

    assert int(printed) == len(site.dense)
