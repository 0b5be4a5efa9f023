"""What came of a large file is kept, cell by cell, whatever happens meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lazyimport.cache.arriving import begin_blob
from lazyimport.delivery import feeds
from lazyimport.delivery.blobs_in import fetch_blob
from lazyimport.delivery.cells import CELL, Cells
from lazyimport.delivery.rooms import FileRoom
from lazyimport.errors import CacheError, DamagedArchive
from lazyimport.files import tries
from lazyimport.format.blobs import FRAME
from lazyimport.reporting import SILENT
from lazyimport.stores.file import FileStore
from tests.support.large import DENSE, LOOSE, LargeSite
from tests.support.shaped import Shaped

MIB = 1 << 20
FETCH = """
import os
from lazyimport.cache.node import NodeCache
from lazyimport.delivery.blobs_in import fetch_blob
from lazyimport.reporting import SILENT
from lazyimport.settings import Settings
settings = Settings.from_environ(os.environ)
archive = NodeCache(settings.cache_dir).open(settings.hash)
blob = archive.blobs()[bytes.fromhex(os.environ["BLOB"])]
print(fetch_blob(settings, settings.hash, blob, SILENT))
"""


@pytest.fixture
def site(tmp_path: Path) -> LargeSite:
    return LargeSite(tmp_path)


def runs(cells: Cells, here: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    return list(cells.missing(here, lambda _: most))


def test_what_is_missing_comes_in_runs_of_whole_cells() -> None:
    cells = Cells(5 * CELL + 7)
    assert runs(cells, [], 3 * CELL) == [(0, 3), (3, 6)]
    assert runs(cells, [], 1) == [(number, number + 1) for number in range(6)]
    assert runs(cells, [(0, 5 * CELL + 7)], CELL) == []
    assert cells.stored(3, 6) == cells.place(3, 6) == (3 * CELL, 5 * CELL + 7)


@pytest.mark.parametrize(
    ("here", "missing"),
    [
        ([(0, CELL)], [(1, 6)]),
        ([(0, CELL - 1)], [(0, 6)]),  # the last block of the cell may lack its end
        ([(CELL // 2, 3 * CELL + 9)], [(0, 1), (3, 6)]),
        ([(0, CELL), (2 * CELL, 3 * CELL)], [(1, 2), (3, 6)]),
        ([(5 * CELL, 5 * CELL + 7)], [(0, 5)]),
        ([(5 * CELL, 6 * CELL)], [(0, 5)]),
    ],
)
def test_a_cell_is_here_as_a_whole(
    here: list[tuple[int, int]], missing: list[tuple[int, int]]
) -> None:
    assert runs(Cells(5 * CELL + 7), here, 9 * CELL) == missing


def test_frames_are_cells() -> None:
    cells = Cells(2 * FRAME + 5, 100, [10, 20, 3])
    assert [cells.number_at(at) for at in (100, 109, 110, 130, 133)] == [0, 0, 1, 2, 3]
    assert (cells.stored(1, 3), cells.place(1, 3)) == (
        (110, 133),
        (FRAME, 2 * FRAME + 5),
    )
    assert runs(cells, [(0, FRAME)], 23) == [(1, 3)]


def test_killed_in_the_middle_of_a_piece(site: LargeSite) -> None:
    """What was on its way over a connection is lost, and not the piece."""
    hash = site.push().hash
    blob = site.blob(hash)
    size = len(site.dense)
    server = Shaped(Path(FileStore.from_url(site.url).folder))
    with server.serving() as url:
        settings = site.settings(hash, store=url, connections="2")
        environ = {**os.environ, **settings.to_environ(), "BLOB": blob.digest.hex()}
        for most in (3 * MIB, 6 * MIB):
            server.most = most
            command = [sys.executable, "-c", FETCH]
            with subprocess.Popen(command, env=environ) as child:
                for _ in tries(30):
                    if written(site) >= most - 4 * 2 * CELL:
                        break
                os.kill(child.pid, signal.SIGKILL)
        server.most = 1e12
        fetch_blob(settings, hash, blob, SILENT)
    assert site.here(hash).read_bytes() == site.dense
    # twice, two connections had a cell and what the line sends at once on their way
    assert server.moved <= size + 2 * 2 * (CELL + feeds.PART + 2 * MIB // 8)


def written(site: LargeSite) -> int:
    """Return how much of a large file lies in the node cache."""
    folder = Path(site.node.folder("blobs"))
    for path in folder.glob(".*.part.tmp"):
        with path.open("rb") as file:
            parts = FileRoom(file.fileno(), path.stat().st_size).parts()
            return sum(end - start for start, end in parts)
    return 0


@pytest.mark.parametrize("path", [DENSE, LOOSE])
@pytest.mark.parametrize("answer", ["cut", "longer", "forged", "another"])
def test_answers_that_lie(
    site: LargeSite, path: str, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of them gets a name; an honest answer after them is taken."""
    hash = site.push().hash
    receive = FileStore._receive

    def lying(self: FileStore, attempt: Any, write: Any, *part: Any) -> None:
        start, end = part
        if not start:  # all is well at first
            receive(self, attempt, write, start, end)
        elif answer == "cut":
            receive(self, attempt, write, start, end - 1000)
        elif answer == "longer":
            receive(self, attempt, write, start, end)
            write(bytes(1000))
        elif answer == "forged":
            receive(self, attempt, lambda data: write(bytes(len(data))), start, end)
        else:
            shift = min(start, 1000)
            receive(self, attempt, write, start - shift, end - shift)

    monkeypatch.setattr(FileStore, "_receive", lying)
    blob = site.blob(hash, path)
    with pytest.raises(DamagedArchive, match="verify --store"):
        fetch_blob(site.settings(), hash, blob, SILENT)
    assert not site.here(hash, path).exists()
    monkeypatch.undo()
    fetch_blob(site.settings(), hash, blob, SILENT)
    expected = site.dense if path == DENSE else site.loose
    assert site.here(hash, path).read_bytes() == expected


@pytest.mark.parametrize("connections", ["1", "4"])
def test_a_disk_that_is_full_in_the_middle_of_a_cell(
    site: LargeSite, connections: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hash = site.push().hash
    blob, settings = site.blob(hash), site.settings(connections=connections)
    pwritev = os.pwritev
    left = 3 * MIB + 5000

    def write(descriptor: int, parts: Any, at: int) -> int:
        nonlocal left
        data = b"".join(parts)[:left]
        left -= len(data)
        return pwritev(descriptor, [data], at)

    def full(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", write)
        patch.setattr(os, "pwrite", full)
        with pytest.raises(CacheError, match="No space left"):
            fetch_blob(settings, hash, blob, SILENT)
    assert written(site) >= 3 * MIB
    moved = fetch_blob(settings, hash, blob, SILENT)
    assert site.here(hash).read_bytes() == site.dense
    assert moved <= len(site.dense) - 3 * MIB + (int(connections) + 1) * CELL


def test_cells_that_a_power_cut_has_emptied_come_again(site: LargeSite) -> None:
    hash = site.push().hash
    blob = site.blob(hash)
    with begin_blob(site.node, blob) as file:
        file.truncate(blob.size)
        file.write(site.dense[:MIB] + bytes(CELL) + site.dense[MIB + CELL : 5 * MIB])
    fetch_blob(site.settings(), hash, blob, SILENT)
    assert site.here(hash).read_bytes() == site.dense
