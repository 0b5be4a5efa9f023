"""The story that the demo tells, chapter by chapter, and what it adds up to."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import click

from lazyimport.cli.console import is_live, print_table
from lazyimport.cli.demo.application import write
from lazyimport.cli.demo.workers import Workers
from lazyimport.cli.figures import amount, size
from lazyimport.cli.progress import Progress
from lazyimport.delivery import push
from lazyimport.errors import LazyImportError
from lazyimport.settings import Settings

_ORDERS = [("starter", 1), ("team", 3), ("company", 1), ("team", 10)]


class Story:
    """Tells the demo with *workers*; ``created`` are the hashes put into the store."""

    def __init__(self, workers: Workers, author: Settings, folder: str) -> None:
        self.workers = workers
        self._author = author
        self._folder = folder
        self._say = partial(click.secho, color=is_live(sys.stdout))
        self._known: set[int] = set()  # processes
        self._table: list[tuple[str, ...]] = []
        self.created: list[str] = []

    def tell(self) -> None:
        """Run everything; raises LazyImportError where it does not go as promised."""
        self._say("\n1. Push an application", bold=True)
        first, pushing, sent = self._push(10)
        self._say("   app is removed: its code is in the store now, and nowhere else.")

        self._say(f"\n2. Run it {self.workers.name}", bold=True)
        started, seconds = self._timed("starting it", self.workers.start)
        self._tell(f"{started}, without the code", seconds)
        self._order("all of it, from push to running", first, 324, pushing, sent)
        self._sell("the first", first, 324)

        self._say("\n3. Change one line and push again", bold=True)
        self._say("   - DISCOUNT = 10", fg="red")
        self._say("   + DISCOUNT = 25", fg="green")
        second, pushing, sent = self._push(25)

        self._say("\n4. Run both versions side by side", bold=True)
        self._order("one line, from edit to running", second, 270, pushing, sent)
        self._sell("the new", second, 270)
        self._sell("again the first", first, 648)

        self._say("\n5. Roll back", bold=True)
        self._order("back again, from decision to running", first, 324, 0, 0)

        header = ("What moved, and how long it took", "took", "sent", "fetched")
        self._say()
        print_table(self._table, header=header, right=(1, 2, 3))

    def _push(self, discount: int) -> tuple[str, float, int]:
        """Return the hash of the application, the seconds, and the bytes sent."""
        write(self._folder, discount)
        app = f"{self._folder}/app"
        self._say(f"   $ lazyimport push app --store {self._author.store}", fg="cyan")
        work = partial(push, [app], self._author, check=self.created.append)
        pushed, seconds = self._timed("packing and sending", work)
        shutil.rmtree(app)
        modules, sent = amount(pushed.packed.modules, "module"), pushed.published.size
        self._tell(f"{modules}, {size(sent)} sent, hash {pushed.hash[:12]}..", seconds)
        return pushed.hash, seconds, sent

    def _order(self, row: str, hash: str, cost: int, took: float, sent: int) -> None:
        """Run tasks of the archive *hash*, and fill a *row* of the table."""
        self._say(f"   >>> {self.workers.usage.format(hash[:12])}", fg="cyan")
        work = partial(self.workers.run, hash, "order", _ORDERS)
        answers, seconds = self._timed("waiting for the tasks", work)
        text, file, _, stats = answers[1]
        done = f"{len(answers)} tasks, {stats.modules} modules imported: {text}"
        self._tell(done, seconds)
        tail = file[file.find("/trees/") :].replace(hash, f"{hash[:12]}..")
        self._say(f"   by ..{tail}, a file that does not exist", dim=True)
        ran = {stats.hash for *_, stats in answers}
        if ran != {hash} or not text.endswith(f" {cost}") or os.path.exists(file):
            raise LazyImportError(f"{hash} was to run, and sell for {cost}: {answers}")
        fetched = {pid: stats.fetched for *_, pid, stats in answers}
        moved = sum(fetched[pid] for pid in fetched.keys() - self._known)
        self._known |= fetched.keys()
        self._table.append((row, f"{took + seconds:.2f} s", size(sent), size(moved)))

    def _sell(self, which: str, hash: str, total: int) -> None:
        """Sell with the till of *hash*, after which it must have *total*."""
        work = partial(self.workers.run, hash, self.workers.sell, _ORDERS[1:2])
        [(text, *_)], seconds = self._timed("waiting for a sale", work)
        self._tell(f"{which} {self.workers.actor}'s till: {text} in it", seconds)
        if text != str(total):
            raise LazyImportError(f"{total} should be in the till of {hash}")

    def _timed(self, doing: str, work: Callable[[], Any]) -> tuple[Any, float]:
        """Return what *work* returns, and the seconds it takes; show both meanwhile."""
        with Progress() as progress:
            progress.step(f"   {doing}")
            started = perf_counter()
            return work(), perf_counter() - started

    def _tell(self, text: str, seconds: float) -> None:
        self._say(f"   {text}" + click.style(f"  {seconds:.2f} s", dim=True))
