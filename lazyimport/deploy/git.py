"""git: where a manifest lies in its checkout, and which hashes it had before."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

from lazyimport.deploy.errors import ManifestError
from lazyimport.deploy.manifest import Manifest

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


def committed(path: str, app: str) -> Iterator[tuple[str, str]]:
    """Yield hashes of *app* in the commits of the file *path*, the newest first.

    Each comes with its commit. Yields nothing if the file is not in git.
    """
    path = os.path.realpath(path)
    name = os.path.basename(path)
    try:
        log = _git(path, "log", f"-n{_COMMITS}", "--format=%H", "--", name)
        for commit in log.split():
            try:
                manifest = Manifest(_git(path, "show", f"{commit}:./{name}"), path)
            except (ManifestError, UnicodeDecodeError):
                continue  # in that commit it was something else
            for application in manifest.applications:
                if application.name == app and application.hash:
                    yield application.hash, commit
    except (OSError, subprocess.CalledProcessError):
        return


def _git(path: str, *words: str) -> str:
    """Return what git says in the folder of *path*."""
    done = subprocess.run(
        ["git", *words],  # noqa: S607 - the git that the person uses
        cwd=os.path.dirname(path),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return done.stdout.decode()
