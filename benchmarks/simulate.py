"""How long a store with limits makes many cold nodes wait: a model, and its check.

    python -m benchmarks.simulate                the check with 32 nodes, then 1,000
    python -m benchmarks.simulate --nodes 5000 --size 500

A discrete model. A node starts its interpreters, asks for the beginning of the archive,
then for the pieces of the rest over several connections, and decodes each piece. An
answer comes after a round trip, and once the store, which begins so many answers a
second, has its turn. All that is on its way shares the line of the store evenly; none
is faster than a connection, or its part of the node's line. Processors are shared in
the same way where nodes share a machine.

The processor time of a start, and of decoding a byte, is measured here. For the check
as many processes as nodes, each with a node cache of its own, fetch from a server on
this machine with a round trip and a bandwidth. What they took is compared with what the
model says of so many processors, which serve the bytes as well.
"""

from __future__ import annotations

import heapq
import os
import shutil
import statistics
import subprocess
import sys
import time
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import NamedTuple

from benchmarks import measure
from lazyimport.delivery.heads import FIRST
from lazyimport.delivery.pieces import piece_size
from lazyimport.registry.layout import archive_key
from lazyimport.settings import Settings
from lazyimport.stores.file import FileStore
from tests.support.shaped import Shaped
from tests.support.trees import make_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATH = f"import sys; sys.path[:] = {sys.path!r}; "
PROGRAM = _PATH + "import lazyimport; lazyimport.install(); import app"
#: What a fetcher does.
FETCH = (
    _PATH
    + """
import os
from lazyimport.delivery.fetch import fetch
from lazyimport.settings import Settings
settings = Settings.from_environ(os.environ)
fetch(settings, settings.hash)
"""
)
_NONE = float("inf")


class Setting(NamedTuple):
    """A store, its line and the nodes: bytes, seconds, and both for each other.

    ``start`` and ``decode`` are seconds of a processor: for a node, and for a byte.
    """

    round_trip: float
    line: float
    start: float
    decode: float
    connection: float = _NONE
    node: float = _NONE
    answers: float = _NONE
    processors: float = _NONE
    connections: int = 8


class Shared:
    """What is shared evenly by all that use it at a time, none more than *most*.

    All have the same part, so one number says how much each has had since the start.
    """

    def __init__(self, total: float, most: float) -> None:
        self._total = total
        self._most = most
        self._had = self._at = 0.0
        self._users: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = count()

    def use(self, now: float, amount: float, then: Callable[[float], None]) -> None:
        """Call *then* when *amount* has been used from *now* on."""
        self._advance(now)
        heapq.heappush(self._users, (self._had + amount, next(self._numbers), then))

    @property
    def ends(self) -> float:
        """When the next user has had all that it needs."""
        if not self._users:
            return _NONE
        return self._at + max(self._users[0][0] - self._had, 0) / self._speed

    def end(self, now: float) -> None:
        """Let the next user go."""
        self._advance(now)
        self._had, _, then = heapq.heappop(self._users)
        then(now)

    @property
    def _speed(self) -> float:
        return min(self._most, self._total / len(self._users))

    def _advance(self, now: float) -> None:
        if self._users:
            self._had += (now - self._at) * self._speed
        self._at = now


