"""Wrappers of the few functions through which Python code reaches the file system.

A wrapper compares the beginning of one string and calls what it wraps; a path of a tree
it first shows to `lazyimport.importing.looks`. Functions are replaced where everybody
finds them (``os.stat``, ``builtins.open``), and where somebody has taken them before
(``from os import stat``).
"""

from __future__ import annotations

import os
import sys
from _thread import get_ident

from lazyimport.importing.looks import (
    LISTED,
    NAME,
    OPENED,
    PACKAGE,
    STARTED,
    STATUS,
    Answered,
    Looks,
    realpath,
)
from lazyimport.lazy import Later

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from lazyimport.importing import looking, seeing
else:
    # What a process looks at lies in no tree, unless it imports from one.
    looking, seeing = Later("importing.looking"), Later("importing.seeing")


class Wrapper:
    """A function of the system, which is called with a path.

    It passes for the function that it wraps: no descriptor, since that is none (a
    class may say ``stat = os.stat``); pickled by reference; with its signature.

    *see* looks at what a call is about, as `lazyimport.importing.seeing` says, and
    returns the arguments to call the function with. What that returns passes through
    *then*, if it is given, with the wrapper and the arguments.
    """

    def __init__(
        self, real: Any, looks: Looks, see: Any, depth: int, then: Any = None
    ) -> None:
        self.__wrapped__ = real
        self.__module__ = real.__module__
        self.looks = looks
        self.depth = depth
        self._see = see
        self._then = then
        #: the type of a first argument whose beginning says if there is more to do
        self._telling = None if see in _SEE_MORE or then is _follow else str

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self.__wrapped__)

    # What a traceback says of the one frame between a call that fails and its caller.
    def put_on_disk_and_call(self, *args: Any, **keywords: Any) -> Any:
        """Show a path of a tree to what sees it, and call the function."""
        if (
            not args
            or type(args[0]) is not self._telling
            or args[0].startswith(self.looks.beginnings)
        ):
            try:
                args = self._see(self, args, keywords)
            except Answered as known:
                return known.answer
            if self._then is not None:
                found = self.__wrapped__(*args, **keywords)
                return self._then(self, found, *args, *keywords.values())
        return self.__wrapped__(*args, **keywords)

    __call__ = put_on_disk_and_call

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __reduce__(self) -> tuple[Any, ...]:
        from lazyimport.importing.pickled import Module

        real = self.__wrapped__
        home = {"posix": "os", "_io": "io"}.get(real.__module__, real.__module__)
        return getattr, (Module(home), real.__name__)

    def __copy__(self) -> Wrapper:
        return self

    def __deepcopy__(self, _: object) -> Wrapper:
        return self

    def __repr__(self) -> str:
        return repr(self.__wrapped__)


class _Realpath(Wrapper):
    """``os.path.realpath``, which asks of each part of a path whether it is a link.

    Nothing in an archive is one, so nothing has to appear, unless all of a path must be
    there (``strict``); a file on demand is where it will be.
    """

    def put_on_disk_and_call(self, *args: Any, **keywords: Any) -> Any:
        if keywords.get("strict"):
            return self.__wrapped__(*args, **keywords)
        found = realpath(*args, **keywords)
        if not args or (type(args[0]) is str and found == args[0]):
            return found  # some paths warn if they are compared with texts
        if self.looks.concern(args[0]) and looking.is_awaited(self.looks, args[0]):
            folder, name = os.path.split(args[0])
            return os.path.join(self(folder, **keywords), name)
        return found

    __call__ = put_on_disk_and_call


# Python makes the text of a builtin function each time that it is asked for it.
Wrapper.__doc__ = _Realpath.__doc__ = property(lambda self: self.__wrapped__.__doc__)  # type: ignore[assignment]


#: Threads that load `seeing`, each with its process: what they look at is in no tree.
_loading: set[tuple[int, int]] = set()


def _sees() -> bool:
    """Load `seeing` and what it needs; return False to the thread that just does so."""
    if (me := (os.getpid(), get_ident())) in _loading:
        return False
    _loading.add(me)
    try:
        return bool(seeing.path)
    finally:
        _loading.discard(me)


def _origin(wrapper: Wrapper, args: Any, _: Any) -> Any:
    """See an extension module, whose spec names it, and which has neighbors."""
    if wrapper.looks.concern(args[0].origin) and _sees():
        looking.look(wrapper.looks, args[0].origin, wrapper.depth)
    return args


def _follow(wrapper: Wrapper, *_: Any) -> None:
    """Go on in another directory, where relative paths mean others."""
    wrapper.looks.see_directory()


def _later(name: str) -> Any:
    """Return what calls the function of `seeing` with that *name*."""

    def see(wrapper: Wrapper, what: Any, *more: Any) -> Any:
        if name in vars(seeing) or _sees():
            return getattr(seeing, name)(wrapper, what, *more)
        return what

    return see


