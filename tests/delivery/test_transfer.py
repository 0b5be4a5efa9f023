"""How much of an archive has come or gone is reported while it does."""

from __future__ import annotations

import io
import signal
import threading
import time
from typing import Any

import pytest

from lazyimport.cache.node import NodeCache
from lazyimport.delivery import feeds, transfer
from lazyimport.delivery.fetch import fetch
from lazyimport.delivery.line import Line
from lazyimport.delivery.outgoing import Outgoing
from lazyimport.delivery.publish import publish
from lazyimport.delivery.transfer import bring
from lazyimport.errors import StoreUnavailable
from lazyimport.reporting import Reporter
from lazyimport.settings import Settings
from lazyimport.stores import open_store, writable
from tests.support.trees import make_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lazyimport.delivery.feeds import Data, Piece


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
    """A store that takes as long as *pauses* says, by the byte and how often."""

    url = "memory://ranges"
    ranges = True

    def __init__(self, pauses: dict[tuple[int, int], float]) -> None:
        self.pauses = pauses
        self.asked: list[int] = []
        self.sent: list[int] = []

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        raise AssertionError

    def download(
        self, key: str, out: Any, start: int = 0, end: int | None = None
    ) -> int:
        self.asked.append(start)
        for at in range(start, min(end or 100, 100)):
            self.sent.append(at)
            pause = self.pauses.get((at, self.sent.count(at)), 0)
            if pause < 0:
                raise StoreUnavailable("down", url=self.url, key=key)
            time.sleep(pause)
            out.write(bytes([at]))
        return min(end or 100, 100) - start


PIECES = [("key", start, start + 10) for start in range(0, 100, 10)]


def brought(
    store: Ranges, connections: int = 4, pieces: list[Piece] | None = None
) -> dict[Piece, bytes]:
    came: dict[Piece, bytes] = {}

    def take(piece: Piece, at: int, data: Data) -> None:
        assert at == piece[1] + len(came.get(piece, b""))
        came[piece] = came.get(piece, b"") + data

    bring(store, pieces or PIECES, connections, take)
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


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte is taken as soon as it has come."""
    monkeypatch.setattr(feeds, "PART", 1)


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize("connections", [1, 4])
def test_what_comes_is_taken_before_the_rest_of_its_piece(connections: int) -> None:
    came = threading.Semaphore(0)

    class Waiting(Ranges):
        def download(
            self, key: str, out: Any, start: int = 0, end: int | None = None
        ) -> int:
            out.write(bytes([start]))
            assert came.acquire(timeout=5)
            return super().download(key, out, start + 1, end)

    bring(Waiting({}), PIECES, connections, lambda *_: came.release())


@pytest.mark.usefixtures("one_by_one")
def test_the_rest_of_a_slow_piece_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transfer, "_SLOW", 0.1)
    store = Ranges({(33, 1): 20})
    began = time.monotonic()
    assert brought(store) == EXPECTED
    assert time.monotonic() - began < 5
    assert store.asked.count(30) == store.asked.count(33) == 1
    assert len(store.asked) == len(PIECES) + 1


@pytest.mark.usefixtures("one_by_one")
def test_of_two_that_bring_a_piece_the_faster_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whichever it is when: each byte is taken once, and in order."""
    monkeypatch.setattr(transfer, "_SLOW", 0.1)
    pauses = {(33, 1): 0.4, (33, 2): 0.1, (35, 1): 0.6, (36, 1): 0.1, (37, 2): 20}
    assert brought(Ranges(pauses)) == EXPECTED


@pytest.mark.usefixtures("one_by_one")
def test_what_comes_as_fast_as_all_is_not_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transfer, "_SLOW", 0.1)
    store = Ranges({(at, 1): 0.03 for at in range(100)})
    assert brought(store, 64) == EXPECTED
    assert sorted(store.asked) == [start for _, start, _ in PIECES]


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("connections", [1, 4])
def test_an_empty_part_says_that_the_object_has_ended(
    ranges: bool, connections: int
) -> None:
    store = Ranges({})
    store.ranges = ranges
    piece = ("key", 90, 101)
    parts: list[tuple[int, bytes]] = []
    bring(
        store,
        [*PIECES[:8], piece],
        connections,
        lambda piece, at, data: parts.append((at, bytes(data))),
    )
    assert [at for at, data in parts if not data] == [100]
    assert sum(len(data) for _, data in parts) == 90


def test_no_more_is_taken_than_was_asked_for() -> None:
    class Endless(Ranges):
        def download(
            self, key: str, out: Any, start: int = 0, end: int | None = None
        ) -> int:
            while True:
                out.write(bytes(range(start, start + 7)))
                start = (start + 7) % 200

    assert brought(Endless({})) == EXPECTED


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
    def take(piece: Piece, at: int, data: Data) -> None:
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

    def take(piece: Piece, at: int, data: Data) -> None:
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

    def take(piece: Piece, at: int, data: Data) -> None:
        came.append(piece[1])

    bring(store, PIECES, 2, take, next_urgent)
    assert came[0] == 200
    assert sorted(came) == [*(start for _, start, _ in PIECES), 200]


def test_one_stream_brings_pieces_in_the_order_of_the_object() -> None:
    class Whole(Ranges):
        ranges = False

        def download(
            self, key: str, out: Any, start: int = 0, end: int | None = None
        ) -> int:
            for at in range(start, 100, 7):
                out.write(bytes(range(at, min(at + 7, 100))))
            return 100 - start

    assert brought(Whole({}), pieces=[*PIECES[5:], *PIECES[:5]]) == EXPECTED


def test_what_is_taken_keeps_no_other_connection_from_asking() -> None:
    asking = threading.Semaphore(0)

    class Asked(Ranges):
        def download(self, *arguments: Any) -> int:
            if self.asked:  # the first answer comes at once
                asking.release()
            return super().download(*arguments)

    def take(piece: Piece, at: int, data: Data) -> None:
        if piece[1] == 0:
            for _ in range(4):
                assert asking.acquire(timeout=5)

    bring(Asked({(start, 1): 0.05 for start in range(10, 100, 10)}), PIECES, 4, take)


def test_others_share_the_connections() -> None:
    line, at_once = Line(3), []
    running = threading.Semaphore(3)

    class Counted(Ranges):
        def download(self, *arguments: Any) -> int:
            at_once.append(running.acquire(blocking=False))
            try:
                return super().download(*arguments)
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


@pytest.mark.parametrize("connections", [1, 4])
def test_it_is_told_when_the_last_piece_is_asked_for(connections: int) -> None:
    """So what comes next can begin before this has come."""
    line, store, asked = Line(connections), Ranges({}), []
    bring(
        store,
        PIECES,
        connections,
        lambda *_: None,
        turns=lambda: line.first,
        asked=lambda: asked.append(90 in store.asked),
    )
    assert asked == [False]
    assert sorted(store.asked) == [start for _, start, _ in PIECES]


def test_the_only_piece_of_a_transfer_takes_a_turn() -> None:
    line, store = Line(1), Ranges({})
    with line.first:
        only = threading.Thread(
            target=bring,
            args=(store, PIECES[:1], 1, lambda *_: None),
            kwargs={"turns": lambda: line.first},
        )
        only.start()
        only.join(0.1)
        assert not store.asked
    only.join(10)
    assert store.asked == [0]
