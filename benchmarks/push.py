"""How long a push waits for a store that takes 60 ms to answer each request.

The store is a folder, so all else is quick. "waiting" is the time during which at
least one request was under way, and "in a row" is that divided by the 60 ms: so many
requests had to wait for one another.
"""

from __future__ import annotations

import os
import threading
import time

from benchmarks import change, measure
from lazyimport.delivery import push
from lazyimport.packing import PackOptions
from lazyimport.settings import Settings
from lazyimport.stores import open_store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ANSWER = 0.06


class Distant:
    """A store each of whose answers takes `ANSWER` seconds."""

    def __init__(self, store: Any) -> None:
        self.url = store.url
        self.store = store
        self.requests: list[tuple[str, float, float]] = []
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)

        def call(*arguments: Any) -> Any:
            began = time.perf_counter()
            time.sleep(ANSWER)
            try:
                answer = method(*arguments)
                return iter(list(answer)) if name == "list" else answer
            finally:
                with self._lock:
                    request = f"{name} {arguments[0] if arguments else ''}"
                    self.requests.append((request, began, time.perf_counter()))

        return call

    @property
    def waiting(self) -> float:
        """Seconds during which at least one request was under way."""
        total = end = 0.0
        for _, began, ended in sorted(self.requests, key=lambda request: request[1]):
            total += max(0.0, ended - max(began, end))
            end = max(end, ended)
        return total


def main() -> None:
    parser = measure.arguments(__doc__, rounds=1)
    parser.add_argument("--trace", action="store_true", help="print every request")
    options = parser.parse_args()
    measure.print_machine()
    rows: list[tuple[object, ...]] = []
    with measure.scratch() as folder:
        tree = os.path.join(folder, "tree")
        change.make_tree(tree, 100 if options.quick else 2000)
        for what, machine, line in (
            ("first", "author", ""),
            ("one line changed", "author", "A = 1\n"),
            ("nothing changed", "author", ""),
            ("another line, from an empty cache", "fresh", "A = 2\n"),
        ):
            with open(os.path.join(tree, change.CHANGED), "a") as file:
                file.write(line)
            rows.append(row(what, tree, folder, machine, trace=options.trace))
    measure.table(["", "sent as", "requests", "in a row", "waiting, s"], rows)


def row(
    what: str, tree: str, folder: str, machine: str, *, trace: bool
) -> tuple[object, ...]:
    """Push *tree* from *machine*."""
    store = Distant(open_store(f"file://{folder}/store"))
    settings = Settings(store=store.url, cache_dir=os.path.join(folder, machine))
    pushed = push(
        [tree], settings, PackOptions(jobs=1), environ={"USER": "me"}, store=store
    )
    assert store.requests
    if trace:
        first = min(began for _, began, _ in store.requests)
        for request, began, ended in store.requests:
            print(f"{began - first:.2f} to {ended - first:.2f}  {request}")
    waiting = store.waiting
    return (
        what,
        pushed.published.kind,
        len(store.requests),
        f"{waiting / ANSWER:.1f}",
        f"{waiting:.2f}",
    )


if __name__ == "__main__":
    main()
