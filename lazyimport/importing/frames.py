"""Keeping our frames out of other people's tracebacks.

CPython trims the frames of its frozen import machinery from a traceback
(``remove_importlib_frames`` in ``Python/import.c``): all of them for an
ImportError, else those that end in ``_call_with_frames_removed``. What stands
between an ``import`` and a module that fails must not show here either, so the
few functions of ours that can stand there say they are the machinery's.
"""

from __future__ import annotations

# CPython looks for the function by its name in the traceback.
from lazyimport.importing.machinery import call_with_frames_removed as without_frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Function = TypeVar("Function", bound=Callable[..., Any])

__all__ = ["hidden", "without_frames"]


def hidden(function: Function) -> Function:
    """Let the frames of *function* be trimmed like those of the machinery."""
    function.__code__ = function.__code__.replace(
        co_filename="<frozen importlib._bootstrap_external>"
    )
    return function
