"""Runtime environments: how one names an archive, and what its workers then run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from lazyimport.errors import SettingsError
from lazyimport.settings import ENVIRONMENT, Settings
from lazyimport.values import check_hash, redact

#: the field of a ``runtime_env`` that `lazyimport.ray.plugin` reads
FIELD = "lazyimport"
_NAMED = ("hash", "store")


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
    named = {name: value for name in _NAMED if (value := getattr(ours, name))}
    _check_agreement(others, named)
    _check_executable(others.get("py_executable"))
    env_vars = {**(others.get("env_vars") or {}), **variables(named)}
    env = {**others, "env_vars": env_vars}
    if plugin:
        env[FIELD] = {**(others.get(FIELD) or {}), **named}
    return env


def variables(named: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables for a ``hash`` and ``store``."""
    return {ENVIRONMENT[name]: value for name, value in named.items()}


def named_settings(environment: Any, environ: Mapping[str, str]) -> Settings:
    """Return the settings of the workers of a ``runtime_env`` that has our field.

    *environ* are the variables of the node. Raises SettingsError if the field cannot
    be understood, or is contradicted.
    """
    field = environment[FIELD]
    if not isinstance(field, dict) or "hash" not in field or {*field} - {*_NAMED}:
        raise SettingsError(
            f"the field {FIELD!r} of a runtime_env is "
            "{'hash': ..., 'store': ...} (the store may be left out), not "
            f"{list(field) if isinstance(field, dict) else type(field).__name__}",
            name=FIELD,
            value=None,
        )
    check_hash(field["hash"])
    _check_agreement(environment, field)
    theirs = environment.get("env_vars") or {}
    return Settings.from_environ({**environ, **theirs}, **field)


def _check_agreement(environment: Any, named: Mapping[str, str]) -> None:
    """Raise SettingsError if *environment*, a ``runtime_env``, contradicts *named*."""
    env_vars = environment.get("env_vars") or {}
    field = environment.get(FIELD) or {}
    for name, value in named.items():
        variable = ENVIRONMENT[name]
        for said, place in (
            (env_vars.get(variable), f"{variable} in its env_vars"),
            (field.get(name), f"{name!r} in its field {FIELD!r}"),
        ):
            if said is not None and said != value:
                raise SettingsError(
                    f"the runtime_env says {redact(said)} ({place}), and "
                    f"{redact(value)} was asked for; remove one of them. Fields of a job reach its tasks and "
                    "actors, so give both the field or neither (plugin=)",
                    name=variable,
                    value=redact(said),
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
