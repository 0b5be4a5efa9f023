"""Runtime environments: a hash, or a tree to pack and push, becomes one."""

from __future__ import annotations

import logging
import os
import shlex
from types import ModuleType

from lazyimport.errors import SettingsError
from lazyimport.reporting import Reporter
from lazyimport.settings import ENVIRONMENT, Settings, artifact_suffix, check_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


__all__ = ["FIELD", "NAMED", "check_agreement", "runtime_env", "ship"]

#: the field of a ``runtime_env`` that `lazyimport.ray.plugin` reads
FIELD = "lazyimport"

#: the settings that a ``runtime_env`` names
NAMED = ("hash", "store")
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

    In the place of ``py_modules``::

        ray.init(runtime_env=lazyimport.ray.ship("src", store="gs://bucket/code"))

    *roots* are directories and files as for ``lazyimport push`` (a directory
    that is a package goes in under its own name), or imported modules; the
    current directory if there are none. ``[tool.lazyimport]`` of the nearest
    pyproject.toml applies. *store* and *cache_dir* (the node cache of this
    machine) come from the environment where they are not passed. With *install*
    the calling process runs the archive too, as `lazyimport.install` would.
    *plugin* and *others* are as for `runtime_env`.

    Raises SettingsError, PackError, StoreError or CacheError, and InstallError
    if this process was to *install* and runs another archive already.
    """
    from lazyimport.delivery import push

    environ = {k: v for k, v in os.environ.items() if k != ENVIRONMENT["hash"]}
    settings = Settings.from_environ(environ, store=store, cache_dir=cache_dir)
    pushed = push([_path_of(root) for root in roots], settings, reporter=_Logged())
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
    environment = runtime_env(
        pushed.hash, store=settings.store, plugin=plugin, **others
    )
    if install:
        from lazyimport.runtime import install as install_here

        install_here(pushed.hash, store=settings.store, cache_dir=settings.cache_dir)
    return environment


def runtime_env(
    hash: str, *, store: str | None = None, plugin: bool = False, **others: Any
) -> dict[str, Any]:
    """Return a Ray ``runtime_env`` whose workers run the archive *hash*.

    *store* is the URL that a node without the archive fetches it from. *others*
    are the other fields of the environment; its ``env_vars`` are kept, those of
    lazyimport among them. With *plugin* each node fetches the archive before it
    starts a worker, for which the cluster must have been started with
    `lazyimport.ray.plugin`.

    ::

        task.options(runtime_env=runtime_env("4be8...", store="gs://bucket/code"))

    Raises SettingsError for a value that cannot be used, and where *others* set
    another hash or store or would start Python without activation.
    """
    ours = Settings(check_hash(hash), store)
    named = {name: value for name in NAMED if (value := getattr(ours, name))}
    check_agreement(others, **named)
    _check_executable(others.get("py_executable"))
    variables = {ENVIRONMENT[name]: value for name, value in named.items()}
    env = {**others, "env_vars": {**(others.get("env_vars") or {}), **variables}}
    if plugin:
        env[FIELD] = {**(others.get(FIELD) or {}), **named}
    return env


def check_agreement(environment: Any, **named: str) -> None:
    """Raise SettingsError if *environment*, a ``runtime_env``, contradicts *named*.

    *named* are ``hash`` and ``store``. Whichever of two hashes won, somebody
    would believe that the other one runs.
    """
    variables = environment.get("env_vars") or {}
    field = environment.get(FIELD) or {}
    for name, value in named.items():
        variable = ENVIRONMENT[name]
        for said, place in (
            (variables.get(variable), f"{variable} in its env_vars"),
            (field.get(name), f"{name!r} in its field {FIELD!r}"),
        ):
            if said is not None and said != value:
                raise SettingsError(
                    f"the runtime_env says {said} ({place}), and {value} was asked "
                    "for; remove one of them. Fields of a job reach its tasks and "
                    "actors, so give both the field or neither (plugin=)",
                    name=variable,
                    value=said,
                )


def _check_executable(command: str | None) -> None:
    """Refuse a Python that reads no start-up files: nothing would be activated."""
    for word in shlex.split(command or "")[1:]:
        if word[:1] == "-" and word[1:2] != "-" and "S" in word:
            raise SettingsError(
                f"py_executable={command!r} starts Python with -S, so it reads no "
                ".pth files and lazyimport cannot activate the archive in it; "
                "remove the -S",
                name="py_executable",
                value=command,
            )


class _Logged(Reporter):
    """Writes warnings into the log."""

    def warn(self, text: str) -> None:
        _logger.warning("%s", text)


def _path_of(root: str | os.PathLike[str] | ModuleType) -> str:
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
    if "." in name:
        top = name.partition(".")[0]
        raise _cannot_ship(name, f"is a part of {top!r}: ship that, or a folder")
    if file is None and hasattr(root, "__path__"):
        raise _cannot_ship(name, "is a namespace package: ship the folder it lies in")
    if file is None:
        raise _cannot_ship(name, "has no file to pack; pass a path")
    return os.path.dirname(file) if hasattr(root, "__path__") else str(file)


def _cannot_ship(root: str, why: str) -> SettingsError:
    return SettingsError(f"{root!r} {why}", name="roots", value=root)
