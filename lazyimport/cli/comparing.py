"""What ``diff``, ``deploy --diff`` and ``report`` share: archives, what differs."""

from __future__ import annotations

import os
from collections import Counter

import click

from lazyimport.cli import console
from lazyimport.cli.figures import amount
from lazyimport.cli.progress import Progress
from lazyimport.delivery.comparing import Comparison
from lazyimport.delivery.lookup import resolve
from lazyimport.deploy import Manifest
from lazyimport.reporting import Reporter
from lazyimport.settings import Settings

_MANIFESTS = (".yaml", ".yml", ".json")
_HEADER = ("CHANGE", "BEFORE", "AFTER", "PATH", "MODULE")


def named_archive(text: str, settings: Settings, reporter: Reporter) -> str:
    """Return the hash that *text* stands for, or that the manifest *text* names."""
    if not (text.endswith(_MANIFESTS) and os.path.isfile(text)):
        return resolve(text, settings, reporter=reporter)
    hashes = {app.hash for app in Manifest.read(text).applications} - {None}
    if len(hashes) != 1:
        raise click.UsageError(f"{text} names {len(hashes)} archives: give the hash")
    return str(hashes.pop())


def print_comparison(found: Comparison, reporter: Progress) -> None:
    """Print the files that differ on stdout, and say how many."""
    rows = [
        [f"{cell:,}" if isinstance(cell, int) else cell or "" for cell in change]
        for change in found.changes
    ]
    console.print_table(rows, header=_HEADER, right=(1, 2))
    old, new = found.old.index, found.new.index
    kinds = Counter(each.change for each in found.changes)
    parts = [f"{count:,} {kind}" for kind, count in sorted(kinds.items())]
    if old.variants != new.variants:
        pythons = (", ".join(v.python for v in each.variants) for each in (old, new))
        parts.append(f"bytecode for {' -> '.join(pythons)}")
    elif found.recompiled:
        parts.append(f"{amount(found.recompiled, 'source')} with other bytecode only")
    same = "nothing differs" if old.hash == new.hash else "the files are the same"
    reporter.say(f"{old.hash} -> {new.hash}: {', '.join(parts) or same}")
