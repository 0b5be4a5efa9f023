"""``lazyimport diff``."""

from __future__ import annotations

import os
from contextlib import nullcontext

from lazyimport.cli import console, declare, deploying, options
from lazyimport.cli.comparing import named_archive, print_comparison
from lazyimport.cli.exit_codes import DONE, FAILED
from lazyimport.cli.packing import NAMES, pack_options
from lazyimport.cli.progress import Progress
from lazyimport.delivery.comparing import Tree, compare
from lazyimport.delivery.contents import read_contents
from lazyimport.deploy import Target
from lazyimport.packing import PackOptions, pack
from lazyimport.settings import Settings
from lazyimport.values import is_prefix

_EXAMPLES = """
lazyimport diff prod               what a push from here would change
lazyimport diff 4be81c02 9c1d77a0 --lines
lazyimport diff serve.yaml prod    from what the manifest names
lazyimport diff shop               from what the application runs
"""


@declare.command("diff", examples=_EXAMPLES)
@declare.argument(
    "OLD",
    "An archive (what other commands take as HASH), a manifest that names one, an "
    "application that runs one, or a folder, as it would be packed.",
    "old",
    shell_complete=options.complete_archive,
)
@declare.argument(
    "[NEW]",
    "What to compare it with, in the same forms; by default what 'push' would pack here.",
    "new",
    shell_complete=options.complete_archive,
)
@declare.option("-p, --lines", "Print what differs in each file, as 'diff -u' does.")
@declare.option("--exit-status", "End with exit code 1 if anything differs.")
@declare.option(
    "--address URL",
    "Ask Ray's dashboard at this address what an application runs; by default the record "
    "of deployments says it.",
    "target",
    callback=deploying.typed_target,
)
@options.json
@options.quiet
@options.settings()
@pack_options
def command(
    old: str,
    new: str | None,
    lines: bool,
    exit_status: bool,
    target: Target | None,
    as_json: bool,
    quiet: bool,
    settings: Settings,
    packing: PackOptions,
) -> int:
    """Show what differs between archives, or from the tree here.

    Lists the files that were added, removed and changed, with their sizes in bytes and
    their modules. Of an archive in a store, reads only the index, and with --lines what
    changed.
    """
    if as_json:
        options.refuse_idle(["lines"], "with --json")
    packs = new is None or _is_folder(old) or _is_folder(new)
    if not packs:
        options.refuse_idle(NAMES, "without a folder")
    cache = options.any_cache(settings) if packs else nullcontext(settings)
    with Progress(quiet=quiet) as reporter, cache as writable:

        def tree(text: str | None) -> Tree:
            if text is None or _is_folder(text):
                roots = [] if text is None else [text]
                packed = pack(roots, writable, packing, whole=False, reporter=reporter)
                return packed.revision
            cluster = target.cluster() if target else None
            hash = named_archive(text, settings, reporter, cluster)
            return read_contents(hash, settings, reporter)

        found = compare(tree(old), tree(new))
        texts = list(found.lines()) if lines else []
    hashes = [found.old.index.hash, found.new.index.hash]
    if as_json:
        facts = {"recompiled": found.recompiled, "files": found.changes}
        console.print_json({"old": hashes[0], "new": hashes[1], **facts})
    elif lines:
        for text in texts:
            console.print_diff(text)
    else:
        print_comparison(found, reporter)
    return FAILED if exit_status and hashes[0] != hashes[1] else DONE


def _is_folder(text: str) -> bool:
    """Whether *text* is a folder; what may be the digits of a hash is none."""
    return os.path.isdir(text) and not is_prefix(text)