class Model:
    """*nodes* that all miss an archive of *size* bytes at the same moment."""

    def __init__(self, setting: Setting, size: int, nodes: int) -> None:
        self._setting = setting
        self._size = size
        each = min(setting.connection, setting.node / setting.connections)
        self._line = Shared(setting.line, each)
        self._processors = Shared(setting.processors, 1.0)
        self._turn = 0.0
        self._timers: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = count()
        self.requests = self.moved = 0
        self.ended: list[float] = []
        for _ in range(nodes):
            self._processors.use(0, setting.start, _Node(self, size).begin)

    def run(self) -> None:
        """Go on until all nodes have the archive."""
        while True:
            timer = self._timers[0][0] if self._timers else _NONE
            line, processors = self._line.ends, self._processors.ends
            now = min(timer, line, processors)
            if now == _NONE:
                return
            if now == timer:
                heapq.heappop(self._timers)[2](now)
            elif now == line:
                self._line.end(now)
            else:
                self._processors.end(now)

    def ask(self, now: float, size: int, then: Callable[[float], None]) -> None:
        """Ask for *size* bytes; *then* is called when they are there."""
        self.requests += 1
        self.moved += size
        self._turn = max(self._turn + 1 / self._setting.answers, now)

        def answer(now: float) -> None:
            self._line.use(now, size, then)

        at = self._turn + self._setting.round_trip
        heapq.heappush(self._timers, (at, next(self._numbers), answer))

    def decode(self, now: float, size: int, then: Callable[[float], None]) -> None:
        """Call *then* when *size* bytes are decoded and in their place."""
        self._processors.use(now, size * self._setting.decode, then)

    def pieces(self) -> Iterator[int]:
        """Yield the sizes of what is asked for after the first request."""
        size_of = piece_size(self._setting.connections)
        left = self._size - FIRST
        while left > 0:
            size = min(size_of(left), left)
            yield size
            left -= size


class _Node:
    def __init__(self, model: Model, size: int) -> None:
        self._model = model
        self._size = size
        self._coming = 0
        self._waiting: list[int] = []

    def begin(self, now: float) -> None:
        self._model.ask(now, min(self._size, FIRST), self._index)

    def _index(self, now: float) -> None:
        self._waiting = list(self._model.pieces())[::-1]
        self._coming = len(self._waiting) + 1
        for _ in range(self._model._setting.connections):  # noqa: SLF001
            self._next(now)
        self._model.decode(now, min(self._size, FIRST), self._done)

    def _next(self, now: float) -> None:
        if self._waiting:
            size = self._waiting.pop()

            def came(now: float) -> None:
                self._next(now)
                self._model.decode(now, size, self._done)

            self._model.ask(now, size, came)

    def _done(self, now: float) -> None:
        self._coming -= 1
        if not self._coming:
            self._model.ended.append(now)


class Outcome(NamedTuple):
    """What came of a run, and when the first, middle and last node was done."""

    requests: int
    moved: int
    first: float
    median: float
    last: float

    @classmethod
    def of(cls, requests: int, moved: int, ended: list[float]) -> Outcome:
        """Return it for nodes that *ended* after so many seconds."""
        return cls(requests, moved, min(ended), statistics.median(ended), max(ended))

    def row(self, *names: str) -> tuple[str, ...]:
        """Return it as a row of a table."""
        times = (f"{at:.2f}" for at in self[2:])
        return (*names, f"{self.requests:,}", f"{self.moved / 1e6:,.0f}", *times)


def predict(setting: Setting, size: int, nodes: int) -> Outcome:
    """Return what the model says."""
    model = Model(setting, size, nodes)
    model.run()
    return Outcome.of(model.requests, model.moved, model.ended)


def fetch(server: Shaped, url: str, hash: str, nodes: int) -> Outcome:
    """Start as many processes as *nodes*, each with a node cache of its own."""
    place = "/dev/shm" if os.path.isdir("/dev/shm") else "/tmp"
    root = f"{place}/lazyimport-benchmark-{os.getpid()}"
    shutil.rmtree(root, ignore_errors=True)
    server.requests = server.moved = 0
    began = time.perf_counter()
    children = []
    try:
        for number in range(nodes):
            settings = Settings(hash, url, f"{root}/{number}", fetch="whole")
            child = subprocess.Popen(
                [sys.executable, "-S", "-c", PROGRAM],
                env=measure.clean_environ(settings.to_environ()),
            )
            children.append(child)
        ended: dict[int, float] = {}
        while len(ended) < nodes:
            for number, child in enumerate(children):
                if number not in ended and child.poll() is not None:
                    if child.returncode:
                        raise RuntimeError("a process failed")
                    ended[number] = time.perf_counter() - began
            time.sleep(0.005)
        return Outcome.of(server.requests, server.moved, list(ended.values()))
    finally:
        for child in children:
            child.kill()
            child.wait()
        shutil.rmtree(root, ignore_errors=True)


