"""Looks: Python code is about to look at a path of a tree, so the files appear.

`lazyimport.importing.wrappers` has the functions that ask here before they reach the
file system, and `lazyimport.importing.looking` what happens then. What C code opens by
itself is not noticed.
"""

from __future__ import annotations

import os
import posix
import posixpath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Appear = Callable[[str, int], object]

#: How deep a look goes: it only asks whether a file comes on demand; at the status of
#: what a path names; at that itself; also at the names in a directory; at all that lies
#: in a directory; at all of the package, because it is changed or passed on; at all of
#: the tree if it is a program, which goes on from where it lies, else at the package.
ASKED, STATUS, NAME, LISTED, OPENED, PACKAGE, STARTED = range(7)


def _unnoticed(*functions: str) -> Any:
    """Return the last of these *functions* of `posixpath`, asking the system itself."""
    names: dict[str, Any] = {**vars(posixpath), "os": posix}
    for name in functions:
        real: Any = names.get(name)
        if getattr(real, "__globals__", None) is vars(posixpath):  # and nobody's own
            copy = type(real)(real.__code__, names, name, real.__defaults__)
            copy.__kwdefaults__ = real.__kwdefaults__
            names[name] = copy
    return names[functions[-1]]


#: `os.path.realpath`, of whose looks nobody is told
realpath = _unnoticed("_joinrealpath", "realpath")


class Answered(Exception):
    """What a look asks the system is known: its *answer*."""

    def __init__(self, answer: Any) -> None:
        super().__init__(answer)
        self.answer = answer


class Looks:
    """The trees that are watched in this process, and who is looking now.

    ``beginnings`` says how paths begin that are worth a closer look: as the roots do,
    or, while the current directory is in a tree, in any way. What puts files on disk
    does not ask here, because it calls the functions of `posix` themselves.
    """

    def __init__(self) -> None:
        self.beginnings: tuple[str, ...] = ()
        #: how paths in a tree begin, with links or without -> root
        self.roots: dict[str, str] = {}
        #: root -> what is called before somebody looks at a path in it
        self.appear: dict[str, Appear] = {}
        #: root -> where what lies in it is looked for
        self.places: dict[str, str] = {}
        #: what is called before each path counts: what sees it is a path, too
        self.prepare: Callable[[], object] = lambda: None

    def watch(self, root: str, appear: Appear) -> None:
        """Let *appear* be called before Python code looks at a path below *root*.

        It takes the path, absolute and in its shortest form, and how deep the look
        goes (`STATUS` to `PACKAGE`). It may have nothing to do, and raises nothing but
        OSError, which the code that looks gets to see, and with `STATUS` `Answered`.
        With `ASKED` it does nothing, and returns whether a link at *path* stands for a
        file.
        """
        self.appear[root] = appear
        self.see_roots()

    def unwatch(self) -> None:
        """Watch no tree any more."""
        self.appear.clear()
        self.places.clear()
        self.see_roots()

    def concern(self, given: Any) -> bool:
        """Return whether `looking` has to be told of a look at the path *given*."""
        return type(given) is not str or given.startswith(self.beginnings)

    def see_directory(self) -> None:
        """Work out how paths begin, for the current directory has changed."""
        inside = self.roots and self.root_of(current_directory())
        if inside:
            self.prepare()
        self.beginnings = ("",) if inside else tuple(self.roots)

    def see_roots(self) -> None:
        """Work out how paths in trees begin, for others are watched."""
        roots: dict[str, str] = {}
        for root in list(self.appear):  # another thread may free a tree
            roots[root] = roots[os.path.realpath(root)] = root
        self.roots = roots
        self.see_directory()

    def root_of(self, path: str) -> str:
        """Return how *path* begins if it is one of a tree, else nothing."""
        for root in self.roots:
            if path.startswith(root) and path[len(root) : len(root) + 1] in {"", "/"}:
                return root
        return ""


def current_directory() -> str:
    """Return the current directory, ``""`` if it has been removed."""
    try:
        return os.getcwd()
    except OSError:
        return ""
