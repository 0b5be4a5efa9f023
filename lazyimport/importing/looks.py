"""Looks: Python code is about to look at a path of a tree, so the files appear.

`lazyimport.importing.wrappers` has the functions that ask here before they reach the
file system. What C code opens by itself is not noticed.
"""

from __future__ import annotations

import os
import posix
import posixpath
from _weakref import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    Appear = Callable[[str, int], object]

#: How deep a look goes: it only asks whether a file comes on demand; at the status of
#: what a path names; at that itself; also at the names in a directory; at all that lies
#: in a directory; at all of the package, because it is changed or passed on.
ASKED, STATUS, NAME, LISTED, OPENED, PACKAGE = range(6)

#: what ends a path in the middle of a text, as in a shell
_ENDS = str.maketrans(dict.fromkeys("\0\t\n\r\"':;,", " "))


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
        self._roots: dict[str, str] = {}
        self._appear: dict[str, Appear] = {}
        #: root -> where what lies in it is looked for
        self._places: dict[str, str] = {}

    def watch(self, root: str, appear: Appear) -> None:
        """Let *appear* be called before Python code looks at a path below *root*.

        It takes the path, absolute and in its shortest form, and how deep the look
        goes (`STATUS` to `PACKAGE`). It may have nothing to do, and raises nothing but
        OSError, which the code that looks gets to see, and with `STATUS` `Answered`.
        With `ASKED` it does nothing, and returns whether a link at *path* stands for a
        file.
        """
        self._appear[root] = appear
        self._see_roots()

    def watch_while_used(
        self, tree: Any, appear: Callable[[Any, str, int], object]
    ) -> None:
        """Watch the root of *tree* as long as somebody else refers to it.

        *appear* takes it in front of what `watch` says.
        """
        root = tree.root
        used = ref(tree, lambda _: self._forget(root))

        def appear_if_used(path: str, depth: int) -> object:
            there = used()
            return there is not None and appear(there, path, depth)

        self.watch(root, appear_if_used)

    def _forget(self, root: str) -> None:
        self._appear.pop(root, None)
        self._see_roots()

    def unwatch(self) -> None:
        """Watch no tree any more."""
        self._appear.clear()
        self._places.clear()
        self._see_roots()

    def lead(self, root: str, place: str) -> None:
        """Lead those who look at what lies in *root* to *place* from now on."""
        appear = self._appear.get(root)
        if appear is None:
            return
        self.watch(place, appear)
        for known, each in list(self._appear.items()):
            if each == appear:
                self._places[known] = place

    def look(self, given: Any, depth: int) -> Any:
        """Put on disk what the path *given* names, if that is in a tree.

        Returns what is to be used in its place: itself, unless the file lies elsewhere.
        Raises as what watches there does.
        """
        beginning, path = self._found(given)
        if not beginning:
            return given
        root, inner = self._roots[beginning], path[len(beginning) :]
        self._look_below(root, inner, depth)
        if self._places.get(root, root) == root or os.fsdecode(given)[:1] != "/":
            return given  # a relative one may be relative to a dir_fd
        path = self._led(os.path.normpath(root + inner))
        return os.fsencode(path) if isinstance(given, bytes) else path

    def look_at_mentioned(self, values: Iterable[Any]) -> Any:
        """Put on disk what is named anywhere in the texts among *values*.

        Also in the middle of a text (``--file=/root/a``, ``file:/root/b?mode=ro``),
        and in lists, tuples and the values of mappings. Returns what to use as `look`.
        """
        for text in _texts(values) if self.beginnings else ():
            self.look(text, PACKAGE)
            for beginning in self._roots:
                for rest in text.split(beginning)[1:]:
                    end = rest.translate(_ENDS).partition(" ")[0]
                    for inner in {end, end.partition("?")[0]}:  # it may be a URI
                        self.look(beginning + inner, PACKAGE)
        return self._led(values) if self._places else values

    def look_up_from(self, folder: Any, values: Iterable[Any]) -> None:
        """Put on disk what *values* name by ``..``, relative to *folder* in a tree."""
        if not self.is_inside(folder):
            return
        for word in " ".join(_texts(values)).translate(_ENDS).split():
            if ".." in word and word[0] != "/":
                self.look(os.path.join(os.fsdecode(folder), word), PACKAGE)

    def _led(self, value: Any) -> Any:
        """Return *value* with the places of files in place of what names them."""
        if isinstance(value, (list, tuple)):
            return type(value)(map(self._led, value))
        if hasattr(value, "items"):
            return {name: self._led(each) for name, each in value.items()}
        if isinstance(value, bytes):
            return os.fsencode(self._led(os.fsdecode(value)))
        for beginning, root in self._roots.items() if isinstance(value, str) else ():
            value = value.replace(beginning, self._places.get(root, root))
        return value

    def from_root(self, root: str, path: str) -> str:
        """Return *path* as it begins with *root*, if it leads there in another way.

        As by links, or from a current directory below it.
        """
        beginning, absolute = self._found(path)
        if beginning and self._roots[beginning] == root:
            return root + absolute[len(beginning) :]
        return path

    def concern(self, given: Any) -> bool:
        """Return whether the path *given* may be in a tree."""
        return type(given) is not str or given.startswith(self.beginnings)

    def is_inside(self, given: Any) -> bool:
        """Return whether a path is in a tree."""
        return bool(self._found(given)[0])

    def is_awaited(self, given: Any) -> bool:
        """Return whether *given* is a link that stands for a file on demand."""
        beginning, path = self._found(given)
        if not beginning:
            return False
        root, inner = self._roots[beginning], path[len(beginning) :]
        return bool(self._look_below(root, inner, ASKED))

    def is_root(self, path: object) -> bool:
        """Return whether *path* is the root of a tree."""
        beginning, absolute = self._found(path)
        return bool(beginning) and not absolute[len(beginning) :].strip("/")

    def see_directory(self) -> None:
        """Work out how paths begin, for the current directory has changed."""
        inside = self._roots and self._root_of(_current_directory())
        self.beginnings = ("",) if inside else tuple(self._roots)

    def _see_roots(self) -> None:
        roots: dict[str, str] = {}
        for root in list(self._appear):  # another thread may free a tree
            roots[root] = roots[os.path.realpath(root)] = root
        self._roots = roots
        self.see_directory()

    def _root_of(self, path: str) -> str:
        """Return how *path* begins if it is one of a tree, else nothing."""
        for root in self._roots:
            if path.startswith(root) and path[len(root) : len(root) + 1] in {"", "/"}:
                return root
        return ""

    def _found(self, given: Any) -> tuple[str, str]:
        """Return how *given* begins if it is in a tree, and its absolute path."""
        path = given
        if type(path) is not str:
            if type(path) is int or not self.beginnings:
                return "", ""
            try:
                path = os.fsdecode(path)
            except TypeError:  # it is no path: the function will say so
                return "", ""
        if path[:1] != "/":
            if self.beginnings != ("",):
                return "", path
            path = f"{_current_directory()}/{path}"
        return self._root_of(path), path

    def _look_below(self, root: str, inner: str, depth: int) -> object:
        appear = self._appear.get(root)
        if appear is None:
            return None
        before, up, _ = inner.partition("/..")
        if up:  # the system goes through what stands before it
            appear(os.path.normpath(root + before), NAME)
        path = os.path.normpath(root + inner)
        if path == root or path.startswith(f"{root}/"):
            return appear(path, depth)
        return None


def _current_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it has been removed
        return ""


def _texts(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _texts(value)
        elif hasattr(value, "values"):
            yield from _texts(value.values())
        else:
            try:
                yield os.fsdecode(value)
            except TypeError:
                pass  # a number, a file, a function, nothing
