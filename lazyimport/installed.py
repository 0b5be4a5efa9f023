"""What is installed beside us, whatever the archive of a process has by that name."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from typing import Any


def find_installed(name: str) -> ModuleSpec | None:
    """Return the spec of the package *name* that is installed, None if none is.

    An archive may have another one; its directories in `sys.path` are passed over.
    """
    from _frozen_importlib_external import PathFinder

    if sys.modules.get(name, sys) is None:  # somebody forbids to import it
        return None
    beside = __file__.rpartition("/")[0].rpartition("/")[0]
    found: ModuleSpec | None = PathFinder.find_spec(
        name, [beside, *(path for path in sys.path if not _is_in_tree(path))]
    )
    return found


def _is_in_tree(path: object) -> bool:
    below = str(path).split("/trees/")[1:]
    return any(len(each.partition("/")[0]) == 64 for each in below)


def load_installed(name: str) -> Any:
    """Return the package *name* that is installed, loaded under a name of our own.

    So what an archive calls by that name does not run because we need the package, and
    the program gets it by the real name. Raises ModuleNotFoundError.
    """
    import _frozen_importlib as bootstrap
    from _frozen_importlib_external import spec_from_file_location

    own = f"_lazyimport_{name}"
    found = find_installed(name)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    folders = found.submodule_search_locations
    spec: Any = spec_from_file_location(
        own, found.origin, submodule_search_locations=folders and list(folders)
    )
    module = sys.modules[own] = bootstrap.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
