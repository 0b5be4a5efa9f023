"""Wrappers of the few functions through which Python code reaches the file system.

A wrapper compares the beginning of one string and calls what it wraps; a path of a tree
it first shows to `lazyimport.importing.looks`. Functions are replaced where everybody
finds them (``os.stat``, ``builtins.open``), and where somebody has taken them before
(``from os import stat``).
"""

from __future__ import annotations

import os
import sys

from lazyimport.importing.looks import (
    LISTED,
    NAME,
    OPENED,
    PACKAGE,
    STATUS,
    Absent,
    Looks,
    realpath,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType
    from typing import Any

#: what parameters of such functions are called that take a path
_PATHS = {"dst", "file", "path", "src"}


class _Look:
    """A function of the system, which is called with a path.

    It passes for the function that it wraps: no descriptor, since that is none (a
    class may say ``stat = os.stat``); pickled by reference; with its signature.
    """

    def __init__(self, real: Any, looks: Looks, depth: int) -> None:
        self.__wrapped__ = real
        self.__doc__ = real.__doc__
        self.__module__ = real.__module__
        self._looks = looks
        self._depth = depth

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self.__wrapped__)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        if args and type(args[0]) is str:
            if args[0].startswith(self._looks.beginnings):
                args = self._looks.look(args[0], self._depth), *args[1:]
        else:
            args = self._show(args, keywords)
        return self.__wrapped__(*args, **keywords)

    def _show(self, args: Any, keywords: dict[str, Any], paths: int = 1) -> Any:
        """Look at what a call is about; let it be about where that lies.

        Returns *args*, of which so many are paths; *keywords* are changed.
        """
        look, depth = self._looks.look, self._depth
        for name in keywords.keys() & _PATHS if keywords else ():
            keywords[name] = look(keywords[name], depth)
        return *(look(path, depth) for path in args[:paths]), *args[paths:]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

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


class _Status(_Look):
    """``os.stat`` and ``lstat``, which the index answers for a file on demand."""

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        try:
            if args and type(args[0]) is str:
                if args[0].startswith(self._looks.beginnings):
                    args = self._looks.look(args[0], self._depth), *args[1:]
            else:
                args = self._show(args, keywords)
        except Absent as absent:
            return self._answer(absent.status, *args[1:], **keywords)
        return self.__wrapped__(*args, **keywords)

    def _answer(self, status: os.stat_result, *_: Any, **__: Any) -> Any:
        return status


class _Access(_Status):
    """``os.access``, which the index answers for a file on demand."""

    def _answer(
        self, status: os.stat_result, mode: int = os.F_OK, *_: Any, **__: Any
    ) -> bool:
        may_write = os.geteuid() == 0 or not mode & os.W_OK
        return may_write and bool(not mode & os.X_OK or status.st_mode & 0o100)


class _Pair(_Look):
    """A function that is called with two paths, and moves one or makes one."""

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        args = self._show(args, keywords, 2)
        return self.__wrapped__(*args, **keywords)


class _Mention(_Look):
    """A function to which a path may be given as a part of a text.

    Such as what starts a program, whose arguments and environment may name files.
    """

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        args, keywords = self._looks.look_at_mentioned((args, keywords))
        return self.__wrapped__(*args, **keywords)


class _Dynamic(_Look):
    """What links an extension module, whose spec names it and which has neighbors."""

    def __call__(self, spec: Any, *args: Any) -> Any:
        self._looks.look(spec.origin, self._depth)
        return self.__wrapped__(spec, *args)


class _Chdir(_Look):
    """``os.chdir`` and ``os.fchdir``, after which relative paths mean others."""

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        args = self._show(args, keywords)
        self.__wrapped__(*args, **keywords)
        self._looks.see_directory()


class _Listdir(_Look):
    """``os.listdir``, by which `importlib.metadata` looks for distributions.

    It, the backport, and copies of that in other packages find none in the root: the
    archive's finder tells them of those, and they would list each twice.
    """

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        for path in args or keywords.values():
            if not self._looks.is_root(path):
                continue
            if "MetadataPathFinder" in sys._getframe(1).f_globals:  # noqa: SLF001
                return []
        args = self._show(args, keywords)
        return self.__wrapped__(*args, **keywords)


class _Scandir(_Look):
    """``os.scandir``, in which files on demand are files."""

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        args = self._show(args, keywords)
        found = self.__wrapped__(*args, **keywords)
        if not self._looks.is_inside(next(iter((*args, *keywords.values())), ".")):
            return found
        from lazyimport.importing.scanning import Entries

        return Entries(found, self._looks)


class _Realpath(_Look):
    """``os.path.realpath``, which asks of each part of a path whether it is a link.

    Nothing in an archive is one, so nothing has to appear, unless all of a path must be
    there (``strict``); a file on demand is where it will be.
    """

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        if keywords.get("strict"):
            return self.__wrapped__(*args, **keywords)
        found = realpath(*args, **keywords)
        if args and found != args[0] and self._looks.is_awaited(args[0]):
            folder, name = os.path.split(args[0])
            return os.path.join(self(folder, **keywords), name)
        return found


