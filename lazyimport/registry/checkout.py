"""A checkout: what git says of the folder of a tree, asked in the background."""

from __future__ import annotations

import os
import subprocess

from lazyimport import git


class Checkout:
    """The folder of *root*, a directory or file; leaving the block ends git."""

    def __init__(self, root: str) -> None:
        folder = root if os.path.isdir(root) else os.path.dirname(root)
        self._git: subprocess.Popen[bytes] | None = None
        try:
            self._git = git.ask(
                folder,
                *("status", "-z", "--porcelain=v2", "--branch"),
                *("--ignore-submodules=dirty", "--", "."),
            )
        except OSError:
            pass  # there is no git: nothing is known

    def __enter__(self) -> Checkout:
        return self

    def __exit__(self, *_: object) -> None:
        if self._git is not None:
            git.give_up(self._git)

    def facts(self) -> dict[str, object]:
        """Return ``commit``, ``branch`` and ``dirty``, as far as git knows them.

        ``dirty`` says whether anything is not committed. All are missing if there
        is no git, or no repository.
        """
        process, self._git = self._git, None
        try:
            said = git.answer(process) if process is not None else b""
        except OSError:
            said = b""
        if not said:
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
