"""Trying an archive before a cluster does: import its entry in a clean child."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import NamedTuple

from lazyimport.deploy.errors import DeployError
from lazyimport.settings import ENVIRONMENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from lazyimport.settings import Settings

__all__ = ["Checked", "check"]

#: names that, taken by an archive, break every worker
_NEVER = ("ray", "lazyimport")
#: what would activate another archive in the child
_OTHERS = {ENVIRONMENT[name] for name in ("hash", "channel", "artifact")}
_PROGRAM = (
    "import sys; sys.path.extend(sys.argv[1:]); "
    "from lazyimport.deploy.preflight_child import main; main()"
)


class Checked(NamedTuple):
    """What a check that found nothing wrong has to tell.

    ``modules`` were imported from the archive, in ``seconds``. ``shadowed`` are
    (name, place) of installed modules that the archive's win over.
    """

    modules: int
    seconds: float
    shadowed: tuple[tuple[str, str], ...]


def check(
    hash: str,
    settings: Settings,
    entries: Sequence[str],
    *,
    python: str = sys.executable,
    by_value: Sequence[str] = (),
) -> Checked:
    """Import *entries* (``module:attribute``) from the archive *hash*.

    That is done by the interpreter *python*, with what is installed for it and
    nothing else of this process; it stands for the image. *by_value* are import
    paths of what Serve's controller and proxies will run, where there is no
    archive; those that deployments name in code are found.

    Raises DeployError with the reason if a worker could not do it either.
    """
    question = {
        "hash": hash,
        "settings": {
            "store": settings.store,
            "cache_dir": settings.cache_dir,
            "policy": settings.policy,
            "timeout": settings.timeout,
        },
        "entries": list(entries),
        "by_value": list(by_value),
        "never": _NEVER,
    }
    answer = _ask(python, question, hash)
    if "refused" in answer:
        raise DeployError(answer["refused"], hash=hash)
    _refuse_shadowing(answer, hash)
    if answer["errors"]:
        reasons = [_reason(error, hash, entries, python) for error in answer["errors"]]
        raise DeployError("\n".join(reasons), hash=hash)
    if answer["pickled"]:
        _check_pickled(python, answer["pickled"], hash)
    shadowed = tuple((name, place) for name, place in answer["shadowed"])
    return Checked(answer["modules"], answer["seconds"], shadowed)


def _refuse_shadowing(answer: dict[str, Any], hash: str) -> None:
    for name, place in answer["shadowed"]:
        if name in _NEVER:
            raise DeployError(
                f"archive {hash} has a {name!r} of its own, which wins over {place}: "
                "no worker would start; rename it, or leave it out when packing",
                hash=hash,
            )


def _reason(
    error: dict[str, Any], hash: str, entries: Sequence[str], python: str
) -> str:
    advice = ""
    if error["missing"] and not _named(error["missing"], entries):
        advice = (
            f"\n{error['missing']!r} is neither in the archive nor installed for "
            f"{python}; install it in the image, or pack it: --with, --requirements"
        )
    return f"archive {hash} does not give {error['entry']}:\n{error['text']}{advice}"


def _named(module: str, entries: Sequence[str]) -> bool:
    """Whether a module that is missing is an entry itself, or above one."""
    return any(f"{e.partition(':')[0]}.".startswith(f"{module}.") for e in entries)


def _check_pickled(python: str, pickled: list[list[str]], hash: str) -> None:
    answer = _ask(python, {"pickled": pickled}, hash)
    if "error" in answer:
        raise DeployError(
            f"{answer['name']} runs in Serve's controller or proxies, which have no "
            f"archive, and cannot be loaded there:\n{answer['error']['text']}\n"
            "let its module import nothing from the archive, or install it in the "
            "image",
            hash=hash,
        )


def _ask(python: str, question: dict[str, Any], hash: str) -> dict[str, Any]:
    """Return the answer of a child that knows nothing but the question."""
    own = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # A checkout must be named to the child; what is installed there it finds.
    installed = os.path.basename(own) in {"site-packages", "dist-packages"}
    paths = [] if installed else [own]
    with tempfile.TemporaryDirectory(prefix="lazyimport-") as folder:
        question = {**question, "own": paths, "answer": f"{folder}/answer"}
        try:
            child = subprocess.run(
                [python, "-I", "-c", _PROGRAM, *paths],
                input=json.dumps(question),
                cwd=folder,
                env={k: v for k, v in os.environ.items() if k not in _OTHERS},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        except OSError as error:
            raise DeployError(f"cannot run {python}: {error.strerror}") from error
        try:
            with open(f"{folder}/answer", encoding="utf-8") as file:
                answer: dict[str, Any] = json.load(file)
        except FileNotFoundError:
            raise DeployError(
                f"{python} ended with exit code {child.returncode} before archive "
                f"{hash} was imported:\n{child.stderr.strip()}",
                hash=hash,
            ) from None
    return answer
