"""Names of the import machinery, without the price of the importlib package.

`importlib.machinery` and `importlib.util` re-export what the interpreter has
loaded anyway, but bring importlib, warnings and more along: a millisecond in
every process that starts with an archive.
"""

from __future__ import annotations

from _frozen_importlib import (  # type: ignore[attr-defined]
    ModuleSpec,
    _call_with_frames_removed as call_with_frames_removed,
)
from _frozen_importlib_external import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    MAGIC_NUMBER,
    SOURCE_SUFFIXES,
    PathFinder,
    SourcelessFileLoader,
)

__all__ = [
    "BYTECODE_SUFFIXES",
    "EXTENSION_SUFFIXES",
    "MAGIC_NUMBER",
    "SOURCE_SUFFIXES",
    "ModuleSpec",
    "PathFinder",
    "SourcelessFileLoader",
    "call_with_frames_removed",
]
