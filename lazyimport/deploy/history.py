"""History: which hash a manifest or a running application had before.

Two sources, the newer first. What `lazyimport deploy` changed on this machine is
recorded in the node cache, ``<cache>/deployments/<name>``; what anybody changed is
in git, if the manifest is kept there.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from typing import NamedTuple

from lazyimport.cache.layout import DEPLOYMENTS, Layout
from lazyimport.deploy.errors import ManifestError
from lazyimport.deploy.manifest import Manifest
from lazyimport.files import AtomicFile

_KEPT = 200
_COMMITS = 200


class Deployment(NamedTuple):
    """What *app* ran from a moment on, and ``before`` it; None for no hash."""

    time: float
    app: str
    before: str | None
    after: str


class History:
    """What was deployed from this machine, as the node cache *cache_dir* records it.

    A *target* is the path of a manifest or the address of a cluster.
    """

    def __init__(self, cache_dir: str) -> None:
        self._layout = Layout(cache_dir)

    def add(self, target: str, app: str, before: str | None, after: str) -> None:
        """Record that *app* runs *after* from now on. Raises CacheError or OSError."""
        if before == after:
            return
        new = Deployment(time.time(), app, before, after)
        kept = [*self._deployments(target), new][-_KEPT:]
        self._layout.make_folder(DEPLOYMENTS)
        with AtomicFile(self._path(target)) as file:
            file.writelines(json.dumps(each).encode() + b"\n" for each in kept)

    def deployment(self, target: str, app: str, hash: str | None) -> Deployment | None:
        """Return the newest deployment of *hash* for *app*, or None."""
        for each in reversed(self._deployments(target)):
            if (each.app, each.after) == (app, hash):
                return each
        return None

    def _deployments(self, target: str) -> list[Deployment]:
        try:
            with open(self._path(target), "rb") as file:
                return [Deployment(*json.loads(line)) for line in file]
        except (FileNotFoundError, ValueError, TypeError):
            return []  # nothing yet, or nothing of ours

    def _path(self, target: str) -> str:
        if "://" not in target:
            target = os.path.realpath(target)
        name = hashlib.sha256(os.fsencode(target)).hexdigest()[:32]
        return f"{self._layout.folder(DEPLOYMENTS)}/{name}"


def committed(path: str, app: str) -> Iterator[str]:
    """Yield the hashes of *app* in the commits of the file *path*, newest first.

    Yields nothing if the file is not in git.
    """
    folder, name = os.path.split(os.path.realpath(path))

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words],  # noqa: S607 - the git that the person uses
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        return done.stdout.decode()

    try:
        commits = git("log", f"-n{_COMMITS}", "--format=%H", "--", name).split()
        for commit in commits:
            try:
                manifest = Manifest(git("show", f"{commit}:./{name}"), path)
            except (ManifestError, UnicodeDecodeError):
                continue  # in that commit it was something else
            for application in manifest.applications:
                if application.name == app and application.hash:
                    yield application.hash
    except (OSError, subprocess.CalledProcessError):
        return
