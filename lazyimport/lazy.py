"""What is imported when somebody asks for it: the names of packages, and some modules.

For modules that every worker loads at its start, where nothing has gone wrong yet::

    from lazyimport.lazy import errors

    raise errors.SettingsError(...)

What is imported so is loaded without finders, and with it, together, what it needs at a
start. The import machinery takes longer to find, lock and describe one of our modules
than to execute it, and it is known where they are:
``docs/decisions/0019-a-start-is-loaded-together.md``.
"""

from __future__ import annotations

import gc
import sys
from _frozen_importlib import (  # type: ignore[attr-defined]
    ModuleSpec,
    _init_module_attrs as describe,
    _ModuleLockManager as ModuleLock,
)
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader
from _io import open_code
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType
    from typing import Any, TypeVar

    from lazyimport import errors

    Function = TypeVar("Function", bound=Callable[..., Any])

__all__ = ["Later", "errors", "exports", "leave_generations", "promote", "traced"]

#: What is loaded together when the last one is asked for: what it imports, each after
#: what that imports in turn. Packages end with a slash.
_START = (
    "cache/ format/ format/beginning cache/sealed "
    "importing/ importing/late_tree importing/looks importing/finder "
    "importing/wrappers importing/registration values settings runtime"
)
#: The same of what opens an archive, and of the first lookup in it.
_TREE = (
    "format/entries format/index format/sections format/archive importing/tree trees"
)
_LOOKUP = f"{_TREE} importing/loader importing/specs"
_TOGETHER = {
    items.rpartition(" ")[2]: items
    for items in (_START, _TREE, _LOOKUP, "importing/looking importing/seeing")
}
#: Whether `promote` does anything: where the collector has three lists of objects (not
#: with free threads, nor in Python 3.14.0 to 3.14.4), until somebody has frozen some.
_promotes = (
    sys.version_info < (3, 14) or (3, 14, 5) <= sys.version_info < (3, 16)
) and "t" not in getattr(sys, "abiflags", "")  # of which Windows has none
#: Python 3.12 itself freezes what is immortal: 375 objects, and a program all it has.
_frozen: Iterator[object] = iter(gc.get_freeze_count, None)
if sys.version_info[:2] == (3, 12):
    _frozen = map((1000).__lt__, _frozen)
_STEPS = _frozen, iter(gc.freeze, 0), iter(gc.unfreeze, 0)


