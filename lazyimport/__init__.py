"""Import Python code from a content-addressed archive instead of the image.

::

    import lazyimport

    lazyimport.install("4be8…64 hex digits…", store="gs://bucket/code")

From then on the modules of that archive import on first use, without having
been installed. The names below are the public interface; they are imported
when somebody asks for them, so that a process which does not use lazyimport
pays nothing for it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lazyimport import errors as errors
    from lazyimport.errors import LazyImportError
    from lazyimport.runtime import Installation, current, install, uninstall
    from lazyimport.statistics import Stats, stats

    __version__: str

__all__ = [
    "Installation",
    "LazyImportError",
    "Stats",
    "current",
    "install",
    "stats",
    "uninstall",
]


def exports(
    package: dict[str, Any], **names: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the functions ``__getattr__`` and ``__dir__`` of a package.

    *package* are its globals, and *names*, by module, the names that it has from
    there. They are imported when somebody asks for them.
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


_find, _names = exports(
    globals(),
    errors="LazyImportError",
    runtime="Installation current install uninstall",
    statistics="Stats stats",
)


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("ray-lazyimport")
    if name == "errors":  # loaded when the first one is raised
        return __import__("lazyimport.errors").errors
    return _find(name)


def __dir__() -> list[str]:
    return [*_names(), "__version__"]
