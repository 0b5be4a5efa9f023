"""git: where a manifest lies in its checkout, and what it was before."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

_COMMITS = 200


def name_of(path: str) -> str:
    """Return the path of a file in its checkout, the same on every machine.

    Without a checkout it is the path on this machine, with all links resolved.
    """
    path = os.path.realpath(path)
    try:
        return _git(path, "rev-parse", "--show-prefix").strip() + os.path.basename(path)
    except (OSError, subprocess.CalledProcessError):
        return path


def versions(path: str) -> Iterator[tuple[str, str]]:
    """Yield commit and text of a file as it was committed, the newest first.

    Yields nothing if the file is not in git.
    """
    path = os.path.realpath(path)
    name = os.path.basename(path)
    try:
        log = _git(path, "log", f"-n{_COMMITS}", "--format=%H", "--", name)
        for commit in log.split():
            yield commit, _git(path, "show", f"{commit}:./{name}")
    except (OSError, subprocess.CalledProcessError):
        return


def _git(path: str, *words: str) -> str:
    done = subprocess.run(
        ["git", *words],  # noqa: S607 - the git that the person uses
        cwd=os.path.dirname(path),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return done.stdout.decode(errors="replace")
