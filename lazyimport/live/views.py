"""Views: packages that several generations share, as one of them sees them."""

from __future__ import annotations

from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class View(ModuleType):
    """A package with the submodules that a generation has; *find* returns them by name.

    The package itself has those of the current generation as attributes. With
    *everything*, what ``from package import *`` takes is there too.
    """

    def __init__(
        self,
        package: ModuleType,
        find: Callable[[str], ModuleType | None],
        *,
        everything: bool = False,
    ) -> None:
        super().__init__(package.__name__, package.__doc__)
        scope = vars(self)
        scope["_lazyimport_view"] = package, find
        if everything:
            scope.update({name: getattr(self, name) for name in vars(package)})

    def __getattr__(self, name: str) -> Any:
        package, find = vars(self)["_lazyimport_view"]
        full = f"{package.__name__}.{name}"
        own = vars(package).get(name)
        if own is None or (isinstance(own, ModuleType) and own.__name__ == full):
            child = find(full)
            if child is not None:
                return View(child, find) if hasattr(child, "__path__") else child
        return getattr(package, name)
