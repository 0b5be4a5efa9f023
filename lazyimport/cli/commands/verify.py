"""``lazyimport verify``."""

from __future__ import annotations

from collections import Counter

from lazyimport.cache.node import NodeCache
from lazyimport.cli import console, declare, options
from lazyimport.cli.exit_codes import DONE, FAILED
from lazyimport.cli.figures import amount, size
from lazyimport.cli.progress import Progress
from lazyimport.delivery.lookup import resolve
from lazyimport.delivery.verify import Fault, VerifiedStore, verify_store
from lazyimport.registry.opening import store_of
from lazyimport.settings import Settings

_EXAMPLES = """
lazyimport verify --store gs://bucket/code
lazyimport verify --store gs://bucket/code --repair
lazyimport verify --store https://code.example/code 4be81c02...
"""


@declare.command("verify", examples=_EXAMPLES)
@declare.argument(
    "[HASH ...]",
    "Archives to verify, by default everything in the store.",
    "archives",
)
@declare.option(
    "--repair", "Replace what is damaged with what this machine has in its node cache."
)
@options.json
@options.settings(required=True)
def command(
    archives: tuple[str, ...], repair: bool, as_json: bool, settings: Settings
) -> int:
    """Read and prove everything in a store.

    Shows what is damaged or missing, and which archives and channels depend on it. A
    plain web server (https://) cannot list what it has, so name the archives there.

    The exit code is 1 if anything is damaged and was not repaired.
    """
    store = store_of(settings)
    with Progress() as reporter, options.any_cache(settings) as usable:
        found = verify_store(
            store,
            NodeCache((settings if repair else usable).cache_dir),
            [resolve(archive, settings, store) for archive in archives],
            repair=repair,
            reporter=reporter,
        )
    if as_json:
        console.print_json({"store": store.url, **console.facts(found)})
    else:
        console.print_table([_row(fault) for fault in found.faults])
        _say_verdict(found, store.url, repair=repair)
    return FAILED if found.left else DONE


def _row(fault: Fault) -> tuple[str, str, str]:
    needed = ", ".join(
        name[: len("archive ") + 12] if name.startswith("archive ") else name
        for name in fault.needed_by
    )
    what = f"{fault.why} (needed by {needed})" if needed else fault.why
    return fault.key, "repaired" if fault.mended else fault.kind, what


def _say_verdict(found: VerifiedStore, url: str, *, repair: bool) -> None:
    left = len(found.left)
    verdict = "all sound"
    if found.faults:
        kinds = Counter(fault.kind for fault in found.left)
        kinds["repaired"] = len(found.faults) - left
        shown = ("repaired", "damaged", "missing", "unread")
        verdict = ", ".join(f"{kinds[k]:,} {k}" for k in shown if kinds[k])
    if left and repair:
        verdict += (
            "; this machine does not have them: push the trees that they were made of, "
            "or run this where they were pushed"
        )
    elif left:
        verdict += "; --repair sends what this machine has"
    console.say(
        f"{amount(found.archives, 'archive')} and {amount(found.records, 'record')} "
        f"in {url}, {size(found.size)} read: {verdict}"
    )
    if found.newer:
        console.say(
            f"{amount(found.newer, 'archive')} of a newer lazyimport, not looked at"
        )
    if found.unchecked:
        console.say(
            f"{amount(found.unchecked, 'signature')} not checked: that needs "
            "pip install 'cryptography[ssh]'"
        )
