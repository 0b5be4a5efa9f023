"""Import Python code from a content-addressed archive instead of the image.

::

    import lazyimport

    lazyimport.install("4be8…64 hex digits…", store="gs://bucket/code")

From then on modules are imported from that archive, each on first use. The names below
are the public interface. They are imported on first use too, so that a process that
does not use lazyimport pays nothing for it.
"""

from __future__ import annotations

import sys

from lazyimport.lazy import exports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport import errors as errors, live as live, ray as ray
    from lazyimport.errors import LazyImportError
    from lazyimport.live.kept import keep
    from lazyimport.paths import path
    from lazyimport.runtime import Installation, current, install, uninstall
    from lazyimport.statistics import Stats, stats

    __version__: str

__all__ = [
    "Installation",
    "LazyImportError",
    "Stats",
    "current",
    "install",
    "keep",
    "path",
    "stats",
    "uninstall",
]

_find, _names = exports(
    globals(),
    errors="LazyImportError",
    **{"live.kept": "keep"},
    paths="path",
    runtime="Installation current install uninstall",
    statistics="Stats stats",
)


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("ray-lazyimport")
    if name in {"errors", "live", "ray"}:  # loaded when they are needed
        return getattr(__import__(f"lazyimport.{name}"), name)
    if sys.platform == "win32" and name in __all__:
        from lazyimport.values import ON_WINDOWS

        raise ImportError(ON_WINDOWS)
    return _find(name)


def __dir__() -> list[str]:
    return list({*_names(), "__version__", "errors", "live", "ray"})
