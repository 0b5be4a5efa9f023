"""History: which hash a manifest or a running application had before.

Two sources, the newer first. What `lazyimport deploy` changed on this machine is
recorded in the node cache, ``<cache>/deployments/<name>``; what anybody changed is
in git, if the manifest is kept there.
"""

from __future__ import annotations

import hashlib
import json
import os
import time

from lazyimport.cache.layout import DEPLOYMENTS, Layout
from lazyimport.deploy.errors import ManifestError
from lazyimport.deploy.manifest import Manifest
from lazyimport.files import AtomicFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Record", "committed"]

_KEPT = 200
_COMMITS = 200


class Record:
    """What was deployed from this machine to one *target*: a file or an address."""

    def __init__(self, cache_dir: str, target: str) -> None:
        if "://" not in target:
            target = os.path.realpath(target)
        name = hashlib.sha256(os.fsencode(target)).hexdigest()[:32]
        self._cache = Layout(cache_dir)
        self._path = f"{self._cache.folder(DEPLOYMENTS)}/{name}"
        self._target = target

    def add(self, app: str, before: str | None, after: str) -> None:
        """Note that *app* runs *after* from now on. Raises CacheError or OSError."""
        if before == after:
            return
        line = {"time": time.time(), "app": app, "before": before, "after": after}
        lines = [*self._lines(), line][-_KEPT:]
        self._cache.make_folder(DEPLOYMENTS)
        with AtomicFile(self._path) as file:
            for each in lines:
                file.write(
                    json.dumps({"target": self._target, **each}).encode() + b"\n"
                )

    def before(self, app: str, hash: str | None) -> str | None:
        """Return what *app* ran before *hash*, or None where that is not known."""
        for line in reversed(self._lines()):
            if line.get("app") == app and line.get("after") == hash:
                before = line.get("before")
                return None if before is None else str(before)
        return None

    def began(self, app: str, hash: str | None) -> bool:
        """Whether *app* had no hash before it was deployed from here with *hash*."""
        return any(
            line.get("app") == app and line.get("after") == hash
            for line in self._lines()
        )

    def _lines(self) -> list[dict[str, object]]:
        try:
            with open(self._path, "rb") as file:
                return [json.loads(line) for line in file]
        except (FileNotFoundError, ValueError):
            return []


def committed(path: str, app: str) -> Iterator[str]:
    """Yield the hashes that *app* had in the commits of the file *path*, newest first.

    Yields nothing where the file is not in git.
    """
    import subprocess

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
