"""Pre-flight: import what a worker will, before a cluster does, in a clean child."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lazyimport.deploy.container import container_command
from lazyimport.deploy.errors import DeployError
from lazyimport.environment import ACTIVATING
from lazyimport.settings import ENVIRONMENT, Settings

#: what the child runs; folders of a checkout follow
PROGRAM = (
    "import sys; sys.path.extend(sys.argv[1:]); "
    "from lazyimport.ray.preflight_child import main; main()"
)


class Checked(NamedTuple):
    """What a check has found that found nothing wrong.

    ``modules`` were imported from the archive, in ``seconds``. ``shadowed`` are
    (name, place) of installed modules that the archive's win over, ``doubtful``
    sentences about imports that a condition may keep from being made.
    """

    modules: int
    seconds: float
    shadowed: tuple[tuple[str, str], ...]
    doubtful: tuple[str, ...]


class Child(NamedTuple):
    """A Python to ask: *command* starts it, with the variables *environ*.

    Messages call it *name*. Its answer comes into *folder*, which it sees as *inside*.
    """

    name: str
    command: list[str]
    environ: Mapping[str, str]
    folder: str
    inside: str


def check(
    hash: str,
    entries: Sequence[str],
    settings: Settings,
    *,
    environ: Mapping[str, str],
    python: str = sys.executable,
    image: str | None = None,
    by_value: Sequence[str] = (),
) -> Checked:
    """Import *entries* (``module:attribute``) from the archive *hash*.

    The interpreter *python* does that, with what is installed for it and the
    variables *environ*, but nothing else of this process: it stands for the image; or
    the Python of *image* itself, in a container. *settings* say where the archive is.
    *by_value* are import paths of what Serve's controller and proxies will run, where
    there is no archive; those that deployments name in code are found.

    Raises DeployError with the reason if a worker could not do it either, and what
    `fetch` raises if the archive cannot be brought to the container.
    """
    asked = image or python
    with tempfile.TemporaryDirectory(prefix="lazyimport-") as folder:
        if image is None:
            child = _here(python, settings, environ, folder)
        else:
            run, outside, inside = container_command(
                image, hash, settings, environ, folder
            )
            command = [*run, "-I", "-c", PROGRAM]
            child = Child(image, command, environ, outside, inside)

        def ask(**question: object) -> dict[str, Any]:
            return _ask(child, {"hash": hash, "python": asked, **question})

        answer = ask(entries=entries, by_value=by_value)
        if answer["pickled"]:
            ask(pickled=answer["pickled"])
    shadowed = tuple((name, place) for name, place in answer["shadowed"])
    doubtful = tuple(answer["doubtful"])
    return Checked(answer["modules"], answer["seconds"], shadowed, doubtful)


def _here(
    python: str, settings: Settings, environ: Mapping[str, str], folder: str
) -> Child:
    ours, theirs = settings.to_environ(), set(ENVIRONMENT.values())
    variables = {k: v for k, v in environ.items() if k not in theirs}
    variables |= {k: v for k, v in ours.items() if k not in ACTIVATING}
    own = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    installed = os.path.basename(own) in {"site-packages", "dist-packages"}
    paths = [] if installed else [own]  # a checkout
    command = [python, "-I", "-c", PROGRAM, *paths]
    return Child(python, command, variables, folder, folder)


def _ask(child: Child, question: dict[str, object]) -> dict[str, Any]:
    """Return the answer of a new process. Raises DeployError."""
    hash, place = question["hash"], f"{child.folder}/answer"
    own = child.command[child.command.index(PROGRAM) + 1 :]
    question = {**question, "own": own, "answer": f"{child.inside}/answer"}
    try:
        done = subprocess.run(
            child.command,
            input=json.dumps(question),
            cwd=child.folder,
            env=child.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise DeployError(f"cannot run {child.name}: {error.strerror}") from error
    if not os.path.exists(place):
        raise DeployError(
            f"{child.name} ended with exit code {done.returncode} before archive "
            f"{hash} was imported:\n{done.stderr.strip()}",
            hash=hash,
        )
    with open(place, encoding="utf-8") as file:
        answer: dict[str, Any] = json.load(file)
    os.unlink(place)
    if "refused" in answer:
        raise DeployError(answer["refused"], hash=hash)
    return answer
