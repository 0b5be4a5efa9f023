"""What sources import, read from their text: what is not there, and syntax errors.

Nothing is run. Imports in functions count as those of modules do. What a program says
it can do without does not: imports below ``try`` with ``except ImportError`` (or
``contextlib.suppress``), in functions that are called there, and in such a handler if
the import works; those for other systems and Pythons (``if sys.platform == ...``), for
type checkers, and for ``if __name__ == "__main__"``. Below another ``if``, or ``try``
with ``except Exception``, that is unknown.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

#: How an import may fail: not at all; unless it is not made, or whatever fails is
#: caught there; with an ImportError.
_NEVER, _PERHAPS, _MISSING = range(3)
_CATCHING = {
    **dict.fromkeys(("ImportError", "ModuleNotFoundError"), _MISSING),
    **dict.fromkeys(("Exception", "BaseException"), _PERHAPS),
}
#: What conditions may ask for that is known before a module runs.
_KNOWN = {
    "TYPE_CHECKING": False,
    "__name__": "",
    "os": SimpleNamespace(name=os.name),
    "sys": SimpleNamespace(version_info=sys.version_info, platform=sys.platform),
}
_DECIDABLE = re.compile(
    r"(?:\b(?:TYPE_CHECKING|__name__|os\.name|sys\.platform(?:\.startswith)?"
    r"|sys\.version_info(?:\.major|\.minor)?|not|and|or|in|True|False)\b"
    r"|'[^'\\]*'|[\d\s<>=!(),:\[\]])+"
)
#: A module with this may have names that do not stand in its text.
_GIVES_MORE = rb"import\s*\*|__getattr__|globals\(|setattr\(|__dict__|sys\.modules"


class Module(NamedTuple):
    """A module that can be imported; *source* is None for one that is not looked into.

    *path* is that in the archive.
    """

    path: str
    source: bytes | None


class Fault(NamedTuple):
    """The import of *missing* in a line, or, if that is "", a *syntax_error* there.

    Unless it is *certain*, a condition may keep it from being made.
    """

    path: str
    line: int
    missing: str
    syntax_error: str = ""
    certain: bool = True

    @property
    def text(self) -> str:
        """What is wrong, for people."""
        what = self.syntax_error or (
            f"imports {self.missing!r}, which is neither in the archive nor installed"
        )
        return f"{self.path}:{self.line}: {what}"


class _Import(NamedTuple):
    line: int
    name: str
    members: tuple[str, ...]  # attributes of the module, or modules in it
    may_fail: int
    is_late: bool = False  # in a function, which may be called later or never


def find_faults(
    entries: Iterable[str], find: Callable[[str], Module | None]
) -> list[Fault]:
    """Return what would fail in the modules *entries* and those that they import.

    *find* returns the module of a name, or None if there is none. Only the sources of
    modules that are reached are read.
    """
    faults: list[Fault] = []
    queues: list[list[str]] = [[], [], []]
    queues[_NEVER] += (name for entry in entries for name in _parents(entry))
    seen: set[str] = set()
    while (level := next((n for n in range(3) if queues[n]), None)) is not None:
        name = queues[level].pop()
        module = find(name)
        if name in seen or module is None or module.source is None:
            continue
        seen.add(name)
        try:
            imports = _imports(name, module, find)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None) or 1
            text = f"SyntaxError: {getattr(error, 'msg', error)}"
            faults.append(Fault(module.path, line, "", text))
            continue
        except RecursionError:  # deeper than anybody writes
            continue
        for one in imports:
            may_fail = max(level, one.may_fail)
            queues[may_fail] += _parents(one.name)
            queues[may_fail] += [f"{one.name}.{member}" for member in one.members]
            if may_fail < _MISSING and (missing := _missing(one, find)):
                fault = Fault(module.path, one.line, missing)
                faults.append(fault._replace(certain=may_fail == _NEVER))
    return sorted(set(faults))


def import_order(
    entries: Iterable[str], find: Callable[[str], Module | None]
) -> list[str]:
    """Return the modules that *entries* import when they run, in that order.

    *find* is as for `find_faults`. Those that functions import are left out.
    """
    seen: dict[str, None] = {}
    waiting = [name for entry in entries for name in _parents(entry)][::-1]
    while waiting:
        name = waiting.pop()
        module = None if name in seen else find(name)
        if module is None:
            continue
        seen[name] = None
        try:
            imports = (
                []
                if module.source is None
                else _imports(name, module, find, checked=False)
            )
        except (SyntaxError, ValueError, RecursionError):
            continue
        found: list[str] = []
        for one in imports:
            if not one.is_late:
                found += _parents(one.name)
                found += (f"{one.name}.{member}" for member in one.members)
        waiting += reversed(found)
    return list(seen)


def _imports(
    name: str,
    module: Module,
    find: Callable[[str], Module | None],
    *,
    checked: bool = True,
) -> list[_Import]:
    assert module.source is not None
    is_package = module.path.endswith("/__init__.py")
    package = name if is_package else name.rpartition(".")[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(module.source, module.path)
        if checked:  # for what ast passes
            compile(tree, module.path, "exec", dont_inherit=True)
    visitor = _Visitor(package, lambda one: _missing(one, find) == "")
    visitor.visit(tree)
    return visitor.imports


def _missing(one: _Import, find: Callable[[str], Module | None]) -> str:
    """Return what an import asks for that is not there, "" if all of it is."""
    source: bytes | None = None
    for name in _parents(one.name):
        module = find(name)
        if module is None:
            return name
        source = module.source
    for member in one.members if source is not None else ():
        name = f"{one.name}.{member}"
        word = rb"\b%s\b|%s" % (member.encode(), _GIVES_MORE)
        if member[:2] != "__" and not re.search(word, source or b"") and not find(name):
            return name
    return ""


def _parents(name: str) -> Iterator[str]:
    """Yield *name* and the packages it is in, those first."""
    parts = name.split(".")
    yield from (".".join(parts[: n + 1]) for n in range(len(parts)))


class _Visitor(ast.NodeVisitor):
    """Collects the imports of a module of *package*; *works* says which will do."""

    def __init__(self, package: str, works: Callable[[_Import], bool]) -> None:
        self.imports: list[_Import] = []
        self._package = package
        self._works = works
        self._may_fail = _NEVER
        self._is_late = False
        #: names below ``try`` with ``except ImportError``: of functions, as it may be
        self._tried: set[str] = set()

    def visit_Module(self, node: ast.Module) -> None:
        for each in ast.walk(node):
            if isinstance(each, ast.Try) and _MISSING in map(_caught, each.handlers):
                below = (name for part in each.body for name in ast.walk(part))
                self._tried |= {getattr(name, "id", "") for name in below}
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        may_fail = _MISSING if node.name in self._tried else _NEVER
        before, self._is_late = self._is_late, True
        self._visit(ast.iter_child_nodes(node), may_fail)
        self._is_late = before

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def _visit(self, nodes: Iterable[ast.AST], may_fail: int = _NEVER) -> None:
        before, self._may_fail = self._may_fail, max(self._may_fail, may_fail)
        for node in nodes:
            self.visit(node)
        self._may_fail = before

    def _add(self, node: ast.AST, name: str, members: Sequence[str] = ()) -> None:
        line = getattr(node, "lineno", 0)
        self.imports.append(
            _Import(line, name, tuple(members), self._may_fail, self._is_late)
        )

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        name = node.module or ""
        if node.level:
            parts = self._package.split(".")
            parts = parts[: max(0, len(parts) - node.level + 1)]
            name = ".".join([*parts, name]).strip(".") if all(parts) and parts else ""
        if name:
            members = [alias.name for alias in node.names if alias.name != "*"]
            self._add(node, name, members)

    def generic_visit(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.expr):
                self.visit(child)
                continue
            for call in ast.walk(child):  # expressions can be deep
                if isinstance(call, ast.Call) and (name := _named(call)):
                    self._add(call, name)

    def visit_If(self, node: ast.If) -> None:
        truth = _truth(node.test)
        may_fail = _PERHAPS if truth is None else _NEVER
        self._visit(node.body if truth is not False else [], may_fail)
        self._visit(node.orelse if not truth else [], may_fail)

    def visit_match_case(self, node: ast.AST) -> None:
        self._visit(ast.iter_child_nodes(node), _PERHAPS)

    def visit_With(self, node: ast.With) -> None:
        most = _NEVER
        for call in (item.context_expr for item in node.items):
            if isinstance(call, ast.Call) and "suppress" in ast.unparse(call.func):
                most = max(map(_caught, call.args), default=most)
        self._visit(node.body, most)

    def visit_Try(self, node: ast.Try) -> None:
        self._visit_try(node)

    def visit_TryStar(self, node: Any) -> None:  # ast.TryStar, new in Python 3.11
        self._visit_try(node)

    def _visit_try(self, node: ast.Try) -> None:
        caught, start = list(map(_caught, node.handlers)), len(self.imports)
        most = max(caught, default=_NEVER)
        self._visit(node.body, most)
        tried = self.imports[start:]
        works = all(map(self._works, tried))
        for handler, catches in zip(node.handlers, caught, strict=True):
            if not (catches and tried):
                self._visit(handler.body, _PERHAPS)
            elif not works:
                self._visit(handler.body)
        self._visit(node.orelse, _PERHAPS if most else _NEVER)
        self._visit(node.finalbody)


def _named(call: ast.Call) -> str:
    """Return the module that ``import_module("name")`` imports, "" for other calls."""
    called = getattr(call.func, "attr", getattr(call.func, "id", ""))
    first: object = getattr(call.args[0], "value", None) if call.args else None
    is_one = called == "import_module" and isinstance(first, str) and first[:1] != "."
    return str(first) if is_one else ""


def _caught(types: ast.AST) -> int:
    """Return how an import may fail where a handler, or these types, catch errors."""
    if isinstance(types, ast.ExceptHandler):
        if types.type is None:
            return _PERHAPS
        types = types.type
    names = (getattr(n, "id", getattr(n, "attr", "")) for n in ast.walk(types))
    return max((_CATCHING.get(name, _NEVER) for name in names), default=_NEVER)


def _truth(test: ast.expr) -> bool | None:
    """Return whether a condition holds; None if only running the module tells."""
    if isinstance(test, ast.BoolOp):
        decides = isinstance(test.op, ast.Or)
        parts = {_truth(part) for part in test.values}
        if decides in parts:
            return decides
        return None if None in parts else not decides
    text = re.sub(r"\b\w+\.TYPE_CHECKING\b", "TYPE_CHECKING", ast.unparse(test))
    if not _DECIDABLE.fullmatch(text) or "<<" in text or ">>" in text:
        return None
    try:
        return bool(eval(text, {"__builtins__": {}}, _KNOWN))  # noqa: S307 - see above
    except (SyntaxError, TypeError, ValueError, LookupError, MemoryError):
        return None
