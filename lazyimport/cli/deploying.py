"""What ``deploy``, ``rollback`` and ``status`` share: options, and carrying out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from lazyimport.cli import console
from lazyimport.cli.declare import argument, option
from lazyimport.cli.following import follow_and_tell
from lazyimport.cli.progress import Progress
from lazyimport.deploy import Application, History, ImpossibleError, Plan, Target

_SECTION = "Rolling out"


def _make_target(
    context: click.Context, parameter: click.Parameter, url: str
) -> Target:
    source = context.get_parameter_source(str(parameter.name))
    typed = source is ParameterSource.COMMANDLINE
    return Target(url if typed else None, _read_token(), local=url)


def _read_token() -> str | None:
    """Return the token that Ray's own tools send."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token"
    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return None


def target(section: str = "Options") -> Callable[..., Any]:
    """Give a command ``--address``; it is called with *target*."""
    return option(
        "--address URL",
        "Ask Ray's dashboard at this address. That of a RayService is reached through "
        "kubectl, unless an address is typed.",
        "target",
        envvar="RAY_DASHBOARD_ADDRESS",
        default="http://localhost:8265",
        callback=_make_target,
        section=section,
    )


def manifest(spelling: str = "FILE") -> Callable[..., Any]:
    """Give a command the argument FILE."""
    text = "The manifest, YAML or JSON."
    return argument(spelling, text, "file", type=click.Path())


class Wishes(NamedTuple):
    """What to do with a plan for the applications *names*, as the options say."""

    names: tuple[str, ...]
    diff: bool
    dry_run: bool
    apply: bool
    prefetch: bool
    wait: bool
    timeout: float
    target: Target

    def check(self, applications: Sequence[Application]) -> None:
        """Raise click.UsageError for what *applications* can never be asked for."""
        try:
            self.target.check(
                applications, apply=self.apply, prefetch=self.prefetch, wait=self.wait
            )
        except ImpossibleError as error:
            raise click.UsageError(str(error)) from error


_rolling_out = partial(option, section=_SECTION)
_OPTIONS = [
    option(
        "--app NAME",
        "Change this application; needed if the file has several.",
        "names",
        multiple=True,
    ),
    option("--diff", "Print what changes on stdout."),
    option(
        "-n, --dry-run",
        "Change neither the file nor the cluster; 'deploy --push' still sends.",
    ),
    _rolling_out(
        "--apply",
        "Give a Serve config to the cluster, and Kubernetes objects to kubectl.",
    ),
    _rolling_out(
        "--prefetch",
        "First bring the archive to every node of the cluster, by a job there.",
    ),
    _rolling_out(
        "--wait",
        "Follow the rollout until every replica runs the hash, or say why not.",
    ),
    target(_SECTION),
    _rolling_out(
        "--timeout SECONDS", "Give up waiting after this time.", default="600"
    ),
]


def wishes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of rolling out; it is called with *wishes*."""

    @wraps(function)
    def called(**options: Any) -> Any:
        found = Wishes(*(options.pop(name) for name in Wishes._fields))
        return function(wishes=found, **options)

    for one in reversed(_OPTIONS):
        called = one(called)
    return called


def carry_out(plan: Plan, wishes: Wishes, history: History, reporter: Progress) -> None:
    """Show *plan*, and do with it what is wished."""
    for warning in plan.warnings:
        reporter.warn(warning)
    if wishes.diff:
        console.print_diff(plan.diff())
    path = plan.before.path
    for app, before in plan.steps:
        change = f"{before or 'no hash'} -> {app.hash}"
        shown = f"has {before}" if before == app.hash else change
        reporter.say(f"{path}:{app.line}: {app.name}: {shown}")
    if wishes.dry_run:
        reporter.say(f"nothing was written to {path}: --dry-run")
        return
    if wishes.prefetch:
        for line in plan.prefetch(wishes.target, wishes.timeout):
            reporter.say(line)
    plan = plan.write(history, reporter)
    if wishes.apply:
        reporter.say(plan.apply(wishes.target, history, reporter))
    if wishes.wait:
        follow_and_tell(plan.follow(wishes.target, wishes.timeout), reporter)
