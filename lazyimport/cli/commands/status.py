"""``lazyimport status``."""

from __future__ import annotations

import sys
import time

import click

from lazyimport.cli import console, declare, deploying, options
from lazyimport.cli.exit_codes import DONE, FAILED
from lazyimport.cli.figures import amount, moment, one_line
from lazyimport.cli.progress import Progress
from lazyimport.deploy import Cluster, DeployError, History, Process, Served, Target
from lazyimport.deploy.status import headline
from lazyimport.settings import Settings

_APPLICATIONS = ("APPLICATION", "STATE", "WANTS", "SERVES", "SINCE", "BY", "REASON")
_PROCESSES = ("KIND", "NAME", "HASH", "STATE", "NODE", "PID", "REASON")
_LONGEST = 60
_SECONDS_BETWEEN = 2.0
#: Objects of a record that are read: enough for the last few deployments.
_RECORDED = 15


@declare.command("status")
@deploying.target()
@declare.option("-l, --long", "Print whole hashes.")
@declare.option(
    "--exit-status",
    "End with exit code 1 unless every application runs what its config names, and "
    "every process has its archive.",
)
@declare.option("--watch", "Show it again every two seconds, until Ctrl-C.")
@options.json
@options.settings()
def command(
    target: Target,
    long: bool,
    exit_status: bool,
    watch: bool,
    as_json: bool,
    settings: Settings,
) -> int:
    """Show which hash runs where.

    Shows the applications of Serve: which archive each wants, which its replicas
    serve, since when, by whom, and why not. Then which one every actor, replica and
    job of a cluster runs, as its runtime environment names it, and which processes
    could not install theirs.
    """
    if as_json:
        options.refuse_idle(["long"], "with --json: hashes are whole")
    if watch and (as_json or exit_status):
        raise click.UsageError("--watch never ends: leave out --json and --exit-status")
    with Progress() as reporter:
        history = deploying.open_history(settings, reporter)
        cluster = target.cluster()
        while True:
            status = _Status(cluster, history)
            if as_json:
                console.print_json(status.facts())
            else:
                if watch:
                    click.clear()
                status.show(64 if long else 12)
            if not watch:
                return FAILED if exit_status and not status.is_well else DONE
            sys.stdout.flush()
            time.sleep(_SECONDS_BETWEEN)


class _Status:
    """What *cluster* runs now, and who deployed it as *history* knows."""

    def __init__(self, cluster: Cluster, history: History) -> None:
        self._address = cluster.address
        self._processes = cluster.processes()
        try:
            self._applications = list(cluster.served().values())
        except DeployError as error:
            if error.retryable:
                raise
            self._applications = []  # a Ray without Serve
        self._by = {app.name: _deployed_by(app, history) for app in self._applications}

    @property
    def is_well(self) -> bool:
        return all(app.is_well for app in self._applications) and not any(
            process.failure for process in self._processes
        )

    def facts(self) -> dict[str, object]:
        """Return it for scripts."""
        applications = [
            {
                "name": app.name,
                "state": app.status,
                "well": app.is_well,
                "hash": app.hash,
                "serving": [
                    {"hash": hash, "replicas": count}
                    for hash, count in app.serving.items()
                ],
                "replicas": sum(app.targets.values()),
                "since": app.since,
                "by": self._by[app.name],
                "reason": app.message,
            }
            for app in self._applications
        ]
        processes = [process._asdict() for process in self._processes]
        return {
            "address": self._address,
            "applications": applications,
            "processes": processes,
        }

    def show(self, digits: int) -> None:
        """Print it for people, with so many *digits* of each hash."""
        rows = [self._row(app, digits) for app in self._applications]
        console.print_table(rows, header=_APPLICATIONS)
        if rows and self._processes:
            print()
        processes = [_of_process(process, digits) for process in self._processes]
        console.print_table(processes, header=_PROCESSES, right=(5,))
        hashes = {process.hash for process in self._processes if process.hash}
        console.say(
            f"{self._address}: {amount(len(rows), 'application')}, "
            f"{amount(len(processes), 'row')} of processes, different hashes: "
            f"{len(hashes)}"
        )

    def _row(self, app: Served, digits: int) -> tuple[str, ...]:
        serving = [
            f"{count} of {sum(app.targets.values())} {(hash or 'no hash')[:digits]}"
            for hash, count in app.serving.items()
        ]
        return (
            app.name,
            app.status,
            (app.hash or "-")[:digits],
            ", ".join(serving) or "nothing",
            moment(app.since) if app.since else "",
            self._by[app.name],
            "" if app.is_well else one_line(headline(app.message)),
        )


def _deployed_by(app: Served, history: History) -> str:
    for known in history.deployments(app.name, newest=_RECORDED):
        if known.trusted and known.hash == app.hash:
            return known.by
    return ""


def _of_process(process: Process, digits: int) -> tuple[str, ...]:
    return (
        process.kind,
        _short(process.name),
        (process.hash or "-")[:digits],
        "NO ARCHIVE" if process.failure else process.state,
        process.node,
        str(process.pid or ""),
        one_line((process.failure or "").partition("\n")[0]),
    )


def _short(name: str) -> str:
    """Return *name* on one line; the entrypoint of a job may be a program."""
    line = one_line(name)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
