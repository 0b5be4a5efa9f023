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
    (name, place) of installed modules that the archive's win over.
    """

    modules: int
    seconds: float
    shadowed: tuple[tuple[str, str], ...]


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
    variables = {k: v for k, v in environ.items() if k not in ENVIRONMENT.values()}
    variables |= settings.to_environ()
    child = _Child(python, hash, variables)
    answer = child.ask(entries=entries, by_value=by_value)
    if answer["pickled"]:
        child.ask(pickled=answer["pickled"])
    shadowed = tuple((name, place) for name, place in answer["shadowed"])
    return Checked(answer["modules"], answer["seconds"], shadowed)


class _Child:
    """Interpreters *python* that know nothing but *variables* and a question."""

    def __init__(self, python: str, hash: str, variables: Mapping[str, str]) -> None:
        self._python = python
        self._hash = hash
        self._environ = {k: v for k, v in variables.items() if k not in _ACTIVATING}

    def ask(self, **question: object) -> dict[str, Any]:
        """Return the answer of a new child. Raises DeployError if it refuses."""
        paths = _own_paths()
        with tempfile.TemporaryDirectory(prefix="lazyimport-") as folder:
            place = f"{folder}/answer"
            question |= {"hash": self._hash, "python": self._python}
            question |= {"own": paths, "answer": place}
            child = self._run(json.dumps(question), paths, folder)
            try:
                with open(place, encoding="utf-8") as file:
                    answer: dict[str, Any] = json.load(file)
            except FileNotFoundError:
                raise DeployError(
                    f"{self._python} ended with exit code {child.returncode} before "
                    f"archive {self._hash} was imported:\n{child.stderr.strip()}",
                    hash=self._hash,
                ) from None
        if "refused" in answer:
            raise DeployError(answer["refused"], hash=self._hash)
        return answer

    def _run(
        self, question: str, paths: Sequence[str], folder: str
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [self._python, "-I", "-c", _PROGRAM, *paths],
                input=question,
                cwd=folder,
                env=self._environ,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        except OSError as error:
            raise DeployError(f"cannot run {self._python}: {error.strerror}") from error


def _own_paths() -> list[str]:
    """Return what to add to the path of a child: a checkout, which is not installed."""
    own = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    installed = os.path.basename(own) in {"site-packages", "dist-packages"}
    return [] if installed else [own]
