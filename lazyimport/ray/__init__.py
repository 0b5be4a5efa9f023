"""lazyimport for Ray: what a job, task, actor or application must be given."""

from __future__ import annotations

from lazyimport.errors import SettingsError
from lazyimport.settings import Settings, check_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["runtime_env"]

_VARIABLES = ("LAZYIMPORT_HASH", "LAZYIMPORT_STORE")


def runtime_env(
    hash: str, *, store: str | None = None, **others: Any
) -> dict[str, Any]:
    """Return a Ray ``runtime_env`` whose workers run the archive *hash*.

    *store* is the URL that a node without the archive fetches it from. *others*
    are the other fields of the environment; its ``env_vars`` are kept, those of
    lazyimport among them.

    ::

        task.options(runtime_env=runtime_env("4be8...", store="gs://bucket/code"))

    Raises SettingsError for a value that cannot be used, and where *others* set
    another hash or store.
    """
    ours = Settings(check_hash(hash), store).to_environ()
    ours = {name: ours[name] for name in _VARIABLES if name in ours}
    theirs = others.get("env_vars") or {}
    for name, value in ours.items():
        if theirs.get(name, value) != value:
            raise SettingsError(
                f"the runtime_env says {name}={theirs[name]} in its env_vars, and "
                f"{value} was asked for; remove one of them",
                name=name,
                value=theirs[name],
            )
    return {**others, "env_vars": {**theirs, **ours}}
