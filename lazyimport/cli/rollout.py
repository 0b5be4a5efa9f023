"""Carrying out a plan: the steps that the options ask for, told to a person."""

from __future__ import annotations

import os
import sys
import time

from lazyimport.cli.legacy import UsageError, is_terminal
from lazyimport.cli.tables import columns
from lazyimport.deploy import ImpossibleError, Target
from lazyimport.reporting import Reporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from lazyimport.cli.legacy import Notes
    from lazyimport.deploy import Application, History, Plan, Served

__all__ = ["carry_out", "check_options", "follow", "make_target"]

_LOCAL = "http://localhost:8265"


def make_target(arguments: argparse.Namespace) -> Target:
    """Return what options and environment name, with the token of Ray's own tools."""
    token = os.environ.get("RAY_AUTH_TOKEN")
    if not token:
        path = os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token"
        try:
            with open(os.path.expanduser(path), encoding="utf-8") as file:
                token = file.read().strip()
        except OSError:
            token = None
    local = os.environ.get("RAY_DASHBOARD_ADDRESS") or _LOCAL
    return Target(arguments.address, token, local)


def check_options(
    arguments: argparse.Namespace, target: Target, applications: Sequence[Application]
) -> None:
    """Raise UsageError for what can never be done, before anything is."""
    try:
        target.check(
            applications,
            apply=arguments.apply,
            prefetch=arguments.prefetch,
            wait=arguments.wait,
        )
    except ImpossibleError as error:
        raise UsageError(str(error)) from error


def carry_out(
    plan: Plan,
    target: Target,
    history: History,
    arguments: argparse.Namespace,
    notes: Notes,
) -> int:
    """Show *plan*, and do with it what the options ask for."""
    for warning in plan.warnings:
        notes.warn(warning)
    if arguments.diff:
        sys.stdout.write(plan.diff())
    path = plan.before.path
    for app, before in plan.steps:
        change = f"{before or 'no hash'} -> {app.hash}"
        same = before == app.hash
        notes.say(
            f"{path}:{app.line}: {app.name}: {f'has {before}' if same else change}"
        )
    if arguments.dry_run:
        notes.say(f"nothing was written to {path}: --dry-run")
        return 0
    if arguments.prefetch:
        for line in plan.prefetch(target, arguments.timeout):
            notes.say(line)
    reporter = _Reporter(notes)
    plan = plan.write(history, reporter)
    if arguments.apply:
        try:
            done = plan.apply(target, history, reporter)
        finally:
            notes.clear()
        notes.say(done)
    if arguments.wait:
        follow(plan.follow(target, arguments.timeout), notes)
    return 0


def follow(rollout: Iterable[Sequence[Served]], notes: Notes) -> None:
    """Show a rollout until it is through."""
    started = time.monotonic()
    view = _View()
    now: Sequence[Served] = ()
    for now in rollout:
        view.show(now)
    names = ", ".join(app.name for app in now)
    count = sum(len(app.replicas) for app in now)
    seconds = time.monotonic() - started
    notes.say(f"{names}: all {count} replicas run it, after {seconds:.1f} s")


class _Reporter(Reporter):
    def __init__(self, notes: Notes) -> None:
        self.warn = notes.warn  # type: ignore[method-assign]
        self.step = lambda text, *_: notes.wait(text)  # type: ignore[method-assign]


class _View:
    """The table of a rollout on stderr: rewritten on a terminal, else what changes."""

    def __init__(self) -> None:
        self._live = is_terminal(sys.stderr)
        self._lines = 0
        self._seen: set[tuple[str, ...]] = set()

    def show(self, applications: Sequence[Served]) -> None:
        """Show where the rollout is."""
        if self._live:
            self._rewrite(columns(_rows(applications)))
            return
        for app in applications:
            self._tell(app.name, app.status)
            for replica in app.replicas:
                self._tell(
                    f"{app.name}/{replica.deployment}/{replica.id}",
                    (replica.hash or "")[:12],
                    replica.state,
                )

    def _rewrite(self, lines: Sequence[str]) -> None:
        up = f"\x1b[{self._lines}F" if self._lines else ""
        body = "".join(f"{line}\x1b[K\n" for line in lines)
        sys.stderr.write(f"{up}{body}\x1b[J")
        sys.stderr.flush()
        self._lines = len(lines)

    def _tell(self, *words: str) -> None:
        if words not in self._seen:
            self._seen.add(words)
            print(" ".join(words), file=sys.stderr, flush=True)


def _rows(applications: Sequence[Served]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("DEPLOYMENT", "REPLICA", "HASH", "STATE", "AGE")]
    now = time.time()
    for app in applications:
        rows.append((app.name, "", (app.hash or "")[:12], app.status, ""))
        rows += [
            (
                f"  {replica.deployment}",
                replica.id,
                (replica.hash or "-")[:12],
                replica.state,
                f"{max(now - replica.started, 0):.0f} s" if replica.started else "",
            )
            for replica in sorted(
                app.replicas, key=lambda r: (r.deployment, r.started or 0)
            )
        ]
    return rows
