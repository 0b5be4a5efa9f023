"""Seeing: what a call of a function of the system is about.

Each function takes the wrapper of that function, the arguments and keywords of a call,
and returns the arguments to go on with; it may change the keywords. `scanned` is
called afterwards.
"""

from __future__ import annotations

import os
import sys

from lazyimport.importing.looking import (
    is_inside,
    is_root,
    look,
    look_at_mentioned,
    look_up_from,
)
from lazyimport.importing.looks import Answered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: what parameters of such functions are called that take a path
_PATHS = {"dst", "file", "path", "src"}


def path(wrapper: Any, args: Any, keywords: Any, count: int = 1) -> Any:
    """See a path, or as many as that, which may be given by name."""
    looks, depth = wrapper.looks, wrapper.depth
    for name in keywords.keys() & _PATHS if keywords else ():
        keywords[name] = look(looks, keywords[name], depth)
    return *(look(looks, each, depth) for each in args[:count]), *args[count:]


def paths(wrapper: Any, args: Any, keywords: Any) -> Any:
    """See two paths, of what is moved or made."""
    return path(wrapper, args, keywords, 2)


def access(wrapper: Any, args: Any, keywords: Any) -> Any:
    """See the path of ``os.access``, which the index answers for a file on demand."""
    try:
        return path(wrapper, args, keywords)
    except Answered as known:
        mode = (*args[1:], keywords.get("mode", os.F_OK))[0]
        may_write = os.geteuid() == 0 or not mode & os.W_OK
        may = bool(not mode & os.X_OK or known.answer.st_mode & 0o100)
        raise Answered(may_write and may) from None


def mention(wrapper: Any, args: Any, keywords: Any, folder: str | None = None) -> Any:
    """See paths that may be given as parts of texts.

    Such as to what starts a program, whose arguments and environment may name files,
    also by ``..`` from the *folder* in which it will run.
    """
    looks = wrapper.looks
    args, changed = look_at_mentioned(looks, (args, keywords), wrapper.depth)
    keywords.update(changed)
    folder = folder or keywords.get("cwd") or "."
    look_up_from(looks, folder, args, wrapper.depth)
    return args


def child(wrapper: Any, args: Any, keywords: Any) -> Any:
    """See what a child is told, whose folder comes fifth and environment sixth."""
    folder, environ = (*args, *[None] * 6)[4:6]
    if environ is None:
        _inherited(wrapper)
    return mention(wrapper, args, keywords, folder)


def heir(wrapper: Any, args: Any, keywords: Any) -> Any:
    """See what a program is told that has our environment, unless it gets its own."""
    if not any(hasattr(each, "keys") for each in (*args, *keywords.values())):
        _inherited(wrapper)
    return mention(wrapper, args, keywords)


def _inherited(wrapper: Any) -> None:
    """See paths in the environment: ``PATH``, or one by which a shell goes on."""
    environ = os.environ
    values = [environ.get(name) for name in environ]  # a thread may remove some
    look_at_mentioned(wrapper.looks, values, wrapper.depth)


def names(wrapper: Any, args: Any, keywords: Any) -> Any:
    """See what ``os.listdir`` lists, by which one looks for distributions.

    `importlib.metadata`, the backport, and copies of that in other packages find none
    in the root: the archive's finder tells them of those, and they would list each
    twice.
    """
    for folder in args or keywords.values():
        if not is_root(wrapper.looks, folder):
            continue
        if "MetadataPathFinder" in sys._getframe(3).f_globals:  # noqa: SLF001
            raise Answered([])
    return path(wrapper, args, keywords)


def scanned(wrapper: Any, found: Any, folder: Any = ".", *_: Any) -> Any:
    """Return what ``os.scandir`` has *found*; files on demand are files."""
    if not is_inside(wrapper.looks, folder):
        return found
    from lazyimport.importing.scanning import Entries

    return Entries(found, wrapper.looks)
