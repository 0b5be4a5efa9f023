"""``lazyimport pack``."""

from __future__ import annotations

import os

from lazyimport.cli.options import UsageError, pack_options, read_settings
from lazyimport.cli.progress import Notes
from lazyimport.cli.tables import amount, size
from lazyimport.errors import SettingsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from lazyimport.packing import Packed

__all__ = ["run", "summary"]


def run(arguments: argparse.Namespace) -> int:
    """Pack, write the file if one is asked for, print the hash."""
    from lazyimport.packing import pack

    notes = Notes(quiet=arguments.quiet)
    settings = read_settings(arguments)
    options = pack_options(arguments)
    try:
        packed = pack(arguments.roots, settings, options, reporter=notes)
    except SettingsError as error:
        if error.name == "roots":
            raise UsageError(str(error)) from error
        raise
    finally:
        notes.clear()
    for line in summary(packed):
        notes.say(line)
    if arguments.output:
        path = os.path.abspath(arguments.output)
        notes.wait(f"compressing into {path}")
        try:
            written = packed.save(path)
        finally:
            notes.clear()
        notes.say(f"wrote {path}, {size(written)}")
    print(packed.hash)
    return 0


def summary(packed: Packed) -> list[str]:
    """Return what was packed, in words."""
    lines = []
    if packed.artifact is not None:
        known = "as it should be" if packed.artifact.sha256 else "not checked"
        digest = packed.artifact_sha256
        lines.append(f"read {packed.artifact.url}, SHA-256 {digest} ({known})")
    pythons = ", ".join(v.python for v in packed.revision.index.variants)
    lines.append(
        f"packed {amount(packed.modules, 'module')} in {amount(packed.files, 'file')}, "
        f"{size(packed.size)}, for Python {pythons}: {packed.compiled:,} compiled, "
        f"{packed.reused:,} reused, in {packed.seconds:.1f} s"
    )
    return lines
