"""A plan, shown and carried out as ``deploy`` and ``rollback`` were asked to."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from lazyimport.cli import console
from lazyimport.cli.comparing import print_comparison
from lazyimport.cli.deploying import Wishes
from lazyimport.cli.figures import short_commit
from lazyimport.cli.following import follow_and_tell
from lazyimport.cli.progress import Progress
from lazyimport.deploy import History, Plan, Timeline
from lazyimport.errors import LazyImportError, StoreError
from lazyimport.registry.provenance import commit_in, read_provenance
from lazyimport.report.page import write_page
from lazyimport.settings import Settings


def carry_out(
    plan: Plan, wishes: Wishes, history: History, settings: Settings, reporter: Progress
) -> None:
    """Show *plan*, and do with it what is wished.

    Raises KeyboardInterrupt that says what stands and what goes on.
    """
    if wishes.diff:
        console.print_diff(plan.diff())
        _print_code(plan, settings, reporter)
    _describe(plan, history, reporter)
    if wishes.dry_run:
        _tell_steps(plan, reporter)
        reporter.conclude(f"nothing was written to {plan.before.path}: --dry-run")
        return
    steps = _carry_out(plan, wishes, history, reporter)
    stands = "nothing was changed"
    try:
        while (now := next(steps, None)) is not None:
            stands = now
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {stands}") from None


def _carry_out(
    plan: Plan, wishes: Wishes, history: History, reporter: Progress
) -> Iterator[str]:
    """Do what is wished, and yield before each step what stands if it is not ended."""
    path, hash = plan.before.path, str(plan.applications[0].hash)
    where = ["--address", path] if plan.before.cluster else [path]
    look = shlex.join(["lazyimport", "status", *([] if plan.before.key else where)])
    goes_on = (
        f"the cluster goes on with what it was given: see '{look}'; to go back: "
        f"{plan.back}"
    )
    if wishes.prefetch:
        yield "the job that fetches goes on in the cluster, and nothing was changed"
        for line in plan.prefetch(wishes.target, wishes.timeout):
            reporter.say(line)
    yield f"see whether {path} has {hash[:12]} now"
    plan = plan.write(history, reporter)
    _tell_steps(plan, reporter)
    if plan.before.cluster:
        reporter.say(f"applied to {path}")
    if wishes.wait and (wishes.apply or plan.changes):
        plan.look(wishes.target)
    if wishes.apply:
        yield f"{path} names {hash[:12]}, and if the cluster has got it, {goes_on}"
        reporter.say(plan.apply(wishes.target, history, reporter))
    if wishes.wait:
        yield goes_on
        timeline = Timeline(plan.wanted) if wishes.report else None
        rollout = plan.follow(wishes.target, history, wishes.timeout, timeline)
        try:
            follow_and_tell(rollout, reporter)
        finally:
            if timeline is not None:
                _draw(timeline, str(wishes.report), reporter)


def _draw(timeline: Timeline, path: str, reporter: Progress) -> None:
    """Write the page of a rollout, which has ended in whatever way."""
    try:
        names = ", ".join(timeline.wanted)
        write_page(path, "rollout.js", f"Rollout of {names}", timeline)
    except OSError as error:
        reporter.warn(f"the page of the rollout could not be written: {error}")
    else:
        reporter.say(f"how the rollout went is drawn in {path}")


def _print_code(plan: Plan, settings: Settings, reporter: Progress) -> None:
    """Print which files of the code change; that they are not known stops nothing."""
    try:
        for found in plan.compare(settings, reporter):
            print_comparison(found, reporter)
            old, new = (tree.index.hash[:12] for tree in (found.old, found.new))
            reporter.say(f"line by line: lazyimport diff {old} {new} --lines")
    except LazyImportError as error:
        reporter.warn(f"cannot show what changes in the code: {error}")


def _describe(plan: Plan, history: History, reporter: Progress) -> None:
    """Say what to expect of a plan; of a rollback also why, and to which commit."""
    for warning in plan.warnings:
        reporter.warn(warning)
    hash = str(plan.applications[0].hash)
    if plan.why:
        commit = ""
        if history.store is not None:
            try:
                commit = short_commit(commit_in(read_provenance(history.store, hash)))
            except StoreError:
                pass  # that the store is away was said, or will be
        commit = f"commit {commit}, as its push claims; " if commit else ""
        reporter.say(f"{hash[:12]}: {commit}{plan.why}")


def _tell_steps(plan: Plan, reporter: Progress) -> None:
    """Say what changes for each application."""
    path = plan.before.path
    for app, before in plan.steps:
        change = f"{before or 'no hash'} -> {app.hash}"
        shown = f"has {before}" if before == app.hash else change
        where = path if plan.before.cluster else f"{path}:{app.line}"
        reporter.say(f"{where}: {app.name}: {shown}")
