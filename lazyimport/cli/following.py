"""A rollout as a person sees it: a living table on a terminal, else what changes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from lazyimport.cli import console
from lazyimport.cli.figures import age
from lazyimport.cli.progress import Progress
from lazyimport.deploy import Served
from lazyimport.deploy.failure import headline
from lazyimport.values import escaped

_HEADER = ("DEPLOYMENT", "REPLICA", "HASH", "STATE", "AGE")


def follow_and_tell(rollout: Iterable[Sequence[Served]], reporter: Progress) -> None:
    """Show a rollout until it is through. Raises what following it raises."""
    started = time.monotonic()
    applications: Sequence[Served] = ()
    live = console.is_live(sys.stderr) and not reporter.quiet
    with _table() if live else _changes(reporter.say) as show:
        for applications in rollout:
            show(applications)
    names = ", ".join(app.name for app in applications)
    count = sum(len(app.replicas) for app in applications)
    seconds = time.monotonic() - started
    reporter.conclude(f"{names}: all {count} replicas run it, after {seconds:.1f} s")


@contextmanager
def _table() -> Iterator[Callable[[Sequence[Served]], None]]:
    """Give a function that shows where a rollout is, in a table that changes."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    def show(applications: Sequence[Served]) -> None:
        rows = [row for app in applications for row in _rows(app)]
        table = console.make_table(rows, header=_HEADER)
        why = [Text(escaped(line)) for app in applications for line in _why(app)]
        live.update(Group(table, *why), refresh=True)

    with Live(console=console.console(sys.stderr), auto_refresh=False) as live:
        yield show


def _rows(app: Served) -> Iterator[tuple[str, ...]]:
    yield app.name, "", (app.hash or "")[:12], app.status, ""
    now = time.time()
    for replica in sorted(app.replicas, key=lambda r: (r.deployment, r.started or 0)):
        yield (
            f"  {replica.deployment}",
            replica.id,
            (replica.hash or "-")[:12],
            replica.state,
            age(now - replica.started) if replica.started else "",
        )


@contextmanager
def _changes(
    say: Callable[[str], None],
) -> Iterator[Callable[[Sequence[Served]], None]]:
    """Give a function that says a line for all that is new in a rollout."""
    seen: set[str] = set()

    def show(applications: Sequence[Served]) -> None:
        for line in (line for app in applications for line in _lines(app)):
            if line not in seen:
                seen.add(line)
                say(line)

    yield show


def _why(app: Served) -> Iterator[str]:
    """Yield what Serve says keeps *app*, as replicas for which there is no room."""
    if app.status == "DEPLOYING" and app.message:
        yield f"{app.name}: {headline(app.message)}"


def _lines(app: Served) -> Iterator[str]:
    yield f"{app.name} {app.status}"
    yield from _why(app)
    for replica in app.replicas:
        name = f"{app.name}/{replica.deployment}/{replica.id}"
        yield f"{name} {(replica.hash or '-')[:12]} {replica.state}"
