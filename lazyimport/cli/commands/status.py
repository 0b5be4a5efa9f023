"""``lazyimport status``."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from math import inf
from typing import NamedTuple, NoReturn

import click

from lazyimport.cli import console, declare, deploying, options
from lazyimport.cli.exit_codes import DONE, FAILED
from lazyimport.cli.figures import age, amount, moment, one_line, short_commit
from lazyimport.cli.progress import Progress
from lazyimport.deploy import Cluster, DeployError, History, Process, Served, Target
from lazyimport.deploy.failure import headline
from lazyimport.deploy.status import as_told
from lazyimport.errors import StoreError
from lazyimport.registry.provenance import commit_facts, commit_in, read_provenance
from lazyimport.settings import Settings
from lazyimport.stores import ReadStore

_APPLICATIONS = (
    "APPLICATION",
    "STATE",
    "WANTS",
    "SERVES",
    "COMMIT",
    "AGE",
    "BY",
    "REASON",
)
_PROCESSES = ("KIND", "NAME", "HASH", "STATE", "NODE", "PID", "REASON")
_LONGEST = 60
_SECONDS_BETWEEN = 2.0
#: Seconds after which a person who watches reads that an answer is late.
_PATIENCE = 5.0
#: A record that is missing may come: 'deploy' writes it when it has applied.
_SECONDS_UNTIL_READ_AGAIN = 30.0
#: Objects of a record that are read: enough for the last few deployments.
_RECORDED = 15


@declare.command("status")
@deploying.manifest
@deploying.target()
@declare.option("-l, --long", "Print whole hashes.")
@declare.option(
    "--exit-status",
    "End with exit code 1 unless every application runs what its config names, and "
    "every process is known to have its archive.",
)
@declare.option("--watch", "Show it again every two seconds, until Ctrl-C.")
@options.json
@options.settings(project=True)
def command(
    file: str | None,
    target: Target,
    long: bool,
    exit_status: bool,
    watch: bool,
    as_json: bool,
    settings: Settings,
) -> int:
    """Show which hash runs where.

    Shows for each application of Serve the archive that it wants and the one that its
    replicas serve, its commit as the push claims, for how long, who deployed it, and
    what is wrong. Then shows what every actor, replica and job runs, as its runtime
    environment says, and which processes could not install their archive. Without an
    address, asks the cluster that runs the manifest.
    """
    if as_json:
        options.refuse_idle(["long"], "with --json: hashes are whole")
    if watch and (as_json or exit_status):
        raise click.UsageError("--watch never ends: leave out --json and --exit-status")
    digits = 64 if long else 12
    with Progress() as reporter, deploying.cluster_here(target, file) as cluster:
        origins = _Origins(deploying.open_history(settings, reporter))
        if watch:
            _watch(cluster, origins, digits, reporter)
        now = _view(_look(cluster), origins)
        if as_json:
            console.print_json(now.facts())
        else:
            _print(now, digits, cluster.address, reporter)
        return DONE if now.is_well or not exit_status else FAILED


class _View(NamedTuple):
    """What a cluster runs, with who deployed each application, and the commit."""

    applications: Sequence[Served]
    origins: Sequence[tuple[str, str]]
    processes: Sequence[Process]

    @property
    def is_well(self) -> bool:
        return all(app.is_well for app in self.applications) and not any(
            process.failure or (process.hash and process.unread)
            for process in self.processes
        )

    def facts(self) -> dict[str, object]:
        known = [
            {
                **console.facts(app),
                "well": app.is_well,
                "by": by,
                **commit_facts(commit),
            }
            for app, (by, commit) in zip(self.applications, self.origins, strict=True)
        ]
        return {"applications": known, "processes": self.processes}


class _Origins:
    """Who deployed an application, and its commit, as the store of *history* says.

    Both are read once for each deployment, and what was not found now and then again.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._known: dict[tuple[object, ...], tuple[str, str]] = {}
        self._read: dict[tuple[object, ...], float] = {}

    def of(self, app: Served) -> tuple[str, str]:
        key, now = (app.name, app.hash, app.since), time.monotonic()
        is_old = now - self._read.get(key, -inf) > _SECONDS_UNTIL_READ_AGAIN
        if not all(self._known.get(key, ("",))) and is_old:
            commit = _commit_of(self._history.store, app.hash)
            self._known[key] = _deployed_by(app, self._history), commit
            self._read[key] = now
        return self._known[key]


def _look(cluster: Cluster) -> tuple[list[Served], list[Process]]:
    applications, processes = _applications(cluster), cluster.processes()
    return [as_told(app, processes) for app in applications], processes