class _Module:
    """Pickles as the module *name*."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return __import__, (self.name,)


_KINDS = (
    *(_Look, _Status, _Access, _Pair, _Mention),
    *(_Dynamic, _Chdir, _Listdir, _Scandir, _Realpath),
)
for _kind in _KINDS:
    # What a traceback says of the one frame between a call that fails and its caller.
    _kind.__call__.__code__ = _kind.__call__.__code__.replace(
        co_name="put_on_disk_and_call"
    )

#: (module, its functions, their kind, how deep their looks go)
_WRAPPED = (
    ("os", "lstat stat", _Status, STATUS),
    ("os", "access", _Access, STATUS),
    ("os", "chmod chown lchown mkdir mkfifo mknod", _Look, NAME),
    ("os", "pathconf readlink statvfs statx truncate utime", _Look, NAME),
    ("os", "getxattr listxattr removexattr setxattr", _Look, NAME),
    ("os", "chflags lchflags lchmod", _Look, NAME),
    ("os", "open", _Look, OPENED),
    ("os", "scandir", _Scandir, LISTED),
    ("os", "listdir", _Listdir, LISTED),
    ("os", "chroot remove rmdir unlink", _Look, PACKAGE),
    ("os", "link rename replace symlink", _Pair, PACKAGE),
    ("os", "chdir fchdir", _Chdir, PACKAGE),
    ("os", "execv execve posix_spawn posix_spawnp system", _Mention, PACKAGE),
    ("posixpath", "realpath", _Realpath, NAME),
    ("builtins", "open", _Look, NAME),
    ("io", "open open_code", _Look, NAME),
    ("_io", "open_code", _Look, NAME),  # as SourceFileLoader calls it
    ("_imp", "create_dynamic", _Dynamic, PACKAGE),
    ("ctypes", "_dlopen", _Look, PACKAGE),
    ("_posixsubprocess", "fork_exec", _Mention, PACKAGE),
    ("subprocess", "_fork_exec", _Mention, PACKAGE),
    ("sqlite3", "connect", _Mention, PACKAGE),
    ("sqlite3.dbapi2", "connect", _Mention, PACKAGE),
)
#: modules that may be loaded later, see `Wrappers.wrap_module`
WATCHED = frozenset(row[0] for row in _WRAPPED) - {"builtins", "os", "posixpath"}
#: modules that keep the functions of the system: of the machinery, and those in C
_UNTOUCHED = {"_frozen_importlib", "_frozen_importlib_external"}.union(
    sys.builtin_module_names
) - {row[0] for row in _WRAPPED}
#: module of the standard library -> by which names it has such functions
_HAVE = {
    "_ctypes": "dlopen",
    "_io": "open",
    "_pyio": "open_code",
    "_sqlite3": "connect",
    "bz2": "_builtin_open",
    "imp": "create_dynamic",
    "sysconfig": "realpath",
    "tarfile": "bltn_open",
    "tokenize": "_builtin_open",
}
for _row in _WRAPPED:
    _HAVE[_row[0]] = f"{_HAVE.get(_row[0], '')} {_row[1]}"
#: classes of the standard library that hold such functions
_HOLDERS = (("glob", "_StringGlobber"), ("pathlib", "_NormalAccessor"))
#: where os lists the functions that can do something
_ABILITIES: tuple[set[Any], ...] = (
    *(os.supports_dir_fd, os.supports_effective_ids),
    *(os.supports_fd, os.supports_follow_symlinks),
)


class Wrappers:
    """The wrappers of this process, which show paths to *looks*."""

    def __init__(self, looks: Looks) -> None:
        self.looks = looks
        self._made: dict[Any, _Look] = {}

    def put_in(self) -> None:
        """Put the wrappers in the place of what they wrap; again does no harm."""
        for row in _WRAPPED:
            if row[0] in sys.modules:
                self._wrap(sys.modules[row[0]], *row[1:])
        _exchange({id(real): wrapper for real, wrapper in self._made.items()})

    def take_out(self) -> None:
        """Take back what `put_in` and `wrap_module` did."""
        _exchange({id(wrapper): real for real, wrapper in self._made.items()})
        for able in _ABILITIES:
            able.difference_update(self._made.values())

    def wrap_module(self, module: ModuleType) -> None:
        """Wrap the functions of a module, which has been executed."""
        for row in _WRAPPED:
            if row[0] == module.__name__:
                self._wrap(module, *row[1:])

    def _wrap(self, module: ModuleType, names: str, kind: Any, depth: int) -> None:
        for name in names.split():
            real = getattr(module, name, None)
            if real is None or issubclass(type(real), _Look):
                continue
            wrapper = self._made.get(real)
            if wrapper is None:
                wrapper = self._made[real] = kind(real, self.looks, depth)
            setattr(module, name, wrapper)
            for able in _ABILITIES:
                if real in able:
                    able.add(wrapper)


def _exchange(others: dict[int, Any]) -> None:
    """Replace functions wherever somebody has taken them.

    *others* maps the identity of each to what takes its place.
    """
    for name, module in list(sys.modules.items()):
        for taken in _names_to_see(name, module, others):
            value = vars(module).get(taken)
            if id(value) in others:
                try:
                    setattr(module, taken, others[id(value)])
                except Exception:  # noqa: BLE001, S110 - of the module's own class
                    pass  # which lets nobody change it: what it holds stays
    for module_name, class_name in _HOLDERS:
        holder = getattr(sys.modules.get(module_name), class_name, None)
        for taken, value in list(vars(holder).items()) if holder else ():
            real = getattr(value, "__func__", value)  # it may be a static method
            if id(real) in others:
                other = others[id(real)]
                setattr(holder, taken, other if real is value else staticmethod(other))


def _names_to_see(name: str, module: object, others: dict[int, Any]) -> Iterable[str]:
    """Return the names in a module that may stand for one of *others*.

    The standard library has few, and ours bring no file when they look.
    """
    if name in _UNTOUCHED or not isinstance(module, type(sys)):
        return ()
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return _HAVE.get(name, "").split()
    if top == "lazyimport":
        return ()
    known = vars(module).copy()
    return () if others.keys().isdisjoint(map(id, known.values())) else known