_path, _paths, _access, _names = map(_later, ("path", "paths", "access", "names"))
_mention, _child, _heir, _scanned = map(_later, ("mention", "child", "heir", "scanned"))
#: They see more than the first argument.
_SEE_MORE = (_paths, _mention, _child, _heir, _origin)
_ASYNCIO = "create_subprocess_exec create_subprocess_shell"
#: module -> its functions, what sees their paths, how deep it looks, what comes then
_WRAPPED: dict[str, tuple[tuple[Any, ...], ...]] = {
    "os": (
        ("lstat stat", _path, STATUS),
        ("access", _access, STATUS),
        ("chmod chown lchown mkdir mkfifo mknod", _path, NAME),
        ("pathconf readlink statvfs statx truncate utime", _path, NAME),
        ("getxattr listxattr removexattr setxattr", _path, NAME),
        ("chflags lchflags lchmod", _path, NAME),
        ("open", _path, OPENED),
        ("scandir", _path, LISTED, _scanned),
        ("listdir", _names, LISTED),
        ("chroot remove rmdir unlink", _path, PACKAGE),
        ("link rename replace symlink", _paths, PACKAGE),
        ("chdir fchdir", _path, PACKAGE, _follow),
        ("execv execve posix_spawn posix_spawnp system", _heir, STARTED),
    ),
    "posixpath": (("realpath", _path, NAME),),
    "builtins": (("open", _path, NAME),),
    "io": (("open open_code", _path, NAME),),
    "_io": (("open_code", _path, NAME),),  # as SourceFileLoader calls it
    "_imp": (("create_dynamic", _origin, PACKAGE),),
    "ctypes": (("_dlopen", _path, PACKAGE),),
    "_posixsubprocess": (("fork_exec", _child, STARTED),),
    "subprocess": (("_fork_exec", _child, STARTED),),
    # not every event loop starts them as subprocess does
    "asyncio.subprocess": ((_ASYNCIO, _heir, STARTED),),
    "asyncio": ((_ASYNCIO, _heir, STARTED),),
    "sqlite3": (("connect", _mention, PACKAGE),),
    "sqlite3.dbapi2": (("connect", _mention, PACKAGE),),
}
#: modules that may be loaded later, see `Wrappers.wrap_module`
WATCHED = _WRAPPED.keys() - {"_imp", "_io", "builtins", "os", "posixpath"}
#: further modules of the standard library -> by which name they have such a function
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
        looks.prepare = _sees
        self._made: dict[Any, Wrapper] = {}

    def put_in(self) -> None:
        """Put the wrappers in the place of what they wrap; again does no harm."""
        for name in _WRAPPED:
            if name in sys.modules:
                self.wrap_module(sys.modules[name])
        _exchange({id(real): wrapper for real, wrapper in self._made.items()})
        for able in _ABILITIES:
            able.update([self._made[real] for real in able & self._made.keys()])

    def take_out(self) -> None:
        """Take back what `put_in` and `wrap_module` did."""
        others = {id(wrapper): real for real, wrapper in self._made.items()}
        for name, rows in _WRAPPED.items():
            for taken in " ".join([row[0] for row in rows]).split():
                if name in sys.modules:
                    _exchange_in(name, others, taken)
        _exchange(others)
        for able in _ABILITIES:
            able.difference_update(self._made.values())

    def wrap_module(self, module: ModuleType) -> None:
        """Wrap the functions of a module, which has been executed."""
        for names, *how in _WRAPPED.get(module.__name__, ()):
            for name in names.split():
                real = getattr(module, name, None)
                if real is None or issubclass(type(real), Wrapper):
                    continue
                wrapper = self._made.get(real)
                if wrapper is None:
                    kind = _Realpath if name == "realpath" else Wrapper
                    wrapper = self._made[real] = kind(real, self.looks, *how)
                setattr(module, name, wrapper)


def _exchange(others: dict[int, Any]) -> None:
    """Replace functions wherever somebody has taken them.

    *others* maps the identity of each to what takes its place. The standard library
    has few, and ours bring no file when they look.
    """
    for name in {*sys.modules} - sys.stdlib_module_names:
        top = name.partition(".")[0]
        if top != "lazyimport" and top not in sys.stdlib_module_names:
            _exchange_in(name, others)
    for name, taken in _HAVE.items():
        if name in sys.modules:
            _exchange_in(name, others, taken)
    for module_name, class_name in _HOLDERS:
        holder = getattr(sys.modules.get(module_name), class_name, None)
        for taken, value in list(vars(holder).items()) if holder else ():
            real = getattr(value, "__func__", value)  # it may be a static method
            if id(real) in others:
                other = others[id(real)]
                setattr(holder, taken, other if real is value else staticmethod(other))


def _exchange_in(name: str, others: dict[int, Any], only: str = "") -> None:
    """Replace functions that a module has taken, or what it calls *only*."""
    module = sys.modules.get(name)
    if not isinstance(module, type(sys)):
        return
    known = {only: vars(module).get(only)} if only else vars(module).copy()
    if others.keys().isdisjoint(map(id, known.values())):
        return
    for taken, value in known.items():
        if id(value) in others:
            try:
                setattr(module, taken, others[id(value)])
            except Exception:  # noqa: BLE001, S110 - of the module's own class
                pass  # which lets nobody change it: what it holds stays
