"""The import machinery: its names, and how to look like a part of it.

`importlib.machinery` and `importlib.util` re-export what the interpreter has loaded
anyway, but bring importlib, warnings and more along: a millisecond in every process
that starts with an archive.

CPython trims the frames of its frozen import machinery from a traceback
(``remove_importlib_frames`` in ``Python/import.c``): all of them for an ImportError,
else those that end in ``_call_with_frames_removed``. Our frames between an ``import``
and a module that fails must not show either, so those functions pretend to be the
machinery's.
"""

from __future__ import annotations

import sys
from _frozen_importlib import (  # type: ignore[attr-defined]
    ModuleSpec,
    # CPython looks for the function by its name in the traceback.
    _call_with_frames_removed as without_frames,
)
from _frozen_importlib_external import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    MAGIC_NUMBER,
    SOURCE_SUFFIXES,
    PathFinder,
    SourcelessFileLoader,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Function = TypeVar("Function", bound=Callable[..., Any])

__all__ = [
    "BYTECODE_SUFFIXES",
    "EXTENSION_SUFFIXES",
    "MAGIC_NUMBER",
    "SOURCE_SUFFIXES",
    "ModuleSpec",
    "PathFinder",
    "SourcelessFileLoader",
    "finders_behind",
    "hidden",
    "running_python",
    "without_frames",
]


def hidden(function: Function) -> Function:
    """Let the frames of *function* be trimmed like those of the machinery."""
    function.__code__ = function.__code__.replace(
        co_filename="<frozen importlib._bootstrap_external>"
    )
    return function


def finders_behind(finder: object) -> list[Any] | None:
    """Return what follows *finder* on ``sys.meta_path``; None if it is not there."""
    finders: list[Any] = list(sys.meta_path)
    return finders[finders.index(finder) + 1 :] if finder in finders else None


def running_python() -> tuple[str, bytes, int]:
    """Return (cache tag, magic number, optimization) of this interpreter."""
    return sys.implementation.cache_tag or "", MAGIC_NUMBER, sys.flags.optimize
