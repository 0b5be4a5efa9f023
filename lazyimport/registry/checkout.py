"""A checkout: what git says of the folder of a tree, asked in the background."""

from __future__ import annotations

import os
import subprocess

#: Seconds that git may take for an answer.
_GIT_SECONDS = 30
#: Settings with which git runs no program that a repository's configuration names.
_INERT = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "safe.bareRepository=explicit",
)


class Checkout:
    """The folder of *root*, a directory or file; leaving the block ends git."""

    def __init__(self, root: str) -> None:
        self._git = _ask_git(root)

    def __enter__(self) -> Checkout:
        return self

    def __exit__(self, *_: object) -> None:
        if self._git is not None:
            self._git.kill()
            self._git.communicate()

    def facts(self) -> dict[str, object]:
        """Return ``commit``, ``branch`` and ``dirty``, as far as git knows them.

        ``dirty`` says whether anything is not committed. All are missing if there
        is no git, or no repository.
        """
        if self._git is None:
            return {}
        try:
            said = self._git.communicate(timeout=_GIT_SECONDS)[0]
        except subprocess.TimeoutExpired:
            return {}
        failed, self._git = self._git.returncode, None
        if failed:
            return {}
        facts: dict[str, object] = {}
        lines = said.decode("utf-8", "replace").split("\0")
        for line in lines:
            if line.startswith("# branch.oid ") and "(" not in line:
                facts["commit"] = line.split(" ")[2]
            elif line.startswith("# branch.head ") and "(" not in line:
                facts["branch"] = line.split(" ", 2)[2]
        facts["dirty"] = any(line and not line.startswith("# ") for line in lines)
        return facts


def _ask_git(root: str) -> subprocess.Popen[bytes] | None:
    """Start asking git about the folder of *root*; None if there is no git.

    Anybody may have written the tree, so no program runs that it names: see
    `_INERT`, and `_no_filters`, which git would run to compare files.
    """
    folder = root if os.path.isdir(root) else os.path.dirname(root)
    git = ["git", "-C", folder, "--no-optional-locks"]
    command = list(git)
    for setting in (*_INERT, *_no_filters(git)):
        command += ["-c", setting]
    command += ["status", "-z", "--porcelain=v2", "--branch"]
    command += ["--ignore-submodules=dirty", "--", "."]
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return None


def _no_filters(git: list[str]) -> list[str]:
    """Return settings that switch off the filters that are configured."""
    try:
        done = subprocess.run(
            [*git, "config", "-z", "--name-only", "--get-regexp", "^filter\\."],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    names = done.stdout.decode("utf-8", "surrogateescape").split("\0")
    return [f"{name}=" for name in names if "=" not in name and name]
