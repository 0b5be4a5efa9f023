"""Jobs of lazyimport's own: a cluster runs them with the lazyimport that it has.

That may be another version than the one here, or none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from shlex import join
from typing import Any, TypeVar

from lazyimport.delivery.compatibility import Python
from lazyimport.delivery.doctor import Finding
from lazyimport.deploy.errors import DeployError
from lazyimport.registry.provenance import own_version

Found = TypeVar("Found")

#: what Python says of a module that it is to run and does not have
_MISSING = re.compile(r"No module named '?(lazyimport[\w.]*)")


def run_own(
    run: Callable[[str], Iterator[str]], module: str, *words: str
) -> Iterator[str]:
    """Yield the lines that a job prints, a *module* of lazyimport with *words*.

    *run* runs a command. Raises DeployError as that does.
    """
    missing = None
    try:
        for line in run(join(["python", "-m", module, *words])):
            missing = _MISSING.search(line) or missing
            yield line
    except DeployError as error:
        if missing is None:
            raise
        has = f"an older lazyimport, without {missing[1]}"
        if missing[1] == "lazyimport":
            has = "no lazyimport for the python that runs jobs"
        raise error.with_text(
            f"the cluster has {has}; {_advice()} ({error})"
        ) from error


def pythons_in(lines: Sequence[str]) -> list[Python]:
    """Return the Pythons that the job of ``deploy --check`` has named, one a line.

    Raises DeployError if there is none, or in a form of another version.
    """
    return _read(lines, "which Python its nodes have", _python)


def findings_in(lines: Sequence[str]) -> list[Finding]:
    """Return what the job of ``doctor --address`` has found, one thing a line.

    Raises DeployError if that is nothing, or in a form of another version.
    """
    return _read(lines, "what its nodes need", _finding)


def _read(
    lines: Sequence[str], what: str, read: Callable[[dict[str, Any]], Found]
) -> list[Found]:
    """Return what *read* makes of each line of JSON; *what* is asked for."""
    told = [line for line in lines if line.startswith("{")]
    try:
        found = [read(json.loads(line)) for line in told]
    except (ValueError, LookupError, TypeError, AttributeError):
        found = []
    if not found:
        said = (told or lines or ["nothing"])[-1]
        raise DeployError(
            f"the cluster's lazyimport does not say {what} as this one reads it, but "
            f"{said!r}; {_advice()}"
        )
    return found


def _python(facts: dict[str, Any]) -> Python:
    found = Python(**{name: facts[name] for name in Python._fields})
    if not isinstance(found.minor, int) or not isinstance(found.suffixes, list):
        raise TypeError(found)
    bytes.fromhex(found.magic)
    return found


def _finding(facts: dict[str, Any]) -> Finding:
    return Finding(**{name: facts[name] for name in Finding._fields})


def _advice() -> str:
    return (
        f"put the version that is here, {own_version()}, into its image, or leave out "
        "what asks it: --address with --check and doctor, --prefetch"
    )
