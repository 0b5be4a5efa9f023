"""Recipes: what a function would do, as a value that can be compared later.

Two calls have equal recipes if the arguments are equal, and so is the bytecode of the
function and of all functions and classes of the archive that it names, directly or not,
with their defaults and the globals that they read. What a module holds that has not
been executed again since is the same, whatever has become of it.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, ClassVar

from lazyimport.live.edges import imports_of, names_in

#: How many objects are looked at for one recipe.
_MOST = 100_000
_PLAIN = (str, bytes, int, float, complex, bool, type(None), type(...))
_STANDARD = sys.stdlib_module_names
#: What stands for an import that was not needed yet, from Python 3.15 on (PEP 810).
_LAZY: Any = getattr(types, "LazyImportType", None)
#: of a class, what says nothing about what it does
_ASIDE = {"__dict__", "__weakref__", "__module__", "__doc__", "__firstlineno__"}


class Code:
    """A function or class of the archive: *parts*, in the module *home*.

    *since* is the number of the generation that has executed that module.
    """

    def __init__(self, home: str, name: str, since: int, parts: object) -> None:
        self._home = home, name, since
        self._parts = parts

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Code):
            return NotImplemented
        return self._home == other._home or self._parts == other._parts

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Code of {self._home}>"


def recipes_of(
    factory: object,
    arguments: Sequence[object],
    modules: Callable[[], Mapping[str, ModuleType]],
    since: Mapping[str, int],
) -> tuple[object, object]:
    """Return what a call does and what it is given, each as a value to compare.

    *modules* returns those of the archive, by name, and *since* are the numbers of the
    generations that have executed them; code of others counts as its name.
    """
    return (
        _Recipe(modules, since).of(factory),
        _Recipe(modules, since, everything=True).of(tuple(arguments)),
    )


class _Recipe:
    def __init__(
        self,
        modules: Callable[[], Mapping[str, ModuleType]],
        since: Mapping[str, int],
        *,
        everything: bool = False,
    ) -> None:
        self._modules_now = modules
        self._modules = modules()
        self._since = since
        #: whether to look into all objects; what modules hold may be large
        self._everything = everything
        #: what was seen before, by identity; kept, lest another one gets that
        self._seen: dict[int, object] = {}

    def of(self, value: Any) -> object:
        """Return what *value* is made of."""
        value = self._resolved(value)
        kind = type(value)
        if kind in _PLAIN:
            return kind.__name__, repr(value)
        if id(value) in self._seen or len(self._seen) > _MOST:
            return kind.__name__, getattr(value, "__qualname__", "")
        self._seen[id(value)] = value
        for known, of in self._kinds.items():
            if issubclass(kind, known):
                return kind.__name__, of(self, value)
        return kind.__name__, self._of_object(value)

    def _resolved(self, value: Any) -> Any:
        """Return what a lazy import stands for; the factory is about to need it."""
        if type(value) is _LAZY:
            value = value.resolve()
            self._modules = self._modules_now()
        return value

    def _of_sequence(self, value: Sequence[object]) -> object:
        return list(map(self.of, value))

    def _of_mapping(self, value: Mapping[object, object]) -> object:
        return [(self.of(k), self.of(v)) for k, v in list(value.items())]

    def _of_set(self, value: set[object]) -> object:
        return sorted(map(repr, map(self.of, value)))

    def _of_name(self, value: Any) -> object:
        return value.__name__

    def _of_method(self, value: MethodType) -> object:
        return self.of(value.__func__), self.of(value.__self__)

    def _of_partial(self, value: partial[object]) -> object:
        return self.of([value.func, value.args, value.keywords])

    def _of_object(self, value: Any) -> object:
        kind = type(value)
        parts = getattr(value, "__dict__", None)
        home = kind.__module__
        known = home in self._modules or home.partition(".")[0] in _STANDARD
        if known or self._everything:
            try:
                parts = value.__reduce_ex__(2)
            except Exception:  # noqa: BLE001, S110 - a lock, a connection: no value
                pass
        if not isinstance(parts, tuple):
            return self.of(kind), self.of(parts)
        plain = (list(p) if isinstance(p, Iterator) else p for p in parts)
        return self.of(kind), *map(self.of, plain)

    def _of_class(self, value: type) -> object:
        home = value.__module__
        if home not in self._modules:
            return home, value.__qualname__
        own = [(k, v) for k, v in list(vars(value).items()) if k not in _ASIDE]
        parts = self.of(value.__bases__), self.of(own)
        return Code(home, value.__qualname__, self._since.get(home, 0), parts)

    def _of_function(self, value: FunctionType) -> object:
        home = value.__module__
        if home not in self._modules:
            return home, value.__qualname__
        cells = [_content(cell) for cell in value.__closure__ or ()]
        parts = (
            self._of_code(value.__code__),
            self.of([value.__defaults__, value.__kwdefaults__, cells, vars(value)]),
            *self._of_named(value),
        )
        return Code(home, value.__qualname__, self._since.get(home, 0), parts)

    def _of_code(self, code: CodeType) -> object:
        return (
            (code.co_code, code.co_names, code.co_varnames, code.co_freevars),
            (code.co_flags, code.co_argcount, code.co_kwonlyargcount),
            [self.of(const) for const in code.co_consts],
        )

    def _of_named(self, function: FunctionType) -> Iterator[object]:
        """Yield what the names in a function stand for."""
        names = sorted(names_in(function.__code__))
        scope = function.__globals__
        package = str(scope.get("__package__") or "")
        found = imports_of(function.__code__, package) & self._modules.keys()
        todo: list[Any] = [self._modules[name] for name in sorted(found)]
        todo += [scope[name] for name in names if name in scope]
        looked: set[str] = set()
        while todo:
            value = self._resolved(todo.pop(0))
            if not issubclass(type(value), ModuleType):
                yield self.of(value)
            elif value.__name__ in self._modules.keys() - looked:
                looked.add(value.__name__)
                scope = vars(value)
                todo += [scope[name] for name in names if name in scope]

    _kinds: ClassVar[dict[Any, Any]] = {
        CodeType: _of_code,
        (tuple, list): _of_sequence,
        dict: _of_mapping,
        (set, frozenset): _of_set,
        (ModuleType, BuiltinFunctionType): _of_name,
        type: _of_class,
        FunctionType: _of_function,
        MethodType: _of_method,
        partial: _of_partial,
    }


def _content(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # of a name that has no value yet
        return None
