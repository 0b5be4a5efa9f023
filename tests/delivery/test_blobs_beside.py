"""Large files that a process wants come before the rest of their archive."""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Event

import pytest

from lazyimport.cache.disks import is_local
from lazyimport.delivery.blobs_beside import Beside
from lazyimport.format.blobs import Blob
from tests.support.cold_node import ColdNode
from tests.support.large import LOOSE, LargeSite
from tests.support.shaped import Shaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lazyimport.delivery.line import Share

pytest.importorskip("obstore", reason="needs the extra 'objects'")

#: looks at the folder of a package, all of whose files must be there then
LOOK = """
import os, shop
print(len(os.listdir(os.path.dirname(shop.__file__) + "/weights")))
"""
#: header, index, and what was asked for with them
BEGINNING = 4 << 20
#: requests for the rest that were under way
UNDER_WAY = 4 << 20


def commands() -> Iterator[str]:
    """Yield what the processes of this machine are."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_bytes().decode(errors="replace")


def until(condition: Callable[[], object]) -> None:
    """Wait until *condition* is true."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_wanted_comes_before_the_rest(tmp_path: Path) -> None:
    """The fetcher of the archive brings it, but not what is to come on demand."""
    if not is_local(str(tmp_path)):
        pytest.skip("archives are not streamed to this kind of disk")
    site = LargeSite(tmp_path, on_demand=LOOSE)
    (site.tree / "unused").mkdir()
    for number in range(64):
        data = random.Random(number).randbytes(1 << 19)
        (site.tree / f"unused/{number}.bin").write_bytes(data)
    hash = site.push().hash
    server = Shaped(tmp_path / "store")
    server.most = BEGINNING
    with server.serving() as url:
        node = ColdNode(tmp_path, server, url, hash, fetch="stream")
        process = node.start(LOOK)
        folder = Path(node.cache.folder("archives"))
        until(lambda: any(p.stat().st_size for p in folder.glob("*.wishes.tmp")))
        until(Path(node.cache.lock_path(site.blob(hash).name)).exists)
        time.sleep(0.3)
        assert process.poll() is None
        assert not any(f"blob {hash}" in command for command in commands())
        server.rate = 10e6
        server.most = 1e12
        said, errors = process.communicate(timeout=60)
        moved = server.moved
        server.rate = 1e12
        assert said == "2\n", errors
        assert moved < BEGINNING + UNDER_WAY + os.path.getsize(site.here(hash)) + (
            8 << 20
        )
        until(lambda: not node.fetchers())
        node.is_left_alone()
    assert site.here(hash).stat().st_size == len(site.dense)
    assert not site.here(hash, LOOSE).exists()
    size = node.object.stat().st_size + len(site.dense)
    assert server.moved == size


def test_each_begins_when_the_last_but_one_has_been_asked_for() -> None:
    """Whether that has come or not; and it knows what comes behind it."""
    begun: Queue[Share] = Queue()
    come = Event()

    def bring(blob: Blob, share: Share) -> int:
        begun.put(share)
        assert come.wait(10)
        return blob.size

    blobs = [Blob(bytes([n]) * 32, 10**n) for n in range(4)]
    beside = Beside(8, bring)
    beside.want(*blobs)
    first, second = begun.get(timeout=5), begun.get(timeout=5)
    assert min(first.behind, second.behind) == 1100
    with pytest.raises(Empty):
        begun.get(timeout=0.05)
    first.asked()
    second.asked()
    assert min(begun.get(timeout=5).behind for _ in range(2)) == 0
    beside.want(*blobs)  # they are coming
    come.set()
    beside.wait()
    assert beside.moved == 1111
    assert begun.empty()


def test_one_of_which_nothing_is_asked_lets_the_others_begin() -> None:
    brought: list[int] = []

    def bring(blob: Blob, _: Share) -> int:
        brought.append(blob.size)
        return 0

    beside = Beside(8, bring)
    beside.want(*(Blob(bytes([n]) * 32, n) for n in range(9)))
    beside.wait()
    assert sorted(brought) == [*range(9)]
