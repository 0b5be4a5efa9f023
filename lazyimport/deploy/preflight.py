"""Pre-flight: import what a worker will, before a cluster does, in a clean child."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lazyimport.deploy.errors import DeployError
from lazyimport.settings import ENVIRONMENT, Settings

#: what would activate another archive in the child
_ACTIVATING = {ENVIRONMENT[name] for name in ("hash", "channel", "artifact")}
_PROGRAM = (
    "import sys; sys.path.extend(sys.argv[1:]); "
    "from lazyimport.ray.preflight_child import main; main()"
)


class Checked(NamedTuple):
    """What a check that found nothing wrong has to tell.

    ``modules`` were imported from the archive, in ``seconds``. ``shadowed`` are
    (name, place) of installed modules that the archive's win over, ``doubtful``
    sentences about imports that a condition may keep from being made.
    """

    modules: int
    seconds: float
    shadowed: tuple[tuple[str, str], ...]
    doubtful: tuple[str, ...]


def check(
    hash: str,
    entries: Sequence[str],
    settings: Settings,
    *,
    environ: Mapping[str, str],
    python: str = sys.executable,
    by_value: Sequence[str] = (),
) -> Checked:
    """Import *entries* (``module:attribute``) from the archive *hash*.

    The interpreter *python* does that, with what is installed for it and the
    variables *environ*, but nothing else of this process: it stands for the image.
    *settings* say where the archive is. *by_value* are import paths of what Serve's
    controller and proxies will run, where there is no archive; those that
    deployments name in code are found.

    Raises DeployError with the reason if a worker could not do it either.
    """
    ours, theirs = settings.to_environ(), set(ENVIRONMENT.values())
    variables = {k: v for k, v in environ.items() if k not in theirs}
    variables |= {k: v for k, v in ours.items() if k not in _ACTIVATING}

    def ask(**question: object) -> dict[str, Any]:
        return _ask(python, variables, {"hash": hash, "python": python, **question})

    answer = ask(entries=entries, by_value=by_value)
    if answer["pickled"]:
        ask(pickled=answer["pickled"])
    shadowed = tuple((name, place) for name, place in answer["shadowed"])
    doubtful = tuple(answer["doubtful"])
    return Checked(answer["modules"], answer["seconds"], shadowed, doubtful)


def _ask(
    python: str, variables: dict[str, str], question: dict[str, object]
) -> dict[str, Any]:
    """Return the answer of a new child with *variables* alone. Raises DeployError."""
    own = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    installed = os.path.basename(own) in {"site-packages", "dist-packages"}
    paths = [] if installed else [own]  # a checkout
    hash = question["hash"]
    with tempfile.TemporaryDirectory(prefix="lazyimport-") as folder:
        place = f"{folder}/answer"
        try:
            child = subprocess.run(
                [python, "-I", "-c", _PROGRAM, *paths],
                input=json.dumps({**question, "own": paths, "answer": place}),
                cwd=folder,
                env=variables,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        except OSError as error:
            raise DeployError(f"cannot run {python}: {error.strerror}") from error
        if not os.path.exists(place):
            raise DeployError(
                f"{python} ended with exit code {child.returncode} before archive "
                f"{hash} was imported:\n{child.stderr.strip()}",
                hash=hash,
            )
        with open(place, encoding="utf-8") as file:
            answer: dict[str, Any] = json.load(file)
    if "refused" in answer:
        raise DeployError(answer["refused"], hash=hash)
    return answer
