"""Looking: what a look at a path does, if that may be in a tree.

All of these take the `Looks` of the process.
"""

from __future__ import annotations

import os
from _weakref import ref

from lazyimport.importing.looks import ASKED, NAME, PACKAGE, current_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from lazyimport.importing.looks import Looks

#: what ends a path in the middle of a text, as in a shell
_ENDS = str.maketrans(dict.fromkeys("\0\t\n\r\"':;,", " "))


def look(looks: Looks, given: Any, depth: int) -> Any:
    """Put on disk what the path *given* names, if that is in a tree.

    Returns what is to be used in its place: itself, unless the file lies elsewhere.
    Raises as what watches there does.
    """
    beginning, path = _found(looks, given)
    if not beginning:
        return given
    root, inner = looks.roots[beginning], path[len(beginning) :]
    _look_below(looks, root, inner, depth)
    if looks.places.get(root, root) == root or os.fsdecode(given)[:1] != "/":
        return given  # a relative one may be relative to a dir_fd
    path = _led(looks, os.path.normpath(root + inner))
    return os.fsencode(path) if isinstance(given, bytes) else path


def look_at_mentioned(looks: Looks, values: Iterable[Any], depth: int = PACKAGE) -> Any:
    """Put on disk what is named anywhere in the texts among *values*.

    Also in the middle of a text (``--file=/root/a``, ``file:/root/b?mode=ro``),
    and in lists, tuples and the values of mappings. Returns what to use as `look`.
    """
    for text in _texts(values) if looks.beginnings else ():
        look(looks, text, depth)
        for beginning in looks.roots:
            for rest in text.split(beginning)[1:]:
                end = rest.translate(_ENDS).partition(" ")[0]
                for inner in {end, end.partition("?")[0]}:  # it may be a URI
                    look(looks, beginning + inner, depth)
    return _led(looks, values) if looks.places else values


def look_up_from(looks: Looks, folder: Any, values: Iterable[Any], depth: int) -> None:
    """Put on disk what *values* name by ``..``, relative to *folder* in a tree."""
    if not is_inside(looks, folder):
        return
    for word in " ".join(_texts(values)).translate(_ENDS).split():
        if ".." in word and word[0] != "/":
            look(looks, os.path.join(os.fsdecode(folder), word), depth)


def _led(looks: Looks, value: Any) -> Any:
    """Return *value* with the places of files in place of what names them."""
    if isinstance(value, (list, tuple)):
        return type(value)(_led(looks, each) for each in value)
    if hasattr(value, "items"):
        return {name: _led(looks, each) for name, each in value.items()}
    if isinstance(value, bytes):
        return os.fsencode(_led(looks, os.fsdecode(value)))
    for beginning, root in looks.roots.items() if isinstance(value, str) else ():
        value = value.replace(beginning, looks.places.get(root, root))
    return value


def from_root(looks: Looks, root: str, path: str) -> str:
    """Return *path* as it begins with *root*, if it leads there in another way.

    As by links, or from a current directory below it.
    """
    beginning, absolute = _found(looks, path)
    if beginning and looks.roots[beginning] == root:
        return root + absolute[len(beginning) :]
    return path


def is_inside(looks: Looks, given: Any) -> bool:
    """Return whether a path is in a tree."""
    return bool(_found(looks, given)[0])


def is_awaited(looks: Looks, given: Any) -> bool:
    """Return whether *given* is a link that stands for a file on demand."""
    beginning, path = _found(looks, given)
    if not beginning:
        return False
    root, inner = looks.roots[beginning], path[len(beginning) :]
    return bool(_look_below(looks, root, inner, ASKED))


def is_root(looks: Looks, path: object) -> bool:
    """Return whether *path* is the root of a tree."""
    beginning, absolute = _found(looks, path)
    return bool(beginning) and not absolute[len(beginning) :].strip("/")


def _found(looks: Looks, given: Any) -> tuple[str, str]:
    """Return how *given* begins if it is in a tree, and its absolute path."""
    path = given
    if type(path) is not str:
        if type(path) is int or not looks.beginnings:
            return "", ""
        try:
            path = os.fsdecode(path)
        except TypeError:  # it is no path: the function will say so
            return "", ""
    if path[:1] != "/":
        if looks.beginnings != ("",):
            return "", path
        path = f"{current_directory()}/{path}"
    return looks.root_of(path), path


def _look_below(looks: Looks, root: str, inner: str, depth: int) -> object:
    appear = looks.appear.get(root)
    if appear is None:
        return None
    before, up, _ = inner.partition("/..")
    if up:  # the system goes through what stands before it
        appear(os.path.normpath(root + before), NAME)
    path = os.path.normpath(root + inner)
    if path == root or path.startswith(f"{root}/"):
        return appear(path, depth)
    return None


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


def watch_while_used(
    looks: Looks, tree: Any, appear: Callable[[Any, str, int], object]
) -> None:
    """Watch the root of *tree* as long as somebody else refers to it.

    *appear* takes it in front of what `watch` says.
    """
    root = tree.root
    used = ref(tree, lambda _: _forget(looks, root))

    def appear_if_used(path: str, depth: int) -> object:
        there = used()
        return there is not None and appear(there, path, depth)

    looks.watch(root, appear_if_used)


def _forget(looks: Looks, root: str) -> None:
    looks.appear.pop(root, None)
    looks.see_roots()


def lead(looks: Looks, root: str, place: str) -> None:
    """Lead those who look at what lies in *root* to *place* from now on."""
    appear = looks.appear.get(root)
    if appear is None:
        return
    looks.watch(place, appear)
    for known, each in list(looks.appear.items()):
        if each == appear:
            looks.places[known] = place
