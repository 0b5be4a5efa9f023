"""``lazyimport log``."""

from __future__ import annotations

import sys

from lazyimport.cli import console, declare, options
from lazyimport.cli.figures import amount, one_line, short_commit, size
from lazyimport.cli.progress import Progress
from lazyimport.registry.log import Event, read_log
from lazyimport.registry.opening import store_of
from lazyimport.registry.provenance import commit_facts
from lazyimport.registry.signing import Trusted
from lazyimport.settings import Settings
from lazyimport.stores import writable

_HEADER = ("WHEN", "WHAT", "ARCHIVE", "SIZE", "BY", "COMMIT", "MESSAGE")


@declare.command("log")
@declare.option("-n N", "Show at most N events; 0 shows all.", "limit", default="30")
@declare.option("-l, --long", "Print whole hashes.")
@options.json
@options.settings(required=True)
def command(limit: int, long: bool, as_json: bool, settings: Settings) -> None:
    """Show what was pushed, pointed to and deployed, and by whom.

    Shows the events of a store, the newest first: the first push of each archive, as
    the push claims, and in which applications it runs; changes of channels; deployments
    and rollbacks, with what came of them. If any key is trusted, marks what no trusted
    key signed.

    'history', 'channel log' and 'ls' show each of these by itself.
    """
    if as_json:
        options.refuse_idle(["long"], "with --json: hashes are whole")
    store = writable(store_of(settings))
    with Progress() as reporter:
        events = read_log(store, limit or sys.maxsize, Trusted.of(settings), reporter)
    if as_json:
        facts = [{**console.facts(e), **commit_facts(e.commit)} for e in events]
        console.print_json(facts)
        return
    rows = [_row(event, 64 if long else 12) for event in events]
    console.print_table(rows, header=_HEADER, right=(3,))
    console.say(f"{amount(len(rows), 'event')} of {store.url}")


def _row(event: Event, digits: int) -> tuple[str, ...]:
    where = f"runs in {', '.join(event.applications)}" if event.applications else ""
    what = f"{event.kind} {event.subject}" if event.subject else event.kind
    what += f": {event.outcome}" if event.outcome else ""
    what += " (not signed by a trusted key)" if event.trusted is False else ""
    return (
        one_line(event.at),
        one_line(what),
        event.hash[:digits] if event.hash else "(removed)",
        "" if event.size is None else size(event.size),
        one_line(event.by),
        f"{short_commit(event.commit)}{f' {one_line(event.branch)}' * bool(event.branch)}",
        one_line(event.message or where),
    )
