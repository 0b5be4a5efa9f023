"""``lazyimport status``."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import cache, partial

import click

from lazyimport.cli import console, declare, deploying, options
from lazyimport.cli.exit_codes import DONE, FAILED
from lazyimport.cli.figures import age, amount, one_line, short_commit
from lazyimport.cli.progress import Progress
from lazyimport.deploy import Cluster, DeployError, History, Process, Served, Target
from lazyimport.deploy.failure import headline
from lazyimport.errors import StoreError
from lazyimport.registry.provenance import commit_in, read_provenance
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

    Shows for each application of Serve the archive that it wants and the one that its
    replicas serve, its commit as the push claims, since when it is so, who deployed it,
    and what is wrong. Then shows what every actor, replica and job runs, as its runtime
    environment says, and which processes could not install their archive. Without an
    address, asks the cluster that runs the manifest of [tool.lazyimport].
    """
    if as_json:
        options.refuse_idle(["long"], "with --json: hashes are whole")
    if watch and (as_json or exit_status):
        raise click.UsageError("--watch never ends: leave out --json and --exit-status")
    with Progress() as reporter, deploying.cluster_here(target) as cluster:
        history = deploying.open_history(settings, reporter)
        commit = cache(partial(_commit_of, history.store))
        while True:
            applications, processes = _applications(cluster), cluster.processes()
            origins = [
                (_deployed_by(app, history), commit(app.hash)) for app in applications
            ]
            if as_json:
                facts = [
                    {
                        **console.facts(app),
                        "well": app.is_well,
                        "by": by,
                        "commit": named,
                    }
                    for app, (by, named) in zip(applications, origins, strict=True)
                ]
                console.print_json({"applications": facts, "processes": processes})
            else:
                if watch:
                    click.clear()
                digits = 64 if long else 12
                _print(applications, origins, processes, digits)
                console.say(f"{cluster.address}: {_sum(applications, processes)}")
            if not watch:
                well = all(app.is_well for app in applications)
                well = well and not any(process.failure for process in processes)
                return FAILED if exit_status and not well else DONE
            sys.stdout.flush()
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


def _print(
    applications: Sequence[Served],
    origins: Sequence[tuple[str, str]],
    processes: Sequence[Process],
    digits: int,
) -> None:
    """Print it for people, with so many *digits* of each hash.

    *origins* are who deployed each application, and the commit.
    """
    rows = []
    for app, (by, commit) in zip(applications, origins, strict=True):
        wanted = sum(app.targets.values())
        serves = app.serving
        if app.live:  # whatever its replicas were started with
            serves = Counter({f"live {app.live}": serves.total()})
        serving = [
            f"{count} of {wanted} {_cut(hash or 'no hash', digits)}"
            for hash, count in serves.items()
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
    if rows and processes:
        print()
    lines = [
        (
            process.kind,
            _short(process.name),
            _cut(f"{'live ' if process.live else ''}{process.hash or '-'}", digits),
            "NO ARCHIVE" if process.failure else process.fetching or process.state,
            process.node,
            str(process.pid or ""),
            one_line((process.failure or "").partition("\n")[0]),
        )
        for process in processes
    ]
    console.print_table(lines, header=_PROCESSES, right=(5,))


def _cut(text: str, digits: int) -> str:
    """Return *text* with so many digits of the hash at its end."""
    mark, _, hash = text.rpartition(" ")
    return f"{mark} {hash[:digits]}".strip()


def _short(name: str) -> str:
    """Return *name* on one line; the entrypoint of a job may be a program."""
    line = one_line(name)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
