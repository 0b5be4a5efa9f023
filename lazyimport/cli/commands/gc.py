"""``lazyimport gc``."""

from __future__ import annotations

import os
import re
import sys
import time

from lazyimport.cli.options import UsageError, read_settings, required_store, resolve
from lazyimport.cli.progress import Notes
from lazyimport.cli.tables import amount, moment, print_json, print_table, size
from lazyimport.registry.gc import SHORTEST_AGE, Rules, collect, survey
from lazyimport.registry.provenance import builder
from lazyimport.settings import check_channel
from lazyimport.stores import open_store, writable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from lazyimport.registry.gc import Fate, Survey
    from lazyimport.settings import Settings
    from lazyimport.stores import Store

__all__ = ["run"]

_HASH = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", re.IGNORECASE)
_REASONS_SHOWN = 3


def run(arguments: argparse.Namespace) -> int:
    """Print what goes and what stays, and with --delete let it go."""
    settings = read_settings(arguments)
    store = writable(open_store(required_store(settings), timeout=settings.timeout))
    rules = _rules(arguments, settings)
    notes = Notes()
    notes.wait(f"reading {store.url}")
    try:
        if arguments.delete:
            return _collect(store, rules, arguments, notes)
        found = survey(store, rules, time.time())
    finally:
        notes.clear()
    if arguments.json:
        goes = [_facts(fate) for fate in found.goes]
        stays = [{**_facts(f), "reasons": f.reasons} for f in found.fates if f.reasons]
        print_json({"store": store.url, "goes": goes, "stays": stays})
        return 0
    _print_survey(found, store, notes)
    return 0


def _facts(fate: Fate) -> dict[str, object]:
    return {"hash": fate.hash, "size": fate.size, "modified": fate.modified}


def _rules(arguments: argparse.Namespace, settings: Settings) -> Rules:
    if arguments.older_than < SHORTEST_AGE:
        raise UsageError(
            "--older-than must be at least 1h: a push that takes long may still be "
            "under way"
        )
    hashes = [resolve(text, settings) for text in arguments.keep]
    for path in arguments.keep_from:
        hashes += _hashes_in(path)
    channels = {name for name in arguments.keep_channel if name != "all"}
    for name in channels:
        check_channel(name)
    return Rules(
        older_than=arguments.older_than,
        keep_last=arguments.keep_last,
        hashes=hashes,
        history=arguments.history,
        channels=channels if channels and "all" not in arguments.keep_channel else None,
    )


def _hashes_in(path: str) -> list[str]:
    """Return all hashes that a file mentions, manifests above all.

    Raises UsageError if it mentions none: whatever should have written it failed.
    """
    if path == "-":
        text = sys.stdin.read()
    else:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    found = [hash.lower() for hash in _HASH.findall(text)]
    if not found:
        what = "standard input" if path == "-" else path
        raise UsageError(
            f"--keep-from {path}: no hash in {what}, so it would keep nothing; did what "
            "writes it fail?"
        )
    return found


def _collect(
    store: Store, rules: Rules, arguments: argparse.Namespace, notes: Notes
) -> int:
    done = collect(
        store,
        rules,
        time.time(),
        builder(os.environ),
        lambda number, total: notes.progress("deleted", number, total),
    )
    if arguments.json:
        deleted = [_facts(fate) for fate in done.deleted]
        print_json({"store": store.url, "deleted": deleted, "spared": done.spared})
        return 0
    print_table([(fate.hash, size(fate.size)) for fate in done.deleted], right=(1,))
    total = size(sum(fate.size for fate in done.deleted))
    text = f"deleted {amount(len(done.deleted), 'archive')}, {total}, from {store.url}"
    if done.leftovers:
        text += f", and {amount(done.leftovers, 'record')} of others deleted before"
    if done.spared:
        text += f"; {amount(len(done.spared), 'archive')} spared, needed since"
    notes.say(text)
    return 0


def _print_survey(found: Survey, store: Store, notes: Notes) -> None:
    goes = found.goes
    stays = [fate for fate in found.fates if fate.reasons]
    if found.fates:
        rows = [("ARCHIVE", "SIZE", "PUSHED", "")]
        rows += [_row(fate, "goes") for fate in goes]
        rows += [_row(fate, "stays: " + _reasons(fate)) for fate in stays]
        print_table(rows, right=(1,))
    text = f"{store.url}: {_sum(goes)} would go, {_sum(stays)} would stay"
    if found.leftovers:
        text += f"; {amount(len(found.leftovers), 'record')} of archives long gone"
    if goes or found.leftovers:
        text += "; nothing was deleted yet: add --delete"
    notes.say(text)
    if goes:
        notes.say(
            "hashes in manifests are not known here: --keep-from FILE keeps what a "
            "file mentions"
        )


def _row(fate: Fate, verdict: str) -> tuple[str, str, str, str]:
    return fate.hash[:12], size(fate.size), moment(fate.modified), verdict


def _reasons(fate: Fate) -> str:
    shown = fate.reasons[:_REASONS_SHOWN]
    more = len(fate.reasons) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _sum(fates: list[Fate]) -> str:
    return f"{amount(len(fates), 'archive')} ({size(sum(f.size for f in fates))})"
