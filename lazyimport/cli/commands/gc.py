"""``lazyimport gc``."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Sequence

import click

from lazyimport.cli import console, declare, options
from lazyimport.cli.figures import amount, large_files, moment, size
from lazyimport.cli.progress import Progress
from lazyimport.delivery.lookup import resolve
from lazyimport.deploy.errors import ManifestError
from lazyimport.deploy.nodes import Node, find, text_of
from lazyimport.deploy.yamltext import YamlText
from lazyimport.registry.gc import collect
from lazyimport.registry.gc_lock import SHORTEST_AGE
from lazyimport.registry.opening import store_of
from lazyimport.registry.past import Reason
from lazyimport.registry.provenance import builder
from lazyimport.registry.signing import Trusted
from lazyimport.registry.survey import Rules, StoredArchive, Survey, survey
from lazyimport.settings import Settings
from lazyimport.stores import Store, writable
from lazyimport.values import check_channel

_HASH = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", re.IGNORECASE)
_PART_OF_A_HASH = re.compile(r"(?<![0-9a-f])[0-9a-f]{6,63}\Z", re.IGNORECASE)
_REASONS_SHOWN = 3

_EXAMPLES = """
lazyimport gc --store gs://bucket/code
lazyimport gc --keep-last 20 --older-than 90d --delete
kubectl get rayservice,rayjob,raycronjob,raycluster,cronjob -Ao yaml > used &&
  lazyimport gc --keep-from used --delete
