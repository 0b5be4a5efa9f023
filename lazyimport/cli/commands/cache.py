"""``lazyimport cache``: what is in the node cache, whether it is sound, making room."""

from __future__ import annotations

from lazyimport.cache.blobs import LARGE
from lazyimport.cache.evict import clear, prune
from lazyimport.cache.layout import BLOBS
from lazyimport.cache.node import NodeCache
from lazyimport.cache.progress import running_fetches
from lazyimport.cache.sweeper import Pruned
from lazyimport.cache.usage import Inventory, archives_by_use
from lazyimport.cache.verify import Verified, verify
from lazyimport.cli import console, declare, options
from lazyimport.cli.exit_codes import DONE, FAILED
from lazyimport.cli.figures import amount, large_files, moment, size
from lazyimport.cli.progress import Progress
from lazyimport.settings import Settings
from lazyimport.units import byte_count

_EXAMPLES = """
lazyimport cache ls
lazyimport cache prune --limit 5GiB --dry-run
lazyimport cache prune --limit off --older-than 30d
lazyimport cache verify --json
"""


@declare.group("cache", examples=_EXAMPLES, subcommand_metavar="ACTION ...")
def command() -> None:
    """Look into the node cache, check it, and make room in it.

    Archives that a living process uses are never removed, except by 'clear
    --force'.
    """


_dry_run = declare.option("--dry-run", "Show what would be removed; remove nothing.")


@command.command("ls")
@options.json
@options.settings(store=False)
def _ls(as_json: bool, settings: Settings) -> None:
    """List archives, most recently used first, and running fetches."""
    cache = NodeCache(settings.cache_dir)
    coming = running_fetches(cache)
    kept = archives_by_use(cache)[::-1]
    found = Inventory(cache)
    large = [file for file in found.files[BLOBS] if file.size >= LARGE]
    if as_json:
        fetching = [
            {"hash": hash, "done": each.done, "total": each.total}
            for hash, each in coming.items()
        ]
        facts = {"path": cache.path, "size": found.taken, "archives": kept}
        console.print_json({**facts, "fetching": fetching})
        return
    here = {each.hash for each in kept}  # whose large files may still come
    rows = [
        (hash, size(each.total), "", str(each))
        for hash, each in coming.items()
        if hash not in here
    ]
    rows += [
        (
            each.hash,
            size(each.size),
            moment(each.used),
            str(coming.get(each.hash, "in use" if each.in_use else "")),
        )
        for each in kept
    ]
    console.print_table(rows, header=("ARCHIVE", "SIZE", "LAST USED", ""), right=(1,))
    console.say(
        f"{amount(len(kept), 'archive')} in the node cache {cache.path}, "
        f"{size(found.taken)} with the files made from them"
        + (f" and {large_files(large)}" if large else "")
    )


@command.command("verify")
@_dry_run
@options.json
@options.settings(store=False)
def _verify(dry_run: bool, as_json: bool, settings: Settings) -> int:
    """Check every byte, and remove what is damaged.

    What is removed is fetched again when it is needed. The exit code is 1 if
    anything is damaged.
    """
    cache = NodeCache(settings.cache_dir)
    with Progress() as reporter:
        found = verify(cache, remove=not dry_run, reporter=reporter)
    if as_json:
        console.print_json({"path": cache.path, **console.facts(found)})
    else:
        console.print_table([(damage.path, damage.why) for damage in found.damages])
        _say_verdict(found, cache, dry_run=dry_run)
    return FAILED if found.damages else DONE


def _say_verdict(found: Verified, cache: NodeCache, *, dry_run: bool) -> None:
    verdict = "all sound"
    if found.damages:
        gone = sum(damage.missing for damage in found.damages)
        counts = {"damaged": len(found.damages) - gone, "missing": gone}
        verdict = ", ".join(f"{n:,} {what}" for what, n in counts.items() if n)
        verdict += (
            "; without --dry-run they are replaced"
            if dry_run
            else "; files are put there again from their archives, which are fetched "
            "again when they are needed"
        )
    console.say(
        f"{amount(found.archives, 'archive')} and {amount(found.files, 'file')} in "
        f"the node cache {cache.path}, {size(found.size)}: {verdict}"
    )
    if found.newer:
        console.say(
            f"{amount(found.newer, 'archive')} of a newer lazyimport, not looked at"
        )


@command.command("prune")
@declare.option(
    "--limit SIZE",
    "Keep at most this much, such as 20GiB; or off.",
    envvar="LAZYIMPORT_CACHE_LIMIT",
    show_default="a quarter of the disk",
)
@declare.option(
    "--older-than AGE", "Remove what was unused for this long: 12h, 30d or 8w."
)
@_dry_run
@options.json
@options.settings(store=False)
def _prune(
    limit: str | None,
    older_than: float | None,
    dry_run: bool,
    as_json: bool,
    settings: Settings,
) -> None:
    """Remove what was unused longest, down to the limit."""
    cache = NodeCache(settings.cache_dir)
    most = byte_count(limit) if limit else cache.default_limit()
    pruned = prune(cache, most, older_than, dry_run=dry_run)
    _print_pruned(pruned, cache, dry_run=dry_run, as_json=as_json)


@command.command("clear")
@declare.option("--force", "Remove what is in use too.")
@_dry_run
@options.json
@options.settings(store=False)
def _clear(force: bool, dry_run: bool, as_json: bool, settings: Settings) -> int:
    """Remove everything that is not in use.

    The records of deployments and channels stay. The exit code is 1 if anything is in
    use.
    """
    cache = NodeCache(settings.cache_dir)
    pruned = clear(cache, force=force, dry_run=dry_run)
    _print_pruned(pruned, cache, dry_run=dry_run, as_json=as_json)
    if pruned.in_use and not as_json:
        console.say("what is in use stays; --force removes it too")
    return FAILED if pruned.in_use else DONE


def _print_pruned(
    pruned: Pruned, cache: NodeCache, *, dry_run: bool = False, as_json: bool
) -> None:
    if as_json:
        console.print_json({"path": cache.path, **console.facts(pruned)})
        return
    removed = "would be removed" if dry_run else "removed"
    rows = [
        (a.hash, size(a.size), moment(a.used), what)
        for what, archives in ((removed, pruned.removed), ("in use", pruned.in_use))
        for a in archives
    ]
    console.print_table(rows, right=(1,))
    freed = "would be freed" if dry_run else "freed"
    console.say(
        f"{size(pruned.freed)} {freed}, {size(pruned.left)} left in the node cache "
        f"{cache.path}"
    )
