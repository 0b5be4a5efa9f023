"""Looks: Python code is about to look at a path of the tree, so the files appear.

The few functions through which Python code reaches the file system are wrapped:
where everybody finds them (``os.stat``, ``builtins.open``), and where somebody has
taken them before (``from os import stat``). A wrapper compares the beginning of one
string and calls what it wraps; for a path of a tree it first has put on disk what the
path names.

What C code opens by itself is not noticed. So packages with data or libraries are on
disk before their first module runs.
"""

from __future__ import annotations

import os
import sys
from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any, TypeVar

    Result = TypeVar("Result")
    Appear = Callable[[str, int], object]
    Functions = dict[type["_Look"], list[str]]

#: How deep a look goes: at what a path names; also at what a directory of that name
#: holds; at all of the package, because what it names is changed or listed.
NAME, DIRECTORY, PACKAGE = 0, 1, 2

_ABSENT: Any = object()
#: what a function tells of itself
_TOLD = "__doc__ __module__ __name__ __qualname__ __self__ __text_signature__".split()  # noqa: SIM905


class _Trees:
    """The trees that are watched in this process, and who is looking now."""

    def __init__(self) -> None:
        #: root -> what puts a part of that tree on disk
        self.appear: dict[str, Appear] = {}
        #: how paths in a tree begin, with links or without -> root
        self.roots: dict[str, str] = {}
        #: threads that put files on disk: what they look at is their own
        self.busy: set[int] = set()


_trees = _Trees()
# The other threads are not in a forked child, and their names are given again.
os.register_at_fork(after_in_child=_trees.busy.clear)
#: How the paths begin that are worth a closer look: as the roots do, or, while the
#: current directory is in a tree, in any way.
_beginnings: tuple[str, ...] = ()


class _Look:
    """A function of the system, which is called with a path.

    It passes for the function that it wraps: no descriptor, since that is none (a
    class may say ``stat = os.stat``); pickled by reference; with its signature.
    """

    depth = NAME

    def __init__(self, real: Any) -> None:
        self.__wrapped__ = real
        for name in _TOLD:
            if hasattr(real, name):
                setattr(self, name, getattr(real, name))

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self.__wrapped__)

    def __call__(self, path: Any = _ABSENT, /, *args: Any, **keywords: Any) -> Any:
        if type(path) is str:
            if path.startswith(_beginnings):
                _look(path, self.depth)
        elif path is _ABSENT:
            for value in keywords.values():
                _look(value, self.depth)
            return self.__wrapped__(*args, **keywords)
        elif type(path) is not int:
            _look(path, self.depth)
        return self.__wrapped__(path, *args, **keywords)

    def __reduce__(self) -> tuple[Any, ...]:
        real = self.__wrapped__
        home = {"posix": "os", "_io": "io"}.get(real.__module__, real.__module__)
        return getattr, (_Module(home), real.__name__)

    def __copy__(self) -> _Look:
        return self

    def __deepcopy__(self, _: object) -> _Look:
        return self

    def __repr__(self) -> str:
        return repr(self.__wrapped__)


class _Open(_Look):
    """``os.open``, which opens directories too."""

    depth = DIRECTORY


class _All(_Look):
    """A function that looks at what a directory holds, or that changes it."""

    depth = PACKAGE


class _Listdir(_All):
    """``os.listdir``, by which `importlib.metadata` looks for distributions.

    It finds none in the root: the archive's finder tells it of them, and it would
    list each twice.
    """

    def __call__(self, path: Any = None, /, *args: Any, **keywords: Any) -> Any:
        if path in _trees.roots and _caller() in _METADATA:
            return []
        return super().__call__(path, *args, **keywords)


class _Pair(_Look):
    """A function that is called with two paths, and moves one or makes one."""

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        for path in (*args[:2], *keywords.values()):
            _look(path, PACKAGE)
        return self.__wrapped__(*args, **keywords)


