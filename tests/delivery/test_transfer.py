"""How much of an archive has come or gone is reported while it does."""

from __future__ import annotations

import io
import signal
import threading
import time
from typing import Any

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.delivery import transfer
from lazyimport.delivery.fetch import fetch
from lazyimport.delivery.line import Line
from lazyimport.delivery.publish import publish
from lazyimport.delivery.transfer import Outgoing, bring
from lazyimport.errors import StoreUnavailable
from lazyimport.reporting import Reporter
from lazyimport.settings import Settings
from lazyimport.stores import open_store, writable
from tests.support.trees import make_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lazyimport.delivery.transfer import Piece


class Steps(Reporter):
    """Remembers every step."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, ...]] = []

    def step(self, *step: Any) -> None:
        self.all.append(step)


DATA, HASH = make_archive({"pkg/__init__.py": "", "pkg/x.txt": "x" * 9000})


def test_what_goes_is_counted_again_if_it_is_sent_again() -> None:
    steps = Steps()
    outgoing = Outgoing(io.BytesIO(b"x" * 300), "sending", steps)
    for _ in range(2):
        outgoing.seek(0)
        while outgoing.read(200):
            pass

    counts = [done for _, done, total, _ in steps.all if total == 300]
    assert [200, 300, 300] * 2 == counts


def test_fetching_and_publishing_report(tmp_path: Path) -> None:
    url, steps = f"file://{tmp_path}/store", Steps()
    author, node = (Settings(HASH, url, tmp_path / name) for name in ("a", "n"))
    cache = NodeCache(author.cache_dir)
    archive = cache.publish(HASH, lambda out: out.write(DATA))

    published = publish(archive, writable(open_store(url)), cache, steps)
    sent = [done for text, done, _, _ in steps.all if text == f"sending to {url}"]
    steps.all.clear()
    fetch(node, HASH, steps)
    text, done, total, unit = steps.all[-1]

    assert published.size == max(sent) == done == total
    assert f"fetching {HASH[:12]} from {url}" == text
    assert "bytes" == unit


class Ranges:
    """A store whose answers take as long as *pauses* says, by start and try."""

    url = "memory://ranges"
    ranges = True

    def __init__(self, pauses: dict[tuple[int, int], float]) -> None:
        self.pauses = pauses
        self.asked: list[int] = []

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        self.asked.append(start)
        pause = self.pauses.get((start, self.asked.count(start)), 0)
        if pause < 0:
            raise StoreUnavailable("down", url=self.url, key=key)
        time.sleep(pause)
        return bytes(range(start, end or 0))

    def download(self, key: str, out: Any, start: int = 0) -> int:
        raise AssertionError


PIECES = [("key", start, start + 10) for start in range(0, 100, 10)]


def brought(store: Ranges, connections: int = 4) -> dict[Piece, bytes]:
    came: dict[Piece, bytes] = {}

    def take(piece: Piece, data: bytes) -> None:
        assert piece not in came
        came[piece] = data

    bring(store, PIECES, connections, take)
    return came


EXPECTED = {piece: bytes(range(*piece[1:])) for piece in PIECES}


@pytest.mark.parametrize("connections", [1, 2, 4, 64])
def test_pieces_come_over_any_number_of_connections(connections: int) -> None:
    store = Ranges({})
    assert brought(store, connections) == EXPECTED
    assert sorted(store.asked) == [start for _, start, _ in PIECES]


def test_a_slow_piece_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_SLOW", 0.1)
    store = Ranges({(30, 1): 20})
    began = time.monotonic()
    assert brought(store) == EXPECTED
    assert time.monotonic() - began < 5
    assert store.asked.count(30) == 2


def test_the_second_try_may_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_SLOW", 0.1)
    store = Ranges({(30, 1): 1, (30, 2): -1})
    assert brought(store) == EXPECTED


def test_the_first_error_ends_it() -> None:
    store = Ranges({(30, 1): -1, (40, 1): 20})
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="down"):
        brought(store)
    assert time.monotonic() - began < 5


def test_an_error_of_the_taker_ends_it() -> None:
    def take(piece: Piece, data: bytes) -> None:
        raise OSError(28, "full")

    with pytest.raises(OSError, match="full"):
        bring(Ranges({}), PIECES, 4, take)


def test_an_error_of_the_pieces_ends_it() -> None:
    def pieces() -> Iterator[Piece]:
        yield from PIECES[:5]
        raise OSError(5, "broken")

    with pytest.raises(OSError, match="broken"):
        bring(Ranges({}), pieces(), 4, lambda *_: None, lambda: None)


def fill_the_disk() -> None:
    raise OSError(28, "full")


def interrupt() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@pytest.mark.parametrize(
    ("end", "error"), [(fill_the_disk, OSError), (interrupt, KeyboardInterrupt)]
)
def test_nothing_is_taken_after_it_has_ended(
    end: Callable[[], None], error: type[BaseException]
) -> None:
    """The file that the pieces go to is closed then."""
    ended: list[str] = []
    late: list[str] = []

    def take(piece: Piece, data: bytes) -> None:
        if piece[1] == 0:
            end()
        time.sleep(0.2)
        late.extend(ended)

    with pytest.raises(error):
        bring(Ranges({(0, 1): 0.05}), PIECES, 4, take)
    ended.append("ended")
    time.sleep(0.5)
    assert late == []


def test_what_is_urgent_comes_over_a_connection_of_its_own() -> None:
    """And is asked for again if it is slow, while the others are busy."""
    urgent = [("key", 200, 210)]
    store = Ranges({(0, 1): 0.5, (10, 1): 0.5})
    came: list[int] = []

    def next_urgent() -> Piece | None:
        return urgent.pop() if urgent else None

    def take(piece: Piece, data: bytes) -> None:
        came.append(piece[1])

    bring(store, PIECES, 2, take, next_urgent)
    assert came[0] == 200
    assert sorted(came) == [*(start for _, start, _ in PIECES), 200]


def test_one_stream_brings_pieces_in_the_order_of_the_object() -> None:
    class Whole(Ranges):
        ranges = False

        def download(self, key: str, out: Any, start: int = 0) -> int:
            return int(out.write(bytes(range(start, 100))))

    came: dict[Piece, bytes] = {}
    bring(Whole({}), [*PIECES[5:], *PIECES[:5]], 4, came.__setitem__, lambda: None)
    assert came == EXPECTED


def test_what_is_taken_keeps_no_connection_from_asking() -> None:
    asking = threading.Semaphore(0)

    class Asked(Ranges):
        def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
            if self.asked:  # the first answer comes at once
                asking.release()
            return super().read(key, start, end)

    def take(piece: Piece, data: bytes) -> None:
        if piece[1] == 0:
            for _ in range(4):
                assert asking.acquire(timeout=5)

    bring(Asked({(start, 1): 0.05 for start in range(10, 100, 10)}), PIECES, 4, take)


def test_others_share_the_connections() -> None:
    line, at_once = Line(3), []
    running = threading.Semaphore(3)

    class Counted(Ranges):
        def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
            at_once.append(running.acquire(blocking=False))
            try:
                return super().read(key, start, end)
            finally:
                running.release()

    store = Counted({(start, n): 0.01 for start in range(0, 100, 10) for n in (1, 2)})
    other = threading.Thread(
        target=bring,
        args=(store, PIECES, 3, lambda *_: None),
        kwargs={"turns": lambda: line.first},
    )
    other.start()
    bring(store, PIECES, 3, lambda *_: None, turns=lambda: line.rest)
    other.join()
    assert at_once == [True] * 20
