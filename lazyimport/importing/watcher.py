"""The import watcher: calls functions with modules of others, once these have run."""

from __future__ import annotations

import sys

from lazyimport.importing.machinery import finders_behind, hidden

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType
    from typing import Any

    from lazyimport.importing.machinery import ModuleSpec


class ImportWatcher:
    """Calls functions with the modules they watch, whenever one has been executed.

    While anything is watched this is the first finder on ``sys.meta_path``: it lets
    the others find the module, and stands in for the loader until that has run.
    """

    def __init__(self) -> None:
        self._watched: dict[str, list[Callable[[ModuleType], None]]] = {}

    def watch(self, name: str, then: Callable[[ModuleType], None]) -> None:
        """Call *then* with the module *name*: now, too, if it is imported already."""
        self._watched.setdefault(name, []).append(then)
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        if sys.modules.get(name) is not None:
            __import__(name)  # another thread may be in the middle of it
            then(sys.modules[name])

    def unwatch(self, then: Callable[[ModuleType], None]) -> None:
        """Never call *then* again."""
        for name, functions in list(self._watched.items()):
            functions[:] = [function for function in functions if function != then]
            if not functions:
                del self._watched[name]
        if not self._watched and self in sys.meta_path:
            sys.meta_path.remove(self)

    def watches(self, name: str) -> bool:
        """Return whether any function watches the module *name*."""
        return name in self._watched

    @hidden
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the spec of a watched module, or None."""
        if fullname not in self._watched:
            return None
        for finder in finders_behind(self) or ():
            ask = getattr(finder, "find_spec", None)  # a finder of PEP 302 has none
            spec: ModuleSpec | None = ask and ask(fullname, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Watch(spec.loader, self._executed)  # type: ignore[assignment]
                return spec
        return None

    def _executed(self, module: ModuleType) -> None:
        for then in list(self._watched.get(module.__name__, ())):
            then(module)


class _Watch:
    """Loads a module with its own loader, then calls *then* with it."""

    def __init__(self, loader: Any, then: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._then = then

    @hidden
    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._then(module)

    def __getattr__(self, name: str) -> object:
        """Answer as the loader does: ``python -m inspect`` asks it for code."""
        if name == "_loader":  # of a copy that is being made
            raise AttributeError(name)
        return getattr(self._loader, name)
