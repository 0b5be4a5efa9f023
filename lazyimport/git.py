"""git, asked about a folder that anybody may have written: no program of theirs runs.

Programs that a repository's configuration names stay dead: hooks, monitors, filters,
what checks signatures, and whatever git would call to fetch objects that are missing.
"""

from __future__ import annotations

import os
import subprocess

#: Seconds that git may take for an answer.
SECONDS = 30
_INERT = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "log.showSignature=false",
    "safe.bareRepository=explicit",
)
#: Where it runs inside of git, as in a hook, these are about another repository.
_INHERITED = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"}
_ENVIRONMENT = {"GIT_ALLOW_PROTOCOL": "none", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


def ask(folder: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start git in *folder*; `answer` takes what it says.

    Raises OSError if there is no git.
    """
    git = ["git", "-C", folder]
    asked = _start([*git, "config", "-z", "--name-only", "--get-regexp", "^filter\\."])
    filters = os.fsdecode(_said(asked)[0]).split("\0")[:-1]
    if any("=" in name for name in filters):  # what -c cannot say
        raise OSError(f"a filter in its configuration has a name with '=': {filters}")
    for setting in (*_INERT, *(f"{name}=" for name in filters)):
        git += ["-c", setting]
    return _start([*git, *arguments])


def answer(process: subprocess.Popen[bytes]) -> bytes:
    """Return what git said, once it has. Raises OSError, with its reason to fail."""
    said, wrong = _said(process)
    if process.returncode:
        lines = wrong.decode("utf-8", "replace").splitlines() or ["git failed"]
        raise OSError(lines[0])
    return said


def give_up(process: subprocess.Popen[bytes]) -> None:
    """End git, if it still runs."""
    process.kill()
    process.communicate()


def _said(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    try:
        return process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        give_up(process)
        raise OSError(f"git took more than {SECONDS} s") from None


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    environ = {k: v for k, v in os.environ.items() if k not in _INHERITED}
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**environ, **_ENVIRONMENT},
    )