def _view(looked: tuple[list[Served], list[Process]], origins: _Origins) -> _View:
    applications, processes = looked
    return _View(applications, [origins.of(app) for app in applications], processes)


def _watch(
    cluster: Cluster, origins: _Origins, digits: int, reporter: Progress
) -> NoReturn:
    """Show it again and again; say once since when nothing answers.

    Raises DeployError if the cluster refuses, or will not answer any more.
    """
    answered, silent = time.time(), threading.Event()

    def tell(why: str) -> None:
        if not silent.is_set():
            silent.set()
            reporter.warn(f"no answer since {moment(answered)}: {why}")

    while True:
        late = threading.Timer(_PATIENCE, tell, [f"{cluster.address} is still asked"])
        late.daemon = True
        late.start()
        try:
            looked = _look(cluster)
        except DeployError as error:
            if not error.retryable:
                raise
            tell(str(error))
        else:
            late.cancel()
            answered = time.time()
            silent.clear()
            now = _view(looked, origins)  # of the store, which may take its time
            click.clear()
            _print(now, digits, cluster.address, reporter)
            sys.stdout.flush()
        finally:
            late.cancel()
        time.sleep(_SECONDS_BETWEEN)


def _sum(applications: Sequence[Served], processes: Sequence[Process]) -> str:
    count, hashes = len(processes), len({each.hash for each in processes if each.hash})
    what = "actor, replica or job" if count == 1 else "actors, replicas and jobs"
    many = "hash" if hashes == 1 else "different hashes"
    number = amount(len(applications), "application")
    return f"{number}; {count:,} {what} with {hashes:,} {many}"


def _applications(cluster: Cluster) -> list[Served]:
    try:
        return list(cluster.served().values())
    except DeployError as error:
        if error.retryable:
            raise
        return []  # a Ray without Serve


def _deployed_by(app: Served, history: History) -> str:
    for known in history.deployments(app.name, newest=_RECORDED):
        if known.trusted and known.hash == app.hash:
            return known.by
    return ""


def _commit_of(store: ReadStore | None, hash: str | None) -> str:
    """Return the commit that the push of an archive named, "" if none is known."""
    if store is None or hash is None:
        return ""
    try:
        return commit_in(read_provenance(store, hash))
    except StoreError:
        return ""  # that the store is away was said


def _print(now: _View, digits: int, address: str, reporter: Progress) -> None:
    """Print it for people, with the first *digits* of each hash."""
    rows = []
    for app, (by, commit) in zip(now.applications, now.origins, strict=True):
        wanted = sum(app.targets.values())
        mark = "live " if app.live else ""
        serving = [
            f"{count}{f' of {wanted}' * (wanted > 0)} "
            + _cut(f"{mark}{hash or 'no hash'}", digits)
            for hash, count in app.serving.items()
        ]
        rows.append(
            (
                app.name,
                app.status,
                (app.hash or "-")[:digits],
                ", ".join(serving) or "nothing",
                short_commit(commit),
                age(time.time() - app.since) if app.since else "",
                one_line(by),
                "" if app.is_well else one_line(headline(app.message)),
            )
        )
    console.print_table(rows, header=_APPLICATIONS)
    if rows and now.processes:
        print()
    states = {
        f"{app.name}/{replica.deployment}/{replica.id}": replica.state
        for app in now.applications
        for replica in app.replicas
    }
    lines = [
        (
            process.kind,
            _short(process.name),
            _cut(f"{'live ' if process.live else ''}{process.hash or '-'}", digits),
            _state(process, states),
            process.node,
            str(process.pid or ""),
            one_line((process.failure or "").partition("\n")[0]),
        )
        for process in now.processes
    ]
    console.print_table(lines, header=_PROCESSES, right=(5,))
    unread = {p.node: p.unread for p in now.processes if p.unread and p.hash}
    for node, why in unread.items():
        reporter.warn(
            f"whether processes on node {node} have their archives is not known, for "
            f"its log cannot be read: {why}"
        )
    reporter.say(f"{address}: {_sum(now.applications, now.processes)}")


def _state(process: Process, replicas: Mapping[str, str]) -> str:
    """Return what to show of a process; Serve knows more of *replicas* than Ray."""
    if process.failure:
        return "NO ARCHIVE"
    serves = replicas.get(process.name) if process.state == "ALIVE" else None
    return process.fetching or serves or process.state


def _cut(text: str, digits: int) -> str:
    """Return *text* with only the first *digits* of the hash at its end."""
    mark, _, hash = text.rpartition(" ")
    return f"{mark} {hash[:digits]}".strip()


def _short(name: str) -> str:
    """Return *name* on one line; the entrypoint of a job may be a program."""
    line = one_line(name)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
