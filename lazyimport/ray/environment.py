"""Runtime environments: what Ray must be given so that its workers run an archive."""

from __future__ import annotations

import shlex

from lazyimport.errors import SettingsError
from lazyimport.settings import ENVIRONMENT, Settings
from lazyimport.values import check_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["FIELD", "NAMED", "check_agreement", "runtime_env"]

#: the field of a ``runtime_env`` that `lazyimport.ray.plugin` reads
FIELD = "lazyimport"
#: the settings that a ``runtime_env`` names
NAMED = ("hash", "store")


def runtime_env(
    hash: str, *, store: str | None = None, plugin: bool = False, **others: Any
) -> dict[str, Any]:
    """Return a Ray ``runtime_env`` whose workers run the archive *hash*.

    *store* is the URL from which a node fetches the archive that it does not have.
    *others* are the other fields of the environment; its ``env_vars`` are kept, those
    of lazyimport among them. With *plugin* each node fetches the archive before it
    starts a worker, for which the cluster must have been started with
    `lazyimport.ray.plugin`.

    ::

        task.options(runtime_env=runtime_env("4be8...", store="gs://bucket/code"))

    Raises SettingsError for a value that cannot be used, and if *others* set
    another hash or store, or would start Python without activation.
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
