"""Starting: a process records from its first import on what a swap needs to know."""

from __future__ import annotations

import builtins
import importlib

from lazyimport.live.generations import Generation
from lazyimport.live.imports import Imports
from lazyimport.live.state import Live
from lazyimport.runtime import current, process


def start() -> bool:
    """Let the code of this process change, from now on; return whether it can.

    It can where an archive is installed and ``LAZYIMPORT_LIVE`` is set. What was
    imported from the archive before is not known, so this comes first: the activation
    of a process does it.
    """
    installation = current()
    if process.live is not None:
        return True
    if installation is None or not installation.settings.live:
        return False
    live = process.live = Live(Generation(installation.tree))
    Imports(live).put_in(builtins, importlib)
    live.journal.begin(process.watcher)
    return True
