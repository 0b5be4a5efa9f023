"""``lazyimport status``."""

from __future__ import annotations

from lazyimport.cli import legacy
from lazyimport.cli.legacy import Notes
from lazyimport.cli.rollout import make_target
from lazyimport.cli.tables import amount, one_line, print_json, print_table, tolerant

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

__all__ = ["run"]

command = legacy.command("status", "Show which hash runs where.")

_LONGEST = 60


def run(arguments: argparse.Namespace) -> int:
    """Print which hash everything in a cluster runs."""
    tolerant()
    cluster = make_target(arguments).cluster()
    processes = cluster.processes()
    if arguments.json:
        print_json([process._asdict() for process in processes])
        return 0
    rows = [("KIND", "NAME", "HASH", "STATE", "NODE", "PID")]
    rows += [
        (
            process.kind,
            _short(process.name),
            (process.hash or "-")[: 64 if arguments.long else 12],
            process.state,
            process.node,
            str(process.pid or ""),
        )
        for process in processes
    ]
    if processes:
        print_table(rows, right=(5,))
    hashes = {process.hash for process in processes if process.hash}
    Notes().say(
        f"{cluster.address}: {amount(len(processes), 'row')}, different hashes: "
        f"{len(hashes)}"
    )
    return 0


def _short(name: str) -> str:
    """Return *name* on one line; the entrypoint of a job may be a program."""
    line = one_line(name)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