class _Mention(_Look):
    """A function to which a path may be given as a part of a text.

    Such as those that start a program, which looks by itself: what its arguments,
    its environment and its directory name must be there before.
    """

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        if _beginnings:
            from lazyimport.importing.mentions import mentioned  # few start programs

            for path in mentioned((*args, *keywords.values()), _trees.roots):
                _look(path, PACKAGE)
        return self.__wrapped__(*args, **keywords)


class _Chdir(_All):
    """``os.chdir`` and ``os.fchdir``, after which relative paths mean others."""

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        try:
            return super().__call__(*args, **keywords)
        finally:
            _see_beginnings()


class _Module:
    """Pickles as the module *name*."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return __import__, (self.name,)


_KINDS = (_Look, _Open, _All, _Listdir, _Pair, _Mention, _Chdir)
for _kind in (_Look, _Listdir, _Pair, _Mention, _Chdir):
    # What a traceback says of the one frame between a call that fails and its caller.
    _kind.__call__.__code__ = _kind.__call__.__code__.replace(
        co_name="put_on_disk_and_call"
    )

#: real function -> its wrapper
_wrappers: dict[Any, _Look] = {}
#: where os lists the functions that can do something
_ABILITIES: tuple[set[Any], ...] = (
    os.supports_dir_fd,
    os.supports_effective_ids,
    os.supports_fd,
    os.supports_follow_symlinks,
)
#: modules for which a function of the system stays what it is
_UNTOUCHED = {"posix", "_io", "_frozen_importlib", "_frozen_importlib_external"}


def watch(root: str, appear: Appear) -> None:
    """Let *appear* be called before Python code looks at a path below *root*.

    It takes the path, absolute and in its shortest form, and how deep the look goes
    (`NAME`, `DIRECTORY` or `PACKAGE`). It may have nothing to do, and raises nothing
    but OSError, which the code that looks gets to see.
    """
    _trees.appear[root] = appear
    _see_roots()
    for name, functions in (*_ALWAYS.items(), *WATCHED.items()):
        if name in sys.modules:
            _wrap(sys.modules[name], functions)
    _exchange({id(real): wrapper for real, wrapper in _wrappers.items()})


def unwatch(root: str) -> None:
    """Take back what `watch` did; with the last tree go the wrappers."""
    if _trees.appear.pop(root, None) is None:
        return
    _see_roots()
    if not _trees.appear:
        _exchange({id(wrapper): real for real, wrapper in _wrappers.items()})
        for able in _ABILITIES:
            able.difference_update(_wrappers.values())


def unnoticed(function: Callable[..., Result], *args: Any) -> Result:
    """Call *function*, which puts files on disk, and notice none of its own looks."""
    thread = get_ident()
    if thread in _trees.busy:
        return function(*args)
    _trees.busy.add(thread)
    try:
        return function(*args)
    finally:
        _trees.busy.discard(thread)


def wrap_module(module: ModuleType) -> None:
    """Wrap the functions of a module of `WATCHED`, which has just been executed."""
    if _trees.appear:
        _wrap(module, WATCHED[module.__name__])


def _wrap(module: ModuleType, functions: Functions) -> None:
    for kind, names in functions.items():
        for name in names:
            real = getattr(module, name, None)
            if real is None or type(real) in _KINDS:
                continue
            wrapper = _wrappers.get(real)
            if wrapper is None:
                wrapper = _wrappers[real] = kind(real)
            setattr(module, name, wrapper)
            for able in _ABILITIES:
                if real in able:
                    able.add(wrapper)


def _exchange(others: dict[int, Any]) -> None:
    """Replace functions wherever somebody has taken them.

    *others* maps the identity of each to what takes its place.
    """
    for name, module in list(sys.modules.items()):
        if name not in _UNTOUCHED and isinstance(module, type(sys)):
            for taken, value in list(vars(module).items()):
                if id(value) in others:
                    setattr(module, taken, others[id(value)])
    for module_name, class_name in _HOLDERS:
        holder = getattr(sys.modules.get(module_name), class_name, None)
        for taken, value in list(vars(holder).items()) if holder else ():
            real = getattr(value, "__func__", value)  # it may be a static method
            if id(real) in others:
                other = others[id(real)]
                setattr(holder, taken, other if real is value else staticmethod(other))


def _see_roots() -> None:
    """Work out how paths of the trees begin."""
    _trees.roots = {}
    for root in _trees.appear:
        _trees.roots[root] = _trees.roots[os.path.realpath(root)] = root
    _see_beginnings()


def _see_beginnings() -> None:
    """Work out how the paths begin that are worth a closer look."""
    global _beginnings  # noqa: PLW0603
    inside = _trees.roots and _root_of(_current_directory())
    _beginnings = ("",) if inside else tuple(_trees.roots)


def _caller() -> object:
    """Return the name of the module that called what called this."""
    return sys._getframe(2).f_globals.get("__name__")  # noqa: SLF001 - documented


def _current_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it has been removed
        return ""


def _root_of(path: str) -> str:
    """Return how *path* begins if it is one of a tree, else nothing."""
    for root in _trees.roots:
        if path.startswith(root) and path[len(root) : len(root) + 1] in {"", "/"}:
            return root
    return ""


def _look(path: Any, depth: int) -> None:
    """Put on disk what *path* names, if that is in a tree."""
    if not _beginnings:
        return
    if type(path) is not str:
        try:
            path = os.fsdecode(path)
        except TypeError:  # it is no path: the function will say so
            return
    if path[:1] != "/":
        if _beginnings != ("",):
            return
        path = f"{_current_directory()}/{path}"
    beginning = _root_of(path)
    if beginning and get_ident() not in _trees.busy:
        unnoticed(_appear, _trees.roots[beginning], path[len(beginning) :], depth)


def _appear(root: str, inner: str, depth: int) -> None:
    appear = _trees.appear.get(root)
    if appear is None:
        return
    before, up, _ = inner.partition("/..")
    if up:  # the system goes through what stands before it
        appear(os.path.normpath(root + before), NAME)
    path = os.path.normpath(root + inner)
    if path == root or path.startswith(f"{root}/"):
        appear(path, depth)


#: module -> its functions, of which kind; both are loaded
_ALWAYS: dict[str, Functions] = {
    "os": {
        _Look: [
            "access",
            "chflags",
            "chmod",
            "chown",
            "getxattr",
            "lchflags",
            "lchmod",
            "lchown",
            "listxattr",
            "lstat",
            "mkdir",
            "mkfifo",
            "mknod",
            "pathconf",
            "readlink",
            "removexattr",
            "setxattr",
            "stat",
            "statvfs",
            "statx",
            "truncate",
            "utime",
        ],
        _Open: ["open"],
        _Listdir: ["listdir"],
        _All: ["chroot", "remove", "rmdir", "scandir", "unlink"],
        _Pair: ["link", "rename", "replace", "symlink"],
        _Chdir: ["chdir", "fchdir"],
        _Mention: ["execv", "execve", "posix_spawn", "posix_spawnp", "system"],
    },
    "builtins": {_Look: ["open"]},
}
#: the same for modules that may be loaded later, see `wrap_module`
WATCHED: dict[str, Functions] = {
    "_posixsubprocess": {_Mention: ["fork_exec"]},
    "ctypes": {_All: ["_dlopen"]},
    "io": {_Look: ["open", "open_code"]},
    "sqlite3": {_Mention: ["connect"]},
    "sqlite3.dbapi2": {_Mention: ["connect"]},
    "subprocess": {_Mention: ["_fork_exec"]},
}
#: modules that list what is on ``sys.path``
_METADATA = ("importlib.metadata", "importlib_metadata")
#: classes of the standard library that hold such functions
_HOLDERS = (("glob", "_StringGlobber"), ("pathlib", "_NormalAccessor"))
