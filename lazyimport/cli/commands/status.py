"""``lazyimport status``."""

from __future__ import annotations

from lazyimport.cli import console, declare, deploying, options
from lazyimport.cli.figures import amount, one_line
from lazyimport.deploy import Target

_HEADER = ("KIND", "NAME", "HASH", "STATE", "NODE", "PID")
_LONGEST = 60


@declare.command("status")
@deploying.target()
@declare.option("-l, --long", "Print whole hashes.")
@options.json
def command(target: Target, long: bool, as_json: bool) -> None:
    """Show which hash runs where.

    Shows which hash every actor, Serve replica and job of a cluster runs: the one
    that its runtime environment names.
    """
    cluster = target.cluster()
    processes = cluster.processes()
    if as_json:
        console.print_json([process._asdict() for process in processes])
        return
    rows = [
        (
            process.kind,
            _short(process.name),
            (process.hash or "-")[: 64 if long else 12],
            process.state,
            process.node,
            str(process.pid or ""),
        )
        for process in processes
    ]
    console.print_table(rows, header=_HEADER, right=(5,))
    hashes = {process.hash for process in processes if process.hash}
    console.say(
        f"{cluster.address}: {amount(len(processes), 'row')}, different hashes: "
        f"{len(hashes)}"
    )


def _short(name: str) -> str:
    """Return *name* on one line; the entrypoint of a job may be a program."""
    line = one_line(name)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