"""


@declare.command("gc", examples=_EXAMPLES)
@declare.option(
    "--older-than AGE",
    "Delete only what is older: 12h, 30d, 8w; at least 1h.",
    default="30d",
)
@declare.option(
    "--keep-last N", "Keep the N newest archives, whatever their age.", default="0"
)
@declare.option(
    "--keep-channel NAME|all",
    "Also keep what this channel pointed to before, for rollback.",
    multiple=True,
    show_default="all",
)
@declare.option(
    "--history N",
    "Keep the last N archives of such a channel, and the last N versions of an "
    "application.",
    default="5",
)
@declare.option("--keep HASH", "Keep this archive.", multiple=True)
@declare.option(
    "--keep-from FILE",
    "Keep every archive whose hash is in this file: manifests, or whole lists as "
    "kubectl writes them; '-' reads standard input.",
    multiple=True,
)
@declare.option("--delete", "Delete; without this, only show what would go.")
@options.json
@options.settings(required=True)
def command(
    older_than: float,
    keep_last: int,
    keep_channel: tuple[str, ...],
    history: int,
    keep: tuple[str, ...],
    keep_from: tuple[str, ...],
    delete: bool,
    as_json: bool,
    settings: Settings,
) -> None:
    """Delete from the store what nobody needs.

    Without --delete, shows what would go, and why the rest stays.

    Never deletes what a channel points to, what was deployed last, what 'rollback'
    would go to, the base of an archive that stays, or what was pushed within the last
    hour. Deletes any other archive that is older than --older-than, unless an option
    keeps it. The store does not know the hashes in manifests that 'deploy' did not
    write: name them with --keep or --keep-from.
    """
    if older_than < SHORTEST_AGE:
        raise click.UsageError(
            "--older-than must be at least 1h: a push that takes long may still be "
            "under way"
        )
    store = writable(store_of(settings))
    rules = Rules(
        older_than=older_than,
        keep_last=keep_last,
        hashes={
            *(resolve(text, settings, store) for text in keep),
            *(hash for path in keep_from for hash in _hashes_in(path)),
        },
        history=history,
        channels=_channels(keep_channel),
        trusted=Trusted.of(settings),
    )
    if delete:
        _delete(store, rules, as_json=as_json)
    else:
        _survey(store, rules, as_json=as_json)


def _channels(names: Sequence[str]) -> set[str] | None:
    """Return the channels whose past is kept; None for all of them."""
    chosen = {check_channel(name) for name in names if name != "all"}
    return chosen if chosen and "all" not in names else None


def _survey(store: Store, rules: Rules, *, as_json: bool) -> None:
    with Progress() as reporter:
        reporter.step(f"reading {store.url}")
        found = survey(store, rules, time.time())
    if as_json:
        stays = [each for each in found.archives if each.reasons]
        facts = {"goes": found.goes, "stays": stays, "blobs": found.blobs}
        console.print_json({"store": store.url, **facts})
    else:
        _print_survey(found, store)


def _hashes_in(path: str) -> list[str]:
    """Return all hashes that a file mentions, manifests above all.

    Raises click.UsageError if it mentions none, or is only the beginning of what it
    should be: whatever should have written it failed.
    """
    if path == "-":
        text = sys.stdin.read()
    else:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    found = [hash.lower() for hash in _HASH.findall(text)]
    if not found:
        why = "no hash in it, so it would keep nothing"
    elif _PART_OF_A_HASH.search(text):
        why = "it ends in the middle of a hash"
    else:
        why = _what_is_missing(text, path)
    if why:
        raise click.UsageError(
            f"--keep-from {path} is not complete: {why}; did what writes it fail? Write a file first, and collect only if that went well: kubectl get "
            "... > FILE && lazyimport gc --keep-from FILE"
        )
    return found


def _what_is_missing(text: str, path: str) -> str:
    """Return what is missing in manifests, "" if nothing seems to be."""
    try:
        documents = YamlText(text, path).documents
    except ManifestError as error:
        return str(error)
    return next(filter(None, map(_end_of, documents)), "")


def _end_of(document: Node) -> str:
    """Return what an object of Kubernetes would end with, and does not."""
    if find(document, "apiVersion") is None:
        return ""
    kind = text_of(find(document, "kind")) or ""
    items = find(document, "items")
    if not kind or (items is not None) != kind.endswith("List"):
        return "a list has no end" if items is not None else "an object has no kind"
    if text_of(find(document, "metadata", "continue")):
        return "it is the first page of a list (metadata.continue)"
    in_cluster = find(document, "metadata", "uid") and find(document, "spec")
    if in_cluster and not find(document, "status"):
        return "an object of a cluster has no status"
    return ""


def _delete(store: Store, rules: Rules, *, as_json: bool) -> None:
    with Progress() as reporter:
        reporter.step(f"reading {store.url}")
        done = collect(store, rules, builder(os.environ), reporter)
    if as_json:
        console.print_json({"store": store.url, **console.facts(done)})
        return
    rows = [(each.hash, size(each.size)) for each in done.deleted]
    console.print_table(rows, right=(1,))
    total = size(sum(each.size for each in done.deleted))
    text = f"deleted {amount(len(done.deleted), 'archive')}, {total}, from {store.url}"
    if done.blobs:
        text += f", {large_files(done.blobs)}"
    if done.leftovers:
        text += f", and {amount(done.leftovers, 'leftover')}"
    if done.spared:
        text += f"; {amount(len(done.spared), 'archive')} spared, needed since"
    console.say(text)


def _print_survey(found: Survey, store: Store) -> None:
    goes = found.goes
    stays = [each for each in found.archives if each.reasons]
    rows = [_row(each, "goes") for each in goes]
    rows += [_row(each, "stays: " + _reasons(each)) for each in stays]
    header = ("ARCHIVE", "SIZE", "PUSHED", "")
    console.print_table(rows, header=header, right=(1,))
    leftovers = len(found.leftovers) + len(found.unfinished)
    parts = [_sum(goes)]
    if found.blobs:
        parts.append(large_files(found.blobs))
    if leftovers:
        parts.append(amount(leftovers, "leftover"))
    text = f"{store.url}: {', '.join(parts)} would go, {_sum(stays)}"
    if found.kept_blobs:
        text += f", {large_files(found.kept_blobs)}"
    text += " would stay"
    if goes or found.blobs or leftovers:
        text += "; nothing was deleted yet: add --delete"
    console.say(text)
    if goes:
        console.say(
            "the store knows only the hashes in manifests that 'deploy' recorded; name "
            "others with --keep-from FILE"
        )


def _row(each: StoredArchive, verdict: str) -> tuple[str, str, str, str]:
    return each.hash[:12], size(each.size), moment(each.modified), verdict


def in_words(reason: Reason) -> str:
    """Return why an archive stays, as people read it."""
    kind, name, number = reason
    words = {
        "rollback": f"rollback of {name}",
        "newest": f"one of the {number} newest",
        "recent": "pushed lately",
        "base": f"base of {str(name)[:12]}",
    }
    plain = " ".join([kind, *filter(None, [name]), *[f"#{number}"] * bool(number)])
    return words.get(kind, plain)


def _reasons(each: StoredArchive) -> str:
    shown = list(map(in_words, each.reasons[:_REASONS_SHOWN]))
    more = len(each.reasons) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _sum(archives: list[StoredArchive]) -> str:
    return f"{amount(len(archives), 'archive')} ({size(sum(f.size for f in archives))})"
