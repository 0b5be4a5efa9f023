"""Why a deployment failed: what Serve says of it, in the lines that a person needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from lazyimport.errors import as_python_says

_COLORS = re.compile(r"\x1b\[[0-9;]*m")
#: the line of a traceback that names the exception
_RAISED = re.compile(r"([A-Za-z_]\w*\.)*[A-Z]\w+(: |$)")
_IS_ERROR = re.compile(r"\.|(Error|Exception)(: |$)")
_FRAME = re.compile(r'\s+File "(.+)", line (\d+)')
_TRACEBACK = "Traceback (most recent call last):"
_CHAINED = ("The above exception was", "During handling of the above")
#: what a path in an archive begins with
_TREE = re.compile(r".*/trees/[0-9a-f]{64}/")
#: code of others, in which errors of applications come up
_OTHERS = re.compile(r"/(site|dist)-packages/|/lib/python3\.|^<|\.pyx$")
_REPLICA = re.compile(r"Replica\(id='([^']+)', deployment='([^']+)'")
_PROCESS = re.compile(r"ServeReplica:[^:\s]+:([^\s().]+)")
#: lines of a traceback that say nothing of the error, but who raised it and where
_MARKS = re.compile(r"ray::.*\(.*pid=|\s*[~^]+\s*$")
#: lines of one error's text that are shown
_MOST = 8
#: characters of a headline that are shown, and kept
_LONGEST = 2000


class Raised(NamedTuple):
    """An exception in a message: ``error``, its first line, and the ``rest`` of it.

    ``place`` is file and line in the application's code, "" if they are unknown.
    """

    error: str
    rest: tuple[str, ...]
    place: str

    def __str__(self) -> str:
        return ", ".join(filter(None, [self.error, self.place]))


def without_colors(message: str) -> str:
    """Return *message* without the colors that Ray gives to it."""
    return _COLORS.sub("", message)


def headline(message: str) -> str:
    """Return what went wrong, where, and in which replica; else the first line.

    Of a line that is longer than anybody reads, the beginning.
    """
    message = without_colors(message)
    raised = list(_raised(message))
    if not raised:
        lines = filter(None, map(str.strip, message.splitlines()))
        return next(lines, "")[:_LONGEST]
    named, of = _REPLICA.search(message), _PROCESS.search(message)
    replica = f"in replica {named[2]}#{named[1]}" if named else ""
    if not named and of:
        replica = f"in a replica of {of[1]}"
    return ", ".join(filter(None, [str(raised[-1])[:_LONGEST], replica]))


def details(message: str) -> list[str]:
    """Return what is below the headline: the rest of the error, and its causes."""
    lines: list[str] = []
    found = {str(each): each for each in _raised(without_colors(message))}
    for number, (text, each) in enumerate(reversed(found.items())):
        if number and each.error.endswith(":"):
            continue  # it only introduces what is above
        lines += [f"after {text}"] * (number > 0)
        lines += each.rest[:_MOST]
    return lines


def _raised(message: str) -> Iterator[Raised]:
    """Yield the exceptions of *message*, each after its cause."""
    frames: list[tuple[str, str]] = []
    error, rest = "", list[str]()
    for line in [*message.splitlines(), _TRACEBACK]:
        begins = line.endswith(_TRACEBACK) or line.startswith(_CHAINED)
        frame, named = _FRAME.match(line), _RAISED.match(line)
        # Below an error there may be more of its text, which has colons too.
        raised = named and not begins and (not error or _IS_ERROR.search(named[0]))
        if error and (begins or frame or raised):
            yield Raised(error, tuple(rest), _place(frames))
            error, frames = "", []
        if raised:
            error, rest = as_python_says(line.strip()), []
        elif frame:
            frames.append((frame[1], frame[2]))
        elif error and line.strip() and not _MARKS.match(line):
            rest.append(line)


def _place(frames: list[tuple[str, str]]) -> str:
    """Return the last of *frames* in the application: of its archive, else its own."""
    for path, line in reversed(frames):
        if _TREE.match(path):
            return f"{_TREE.sub('', path)}:{line}"
    own = [f"{path}:{line}" for path, line in frames if not _OTHERS.search(path)]
    return own[-1] if own else ""