def exports(
    package: dict[str, Any], **names: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the functions ``__getattr__`` and ``__dir__`` of a package.

    *package* are its globals, and *names*, by module, the names that it has from
    there, with spaces between.
    """
    here = package["__name__"]
    homes = {n: f"{here}.{module}" for module in names for n in names[module].split()}

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {here!r} has no attribute {name!r}")
        try:
            value = package[name] = _import(homes[name], name)
        except AttributeError as error:  # which would mean that there is no such name
            home = homes[name]
            raise ImportError(f"cannot load {home}: {error}", name=home) from error
        return value

    def listed() -> list[str]:
        public = {*homes, *package.get("__all__", ())}
        mine = (n for n in package if n[:2] == "__" or f"{here}.{n}" in sys.modules)
        return sorted({*public, *mine})

    return find, listed


def _import(module: str, name: str) -> Any:
    """Return what a module of ours calls *name*."""
    collects = gc.isenabled()
    gc.disable()  # what our modules make stays
    try:
        if module not in sys.modules:
            item = module.partition(".")[2].replace(".", "/")
            _load(_TOGETHER.get(item, item).split())
        # not importlib.import_module: it would bring importlib.util and more along
        return getattr(__import__(module, fromlist=[name]), name)
    finally:
        if collects:
            promote()  # else it is looked through as soon as this is enabled
            gc.enable()


def _load(items: list[str]) -> None:
    """Load modules of ours as the import machinery does, but without finders.

    What is not as usual, such as a source without a valid ``.pyc`` file, is left to the
    machinery, with all that follows it.
    """
    ours = __spec__
    if ours is None or type(ours.loader) is not SourceFileLoader:
        return
    top = __file__.rpartition("/")[0]
    cached, _, end = str(ours.cached).rpartition("/lazy")
    if cached != f"{top}/__pycache__":  # as PYTHONPYCACHEPREFIX has it
        return
    for item in items:
        name = f"lazyimport.{item.replace('/', '.')}".rstrip(".")
        inner, _, file = f"/{item}".rpartition("/")
        folder = top + inner
        spec = ModuleSpec(name, None, origin=f"{folder}/{file or '__init__'}.py")
        spec.cached = f"{folder}/__pycache__/{file or '__init__'}{end}"
        if not file:
            spec.submodule_search_locations = [folder]
        with ModuleLock(name):  # other threads may import it
            if name not in sys.modules and not _load_one(spec):
                return


def _load_one(spec: ModuleSpec) -> bool:
    """Load a module of ours; return False if its code is not where it should be."""
    source, cached = str(spec.origin), str(spec.cached)
    folder, _, tail = spec.name.rpartition(".")
    parent = sys.modules.get(folder)
    code = _valid_code(source, cached) if parent else None
    if code is None:
        return False
    spec.loader, spec.has_location = SourceFileLoader(spec.name, source), True
    module = type(sys)(spec.name)
    describe(spec, module, override=True)
    vars(spec)["_initializing"] = True  # so that other threads wait
    sys.modules[spec.name] = module
    try:
        exec(code, vars(module))  # noqa: S102 - ours, as an import does
        setattr(parent, tail, module)
    except BaseException:
        sys.modules.pop(spec.name, None)
        raise
    finally:
        vars(spec)["_initializing"] = False
    return True


def _valid_code(source: str, cached: str) -> CodeType | None:
    """Return the code of a ``.pyc`` file, None unless *source* is as it was then."""
    try:
        from posix import stat  # which Windows does not have, and nobody wraps

        status = stat(source)
        with open_code(cached) as file:
            data = file.read()
    except (ImportError, OSError):
        return None
    flags = b"\0\0\0\0"
    facts = int(status.st_mtime) & 0xFFFF_FFFF | (status.st_size & 0xFFFF_FFFF) << 32
    if data[:16] != MAGIC_NUMBER + flags + facts.to_bytes(8, "little"):
        return None
    return loads(memoryview(data)[16:])  # type: ignore[no-any-return]


def promote() -> None:
    """Spare the collector what is there: move it to the oldest generation.

    Nothing is looked at, so this takes constant time, and garbage among it waits for
    the next full collection. Does nothing once somebody else has frozen objects.
    """
    global _promotes  # noqa: PLW0603 - the collector is one for the process
    # One call of C: no thread, signal or collection comes between freeze and unfreeze.
    if _promotes and any(map(next, _STEPS)):
        _promotes = False


def leave_generations() -> None:
    """Let `promote` do nothing from now on: the collector is to be as it is."""
    global _promotes  # noqa: PLW0603 - as above
    _promotes = False


def traced(name: str) -> Callable[[Function], Function]:
    """Make each call of a function a span, see `lazyimport.tracing`."""

    def decorate(function: Function) -> Function:
        def call(*arguments: Any, **options: Any) -> Any:
            if "opentelemetry.trace" not in sys.modules:
                return function(*arguments, **options)
            in_span = _import("lazyimport.tracing", "call")
            return in_span(name, function, arguments, options)

        # functools is not loaded where a process starts
        call.__wrapped__ = function  # type: ignore[attr-defined]
        for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(call, attribute, getattr(function, attribute))
        return call  # type: ignore[return-value]

    return decorate


class Later:
    """The *module* of ours, imported when somebody asks for something in it."""

    def __init__(self, module: str) -> None:
        self._module = f"lazyimport.{module}"

    def __getattr__(self, name: str) -> object:
        value = self.__dict__[name] = _import(self._module, name)
        return value


if not TYPE_CHECKING:
    errors = Later("errors")
