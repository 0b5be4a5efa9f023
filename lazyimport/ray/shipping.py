"""Shipping: directories, files or modules are packed and pushed for Ray to run."""

from __future__ import annotations

import logging
import os
from types import ModuleType
from typing import Any

from lazyimport.delivery import Pushed, push
from lazyimport.errors import SettingsError
from lazyimport.ray.environment import runtime_env
from lazyimport.reporting import Reporter
from lazyimport.settings import ENVIRONMENT, Settings
from lazyimport.values import artifact_suffix

_logger = logging.getLogger("lazyimport")


def ship(
    *roots: str | os.PathLike[str] | ModuleType,
    store: str | None = None,
    cache_dir: str | None = None,
    plugin: bool = False,
    install: bool = False,
    **others: Any,
) -> dict[str, Any]:
    """Pack *roots*, push what the store does not have, and return a ``runtime_env``.

    In place of ``py_modules``::

        ray.init(runtime_env=lazyimport.ray.ship("src", store="gs://bucket/code"))

    *roots* are directories and files as for ``lazyimport push`` (a directory
    that is a package goes in under its own name), or imported modules; by default
    the current directory. ``[tool.lazyimport]`` of the nearest pyproject.toml
    applies. *store* and *cache_dir* (the node cache of this machine) default to what
    the environment names. With *install* the calling process runs the archive too,
    as after `lazyimport.install`. *plugin* and *others* are as for `runtime_env`.

    Raises SettingsError, PackError, StoreError or CacheError, and InstallError
    if this process was to *install* and runs another archive already.
    """
    environ = {k: v for k, v in os.environ.items() if k != ENVIRONMENT["hash"]}
    settings = Settings.from_environ(environ, store=store, cache_dir=cache_dir)
    pushed = push([_path_of(root) for root in roots], settings, reporter=_Logged())
    _log(pushed)
    env = runtime_env(pushed.hash, store=settings.store, plugin=plugin, **others)
    if install:
        from lazyimport.runtime import install as install_here

        install_here(pushed.hash, store=settings.store, cache_dir=settings.cache_dir)
    return env


class _Logged(Reporter):
    """Writes warnings into the log."""

    def warn(self, text: str) -> None:
        _logger.warning("%s", text)


def _log(pushed: Pushed) -> None:
    packed = pushed.packed  # None for an archive's own file
    _logger.info(
        "archive %s: %s modules, %s compiled; %s bytes sent to %s (%s)",
        pushed.hash,
        packed.modules if packed else "no",
        packed.compiled if packed else "none",
        pushed.published.size,
        pushed.store,
        pushed.published.kind,
    )


def _path_of(root: str | os.PathLike[str] | ModuleType) -> str:
    """Return what to pack for *root*. Raises SettingsError."""
    if not isinstance(root, ModuleType):
        path = os.fspath(root)
        if artifact_suffix(path) and os.path.isfile(path):
            raise _cannot_ship(
                path,
                "is an artifact: push it with 'lazyimport push' and pass the hash "
                "that this prints to runtime_env()",
            )
        return path
    name, file = root.__name__, getattr(root, "__file__", None)
    is_package = hasattr(root, "__path__")
    if "." in name:
        top = name.partition(".")[0]
        raise _cannot_ship(name, f"is a part of {top!r}: ship that, or a folder")
    if file is None and is_package:
        raise _cannot_ship(name, "is a namespace package: ship the folder it lies in")
    if file is None:
        raise _cannot_ship(name, "has no file to pack; pass a path")
    return os.path.dirname(file) if is_package else str(file)


def _cannot_ship(root: str, why: str) -> SettingsError:
    return SettingsError(f"{root!r} {why}", name="roots", value=root)
