"""Views: packages that several generations share, as one of them sees them."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:

    class Modules(Protocol):
        """A generation."""

        @property
        def modules(self) -> dict[str, ModuleType]:
            """Those that it has imported, by name."""

        def find(self, name: str) -> ModuleType | None:
            """Return a module, imported if need be."""


class View(ModuleType):
    """A package with the submodules that a generation has.

    The package itself has those of the current generation as attributes. With
    *everything*, what ``from package import *`` takes is there too.
    """

    def __init__(
        self, package: ModuleType, generation: Modules, *, everything: bool = False
    ) -> None:
        super().__init__(package.__name__, package.__doc__)
        scope = vars(self)
        scope["_lazyimport_view"] = package, generation
        if everything:
            scope.update({name: getattr(self, name) for name in vars(package)})

    def __getattr__(self, name: str) -> Any:
        package, generation = vars(self)["_lazyimport_view"]
        full = f"{package.__name__}.{name}"
        own = vars(package).get(name, full)
        child = None
        if own is full:
            child = generation.modules.get(full)
        elif isinstance(own, ModuleType) and own.__name__ == full:
            child = generation.find(full)
        if child is None:
            return getattr(package, name)
        return View(child, generation) if hasattr(child, "__path__") else child

    def __setattr__(self, name: str, value: object) -> None:
        setattr(vars(self)["_lazyimport_view"][0], name, value)
