"""A node that has the base of a delta pays for the change, and for nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.cache.verify import prove
from lazyimport.delivery.fetch import fetch
from lazyimport.errors import ArchiveError
from lazyimport.format.archive import Archive
from lazyimport.settings import Settings
from tests.delivery.test_fetch import Site, contents
from tests.support.recorder import Recorder


class Warm:
    """A node that has an archive, and a store that has a delta to it, too."""

    def __init__(self, base: Path, mode: str = "raw") -> None:
        self.site = Site(base)
        self.first = self.site.push()
        self.site.fetch(self.first.hash, cache_mode=mode)
        (self.site.tree / "pkg/m3.py").write_text("def f3():\n    return 'new'\n")
        self.second = self.site.push()
        assert self.second.kind == "delta"
        self.cache = NodeCache(str(self.site.node))
        self.mode = mode

    def fetch(self, **changes: str) -> tuple[Archive, int]:
        return self.site.fetch(self.second.hash, cache_mode=self.mode, **changes)

    def run(self, program: str) -> subprocess.CompletedProcess[str]:
        environ = {
            "LAZYIMPORT_HASH": self.second.hash,
            "LAZYIMPORT_STORE": self.site.url,
            "LAZYIMPORT_CACHE_DIR": self.cache.path,
        }
        return subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def warm(tmp_path: Path) -> Warm:
    return Warm(tmp_path)


def size_of(cache: NodeCache, hash: str) -> int:
    return os.stat(cache.archive_path(hash)).st_size


@pytest.mark.parametrize("mode", ["raw", "zstd"])
def test_nothing_of_the_base_is_written_again(tmp_path: Path, mode: str) -> None:
    warm = Warm(tmp_path, mode)

    archive, moved = warm.fetch()

    assert moved == warm.second.size
    assert archive.base is not None
    assert archive.base.hash == warm.first.hash
    index = archive.header.members_at
    assert size_of(warm.cache, archive.hash) < index + 2 * warm.second.size
    original = warm.site.author.open(archive.hash)
    assert original is not None
    assert contents(archive) == contents(original)
    prove(archive)


def test_what_was_packed_here_runs_as_one(warm: Warm) -> None:
    """Without a store, and without the whole of it."""
    author = NodeCache(warm.site.author.path)
    author.remove(warm.second.hash)
    settings = Settings(warm.second.hash, cache_dir=author.path)

    archive, moved = fetch(settings, warm.second.hash)

    assert moved == 0
    assert archive.base is not None
    assert archive.base.hash == warm.first.hash
    prove(archive)


def test_a_base_that_somebody_removed(warm: Warm) -> None:
    warm.fetch()
    warm.cache.remove(warm.first.hash)
    recorder = Recorder()
    settings = warm.site.settings()

    archive, _ = fetch(settings, warm.second.hash, recorder)

    (warning,) = recorder.warnings
    for text in (warm.first.hash, warm.second.hash, "is missing", warm.site.url):
        assert text in warning
    prove(archive)


def test_a_base_that_somebody_removed_and_no_store(warm: Warm) -> None:
    warm.fetch()
    warm.cache.remove(warm.first.hash)
    settings = Settings(cache_dir=warm.cache.path)

    with pytest.raises(ArchiveError, match=r"is missing.*set LAZYIMPORT_STORE"):
        fetch(settings, warm.second.hash)


@pytest.mark.parametrize("where", ["base", "overlay"])
def test_damage_while_a_process_runs(warm: Warm, where: str) -> None:
    """The file that is damaged is replaced, whichever it is."""
    warm.fetch()
    hash = warm.first.hash if where == "base" else warm.second.hash
    word = b"f4" if where == "base" else b"new"
    path = Path(warm.cache.archive_path(hash))
    path.chmod(0o600)
    data = path.read_bytes()
    assert word in data
    path.write_bytes(data.replace(word, word[::-1]))

    done = warm.run("import pkg.m3, pkg.m4; print(pkg.m3.f3(), pkg.m4.f4())")

    assert (done.stdout, done.returncode) == ("new 16\n", 0)
    for text in (str(path), "is damaged", "fetched again"):
        assert text in done.stderr
    archive = warm.cache.open(warm.second.hash)
    assert archive is not None
    prove(archive)
    assert warm.run("import pkg.m3, pkg.m4").stderr == ""


def test_another_node_cache_takes_it_back_to_the_base(warm: Warm) -> None:
    warm.fetch()
    warm.site.object(warm.first.hash).unlink()
    warm.site.object(warm.second.hash).unlink()

    for pushed in (warm.first, warm.second):
        archive, moved = warm.site.fetch(pushed.hash)
        assert moved == 0
        prove(archive)
