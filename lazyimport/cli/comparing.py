"""What differs between two archives, as ``diff`` and ``deploy --diff`` show it."""

from __future__ import annotations

from collections import Counter

from lazyimport.cli import console
from lazyimport.cli.figures import amount
from lazyimport.cli.progress import Progress
from lazyimport.delivery.comparing import Comparison

_HEADER = ("CHANGE", "BEFORE", "AFTER", "PATH", "MODULE")


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