def costs(url: str, small: str, large: str, size: int) -> tuple[float, float]:
    """Return the seconds of a processor for a start, and for fetching a byte."""
    with measure.scratch() as folder:

        def cpu(program: str, hash: str, number: int) -> float:
            settings = Settings(hash, url, f"{folder}/{number}{hash[:6]}")
            command = [sys.executable, "-S", "-c", program]
            return measure.run(command, settings.to_environ()).cpu / 1000

        def middle(program: str, hash: str) -> float:
            return statistics.median(cpu(program, hash, number) for number in range(7))

        little, much = middle(FETCH, small), middle(FETCH, large)
        return middle(PROGRAM, small) + little, max(much - little, 0) / size


def archive(folder: str, size: int) -> str:
    """Put an archive of about *size* bytes, in many files, into the store *folder*."""
    files: dict[str, str | bytes] = {"app/__init__.py": ""}
    part = 1 << 17
    for number in range(size // part):
        files[f"app/{number}.bin"] = os.urandom(part)
    data, hash = make_archive(files, raw=False)
    FileStore(folder).put(archive_key(hash), BytesIO(data))
    return hash


def main() -> None:
    parser = measure.arguments(__doc__, rounds=3)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--size", type=int, default=100, help="MB of the archive")
    options = parser.parse_args()
    few, rounds = (4, 1) if options.quick else (32, options.rounds)
    measure.print_machine()
    rows = []
    with measure.scratch() as folder:
        small, large = archive(folder, 1 << 17), archive(folder, 12 << 20)
        size = os.path.getsize(f"{folder}/{archive_key(large)}")
        server = Shaped(Path(folder))
        with server.serving() as url:
            began = time.process_time()
            start, decode = costs(url, small, large, size)
            served = (time.process_time() - began) / server.moved
        print(f"\nOne node: {start:.3f} s to start, {decode * 1e9:.2f} s for 1 GB\n")
        line, round_trip = few * (4e6 if options.quick else 1e6), 0.05
        server = Shaped(Path(folder), rate=line, delay=round_trip)
        with server.serving() as url:
            runs = [fetch(server, url, large, few) for _ in range(rounds)]
    measured = Outcome(
        *(type(each[0])(statistics.median(each)) for each in zip(*runs, strict=True))
    )
    setting = Setting(
        round_trip, line, start, decode + served, processors=float(os.cpu_count() or 1)
    )
    said = predict(setting, size, few)
    rows += [measured.row(f"{few} measured"), said.row(f"{few} in the model")]
    head = ["nodes", "requests", "MB", "first, s", "median, s", "last, s"]
    measure.table(head, rows)
    errors = [
        f"{abs(model / real - 1):.0%}"
        for model, real in zip(said[3:], measured[3:], strict=True)
    ]
    print(
        "\nThe model is off by {} for the median and {} for the last.\n".format(*errors)
    )
    rows = []
    for name, line, answers in (
        ("200 Gbit/s, 5,000 answers a second", 25e9, 5000.0),
        ("20 Gbit/s, 5,000 answers a second", 2.5e9, 5000.0),
        ("20 Gbit/s, 500 answers a second", 2.5e9, 500.0),
        ("2 Gbit/s, 500 answers a second", 250e6, 500.0),
    ):
        setting = Setting(0.06, line, start, decode, 100e6, 625e6, answers)
        found = predict(setting, options.size * 10**6, options.nodes)
        rows.append(found.row(f"{options.nodes:,}: {name}"))
    measure.table(head, rows)


if __name__ == "__main__":
    main()
