"""``dev`` as a person sees it: each save, and what it has become in each replica."""

from __future__ import annotations

import os
import select
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lazyimport.cli import console
from lazyimport.cli.figures import amount
from lazyimport.cli.following import follow_and_tell
from lazyimport.cli.progress import Progress
from lazyimport.delivery import Pushed
from lazyimport.deploy import Manifest, follow
from lazyimport.deploy.live import LiveApplication, State
from lazyimport.deploy.node_log import Told
from lazyimport.errors import LazyImportError
from lazyimport.live.watching import MOMENT, Changes

_HEADER = ("DEPLOYMENT", "REPLICA", "HASH", "STATE", "TOOK")
_NAMED = 4


class Session:
    """Lets the application of *file* run what is saved.

    *send* packs and pushes it, *look* returns the hash of what is saved now, and
    *changes* are those of the files that are sent, and of *file*.
    """

    def __init__(
        self,
        live: LiveApplication,
        file: str,
        send: Callable[[], Pushed],
        look: Callable[[], str],
        changes: Changes,
        reporter: Progress,
        timeout: float,
    ) -> None:
        self._live = live
        self._file = file
        self._send = send
        self._look = look
        self._changes = changes
        self._reporter = reporter
        self._timeout = timeout
        self._runs = False
        self._refused = ""

    def start(self) -> None:
        """Push, and let Serve start replicas whose code can change."""
        if self._live.was_live:
            self._reporter.say(
                f"{self._live.name} is live already: another dev left it"
            )
        self._try(time.time())
        self._reporter.say(
            "watching: a change that you save runs in the living replicas"
        )

    def follow(self) -> None:
        """Let the replicas run what is saved, for ever."""
        for paths in self._changes:
            self._save(paths)

    def _save(self, paths: set[str]) -> None:
        """Let the replicas run what was saved as *paths*, or see what is typed."""
        if os.path.abspath(self._file) in paths:
            with self._told():
                fresh = Manifest.read(self._file).choose([self._live.name])[0]
                if self._live.read(fresh.serve_config()):
                    self._runs = False  # so what was saved is rolled out
                elif self._runs:
                    self._live.apply()
                    self._reporter.say("the manifest has changed, and Serve has it now")
        if paths:
            self._try(max(map(_written, paths)) or time.time())
        elif self._refused and _typed() == "r":
            self._runs = False
            self._try(time.time())

    def end(self, *, leave: bool) -> None:
        """Leave the application on what it runs, or let Serve run what was before."""
        hash, name = self._live.hash, self._live.name
        if not self._live.base:
            return  # nothing was applied
        if not leave:
            self._live.restore()
            self._reporter.say(f"{name} goes back to what it ran before; last: {hash}")
        elif self._runs:
            self._reporter.say(
                f"{name} runs archive {hash}, and its code can still change; to deploy "
                f"what it runs: {self._deploy(hash)}"
            )
        else:
            self._reporter.say(f"{name} was given archive {hash}: lazyimport status")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what fails inside, unless more is saved that may mend it."""
        try:
            yield
        except (LazyImportError, OSError) as error:
            if not self._changes.go_on(MOMENT):
                with self._reporter:
                    console.complain(str(error))

    def _try(self, saved: float) -> None:
        """Push what was *saved* then, and run it."""
        with self._told():
            with self._reporter:  # whose last step disappears
                pushed = self._send()
            if self._changes.go_on(0.0, lambda: self._look() != pushed.hash):
                return
            if not self._runs:
                self._roll_out(pushed.hash)
            elif not self._live.runs(pushed.hash):
                self._change(pushed, saved)
            elif self._refused:
                self._refused = ""
                self._reporter.say(
                    f"{pushed.hash[:12]} runs: it is what is saved again"
                )

    def _roll_out(self, hash: str) -> None:
        self._refused, self._runs = "", False
        self._live.enter(hash)
        rollout = follow(self._live.cluster, {self._live.name: hash}, self._timeout)
        follow_and_tell(rollout, self._reporter)
        self._runs = True

    def _change(self, pushed: Pushed, saved: float) -> None:
        first = None
        state = None
        with Board(self._reporter) as board:
            delta = bytes(pushed.packed.revision.delta or b"") if pushed.packed else b""
            for state in self._live.change(pushed.hash, self._timeout, delta):
                board.show(state)
                answers = [told for told in state.told.values() if told]
                if answers and first is None:
                    first = time.time() - saved
        assert state is not None
        if state.refused:
            self._refused = pushed.hash
            if not self._changes.go_on(MOMENT):
                self._tell_refusal(state.refused)
            return
        self._refused = ""
        parts = (
            [f"packed {pushed.packed.seconds * 1000:.0f} ms"] if pushed.packed else []
        )
        parts.append(f"sent {pushed.seconds * 1000:.0f} ms")
        if first is not None:
            parts.append(f"first replica after {first:.2f} s")
        parts.append(f"all {len(state.told)} after {time.time() - saved:.2f} s")
        self._reporter.say(
            f"{pushed.hash[:12]} runs: {_what(state)}; {', '.join(parts)}"
        )

    def _tell_refusal(self, refused: Sequence[Told]) -> None:
        reasons: dict[str, list[Told]] = {}
        for told in refused:
            reasons.setdefault(told.reason, []).append(told)
        for reason, those in reasons.items():
            where = ", ".join(sorted({told.deployment for told in those}))
            with self._reporter:
                console.complain(
                    f"{those[0].hash[:12]} is refused by {where}: {reason}"
                )
        advice = "type r and Enter to roll the change out, which replaces the replicas"
        _typed()  # what was typed before is no answer
        if not _is_typed():
            advice = f"to roll the change out: {self._deploy(self._refused)}"
        self._reporter.say(f"{self._live.hash[:12]} serves on; {advice}")

    def _deploy(self, hash: str) -> str:
        return f"lazyimport deploy {shlex.quote(self._file)} --hash {hash} --apply"


class Board:
    """Shows what each replica has told: a table that changes, or a line for each."""

    def __init__(self, reporter: Progress) -> None:
        self._reporter = reporter
        self._told: set[tuple[str, str]] = set()
        self._table: Any = None

    def __enter__(self) -> Board:
        if console.is_live(sys.stderr) and not self._reporter.quiet:
            from rich.live import Live

            err = console.console(sys.stderr)
            self._table = Live(console=err, auto_refresh=False).__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        if self._table is not None:
            self._table.__exit__(*failure)

    def show(self, state: State) -> None:
        """Show where *state* is."""
        rows = [(key, _row(*key, told)) for key, told in sorted(state.told.items())]
        if self._table is not None:
            table = console.make_table([row for _, row in rows], header=_HEADER)
            self._table.update(table, refresh=True)
            return
        for key, row in rows:
            if state.told[key] and key not in self._told:
                self._told.add(key)
                self._reporter.say("  ".join(row))


def _row(deployment: str, replica: str, told: Told | None) -> tuple[str, ...]:
    if told is None:
        return deployment, replica, "", "waiting", ""
    milliseconds = f"{sum(told.milliseconds.values()):.0f} ms"
    return deployment, replica, told.hash[:12], told.state, milliseconds


def _what(state: State) -> str:
    """Return which modules ran again, and what was kept."""
    answers = [told for told in state.told.values() if told]
    modules = list(dict.fromkeys(name for told in answers for name in told.modules))
    kept = sorted({key for told in answers for key in told.kept})
    named = ", ".join(modules[:_NAMED]) + (", ..." if len(modules) > _NAMED else "")
    text = f"{amount(len(modules), 'module')} again" + (f" ({named})" if named else "")
    return f"{text}, kept {', '.join(kept)}" if kept else text


def _written(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _is_typed() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _typed() -> str:
    """Return the last line that was typed meanwhile, "" if there is none."""
    line = b""
    while _is_typed() and select.select([sys.stdin], [], [], 0)[0]:
        line = os.read(sys.stdin.fileno(), 1024)  # a terminal gives line by line
        if not line:
            break
    return line.decode(errors="replace").strip()
