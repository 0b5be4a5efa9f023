"""What is imported when somebody asks for it: the names of packages, and the errors.

For modules that every worker loads at its start, where nothing has gone wrong yet::

    from lazyimport.lazy import errors

    raise errors.SettingsError(...)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lazyimport import errors

__all__ = ["errors", "exports"]


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
        # not importlib.import_module: it would bring importlib.util and more along
        module = __import__(homes[name], fromlist=[name])
        value = package[name] = getattr(module, name)
        return value

    return find, lambda: sorted({*package, *homes})


class _Errors:
    def __getattr__(self, name: str) -> object:
        from lazyimport import errors

        value = self.__dict__[name] = getattr(errors, name)
        return value


if not TYPE_CHECKING:
    errors = _Errors()
