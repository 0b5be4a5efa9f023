"""Signals: what Ctrl-C, SIGTERM and SIGHUP do to a command.

While modules are loaded there is nothing to clean up, and they end the process without
a traceback. Once a command works, each of them raises KeyboardInterrupt.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # loads no enum
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_changed: set[int] = set()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let each signal that would end this process raise KeyboardInterrupt inside."""
    for number in _ENDING:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
            _changed.add(number)
    try:
        yield
    finally:
        _put_back()


def act_as_python() -> None:
    """Let signals do, until this process ends, what they do in any Python program."""
    _changed.discard(signal.SIGINT)
    _put_back()


def ignore() -> None:
    """Let nothing interrupt what is being cleaned up."""
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


def _put_back() -> None:
    while _changed:
        signal.signal(_changed.pop(), signal.SIG_DFL)
