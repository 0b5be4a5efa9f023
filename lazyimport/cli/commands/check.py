"""``lazyimport check``."""

from __future__ import annotations

import os
import sys

from lazyimport.cli.options import read_settings, resolve
from lazyimport.cli.progress import Notes
from lazyimport.cli.tables import amount, tolerant

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from lazyimport.settings import Settings

__all__ = ["run", "try_entries"]


def run(arguments: argparse.Namespace) -> int:
    """Import what is named from the archive, as a worker would."""
    tolerant()
    settings = read_settings(arguments)
    hash = resolve(arguments.hash, settings)
    try_entries(hash, arguments.entries, settings, arguments, Notes())
    return 0


def try_entries(
    hash: str,
    entries: Sequence[str],
    settings: Settings,
    arguments: argparse.Namespace,
    notes: Notes,
    by_value: Sequence[str] = (),
) -> None:
    """Check *entries* and tell about it. Raises DeployError."""
    from lazyimport.deploy import check

    python = arguments.check_python or sys.executable
    notes.wait(f"importing {', '.join(entries)} with {python}")
    try:
        checked = check(
            hash,
            entries,
            settings,
            environ=os.environ,
            python=python,
            by_value=by_value,
        )
    finally:
        notes.clear()
    for name, place in checked.shadowed:
        notes.warn(f"{name} of the archive wins over the one installed in {place}")
    notes.say(
        f"{', '.join(entries)}: fine with {python}, "
        f"{amount(checked.modules, 'module')} of the archive in "
        f"{checked.seconds:.1f} s"
    )
