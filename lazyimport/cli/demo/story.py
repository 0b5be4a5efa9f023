"""The story that the demo tells, step by step, and what it adds up to."""

from __future__ import annotations

import os
import sys
import time

from lazyimport.cli.legacy import paint
from lazyimport.cli.packing import describe_published as describe
from lazyimport.cli.tables import amount, print_table, size
from lazyimport.errors import LazyImportError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lazyimport.cache.node import NodeCache
    from lazyimport.cli.demo.application import Application
    from lazyimport.cli.demo.workers import Workers
    from lazyimport.cli.legacy import Notes
    from lazyimport.delivery.publish import Published
    from lazyimport.packing.roots import Packed
    from lazyimport.stores import Store

__all__ = ["Story"]

_BEFORE, _AFTER = 10, 25
_ORDERS = [("starter", 1), ("team", 3), ("company", 1), ("team", 10)]
_WIDTH = 9


class Story:
    """One telling of the demo; `tell` tells it.

    ``created`` are the hashes that this telling has put into the store, or was
    about to.
    """

    def __init__(
        self,
        application: Application,
        workers: Workers,
        store: Store,
        cache: NodeCache,
        notes: Notes,
    ) -> None:
        self._application = application
        self._workers = workers
        self._store = store
        self._cache = cache
        self._notes = notes
        self._figures: list[tuple[str, str]] = []
        self.created: list[str] = []

    def tell(self) -> None:
        """Run everything; raises LazyImportError where it does not go as promised."""
        first = self._first_push()
        self._start_workers()
        self._run_first(first)
        second, edited, pushed = self._edit()
        self._run_second(first, second, edited, pushed)
        self._roll_back(first)
        print()
        print_table(self._figures, indent="  ")

    def _first_push(self) -> str:
        app = self._application
        self._notes.wait("copying an application together")
        app.write(_BEFORE)
        libraries = ", ".join(app.libraries[:4])
        more = len(app.libraries) - 4
        tail = f" and {more} more" if more > 0 else ""
        self._step("app", f"a small shop with {libraries}{tail}, as they are installed")
        packed, published, seconds = self._push()
        app.remove()
        _expect(_unknown_here(), "this process can import demo_app by itself")
        self._step(
            "push",
            f"{amount(packed.modules, 'module')}: {describe(published)}, {seconds:.1f} s",
        )
        self._step("", f"hash {packed.hash}")
        self._step(
            "", "the folder is deleted: the code is in this archive, nowhere else"
        )
        self._figure("modules in the archive", f"{packed.modules:,}")
        self._figure("modules imported by a worker", "")
        self._figure("moved by the first push", size(published.size))
        return packed.hash

    def _start_workers(self) -> None:
        started = time.perf_counter()
        self._notes.wait(f"starting {self._workers.name}")
        what = self._workers.start()
        seconds = time.perf_counter() - started
        took = f", in {seconds:.1f} s" if seconds > 1 else ""
        self._step("workers", f"{what}{took}; they know nothing of the shop")

    def _run_first(self, name: str) -> None:
        self._notes.wait("waiting for the first tasks")
        answers, seconds = self._order(name)
        one = answers[1]
        pids = {answer["pid"] for answer in answers}
        processes = "one process" if len(pids) == 1 else f"{len(pids)} processes"
        self._step(
            "tasks",
            f"{amount(len(answers), 'task')} in {processes}, {seconds:.1f} s: {_sold(one)}",
        )
        exists = "exists" if os.path.exists(one["file"]) else "does not exist"
        self._step("", f"said by {_tail(one['file'])}, a file that {exists}")
        fetched = max(answer["fetched"] for answer in answers)
        if fetched:
            self._step("", f"one of them fetched {size(fetched)} for all of the node")
        imported = max(answer["imported"] for answer in answers)
        self._figures[1] = (self._figures[1][0], f"{imported:,}")
        self._notes.wait("making an actor")
        self._workers.create(name, f"till-{name}", "demo_app.tills:Till")
        total = self._sell(name)
        self._step("actor", f"a till of the class demo_app.tills.Till: {total} in it")

    def _edit(self) -> tuple[str, float, str]:
        app = self._application
        app.write(_BEFORE)
        started = time.perf_counter()
        app.edit(_BEFORE, _AFTER)
        packed, published, seconds = self._push()
        app.remove()
        self._step(
            "edit", f"{app.EDITED}: {app.line(_BEFORE)} becomes {app.line(_AFTER)}"
        )
        self._step("push", f"{describe(published)}, {seconds:.1f} s")
        self._step("", f"hash {packed.hash}")
        self._figure("moved by the change", size(published.size))
        return packed.hash, started, f"{seconds:.1f} s of it the push"

    def _run_second(self, first: str, second: str, edited: float, pushed: str) -> None:
        self._notes.wait("waiting for tasks with the new code")
        answers, _ = self._order(second)
        seconds = time.perf_counter() - edited
        self._step(
            "tasks",
            f"by the new hash, {seconds:.1f} s after the edit: {_sold(answers[1])}",
        )
        self._figure("from the edit to new code running", f"{seconds:.1f} s ({pushed})")
        self._workers.create(second, f"till-{second}", "demo_app.tills:Till")
        new, old = self._sell(second), self._sell(first)
        self._step(
            "both",
            f"a new till sells three for {new}; the first one, beside it, goes on at "
            f"its own price: {old} in it now",
        )
        _expect((new, old) == (270, 648), f"wrong sums: {new} and {old}")

    def _roll_back(self, first: str) -> None:
        answers, seconds = self._order(first)
        _expect(answers[1]["result"]["price"] == 324, "the old price did not come back")
        self._step(
            "rollback",
            f"by the first hash again, {seconds:.2f} s: {_sold(answers[1])}",
        )
        self._figure("from the decision to the old code running", f"{seconds:.2f} s")

    def _push(self) -> tuple[Packed, Published, float]:
        from lazyimport.delivery.publish import publish
        from lazyimport.packing.compile import find_interpreters
        from lazyimport.packing.config import Config
        from lazyimport.packing.roots import pack_roots

        started = time.perf_counter()
        packed = pack_roots(
            [self._application.folder],
            Config(gitignore=False),
            find_interpreters(()),
            self._cache,
            reporter=self._notes,
        )
        self._notes.wait(f"sending to {self._store.url}")
        self.created.append(packed.hash)  # ours alone: its stamp is
        published = publish(packed.archive, self._store, self._cache)
        return packed, published, time.perf_counter() - started

    def _order(self, name: str) -> tuple[list[Any], float]:
        started = time.perf_counter()
        answers = self._workers.call(name, "demo_app.orders:order", _ORDERS)
        for answer in answers:
            _expect(
                answer["hash"] == name,
                f"a worker that was to run {name} runs {answer['hash']}",
            )
        return answers, time.perf_counter() - started

    def _sell(self, name: str) -> int:
        answer = self._workers.send(name, f"till-{name}", "sell", "team", 3)
        return int(answer["result"])

    def _step(self, label: str, text: str) -> None:
        self._notes.clear()
        print(f"  {paint(label.ljust(_WIDTH), 'bold', sys.stdout)} {text}", flush=True)

    def _figure(self, name: str, value: str) -> None:
        self._figures.append((name, value))


def _sold(answer: Any) -> str:
    order = answer["result"]
    return f"three licences for the team cost {order['price']}"


def _short(name: str) -> str:
    return f"{name[:12]}.."


def _tail(path: str) -> str:
    """Return a path of a tree with its hash cut short."""
    head, _, rest = path.partition("/trees/")
    return f"../trees/{_short(rest[:64])}{rest[64:]}" if rest else head


def _unknown_here() -> bool:
    from importlib.util import find_spec

    return find_spec("demo_app") is None


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise LazyImportError(f"the demo does not hold: {otherwise}")
