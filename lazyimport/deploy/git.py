"""git: where a manifest lies in its checkout, and what it was before."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from lazyimport.git import answer, ask

_COMMITS = 200


def name_of(path: str) -> str:
    """Return what a file in a checkout is called, the same on every machine.

    That is ``shop:deploy/service.yaml``: the repository as the URL of *origin* ends,
    and the path in it; without an origin the path alone. Without a checkout it is the
    path on this machine, with all links resolved.
    """
    path = os.path.realpath(path)
    try:
        inside = _git(path, "rev-parse", "--show-prefix").strip()
        url = _git(path, "config", "--default", "", "--get", "remote.origin.url")
    except OSError:
        return path
    # Of a URL without a path the end is user, password and host.
    last = re.split("[/:@]", url.strip().rstrip("/"))[-1].removesuffix(".git")
    return f"{last}:{inside}{os.path.basename(path)}".removeprefix(":")


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
    except OSError:
        return


def _git(path: str, *words: str) -> str:
    return answer(ask(os.path.dirname(path), *words)).decode(errors="replace")
