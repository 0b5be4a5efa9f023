"""A container of an image, in which an archive is checked: by Docker or Podman."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping

from lazyimport.cache.node import NodeCache
from lazyimport.delivery.fetch import fetch
from lazyimport.delivery.publish import publish
from lazyimport.deploy.errors import DeployError
from lazyimport.settings import Settings
from lazyimport.stores import open_store, writable
from lazyimport.values import file_url

_ENGINES = ("docker", "podman")
_INSIDE = "/lazyimport-check"


def container_command(
    image: str,
    hash: str,
    settings: Settings,
    environ: Mapping[str, str],
    folder: str,
) -> tuple[list[str], str, str]:
    """Return the command that runs ``python`` in a new container of *image*.

    The archive *hash* is put into a store in *folder*: the container has no
    credentials. The folder that both sides share follows, outside and inside.

    Raises DeployError if no engine runs here, and what `fetch` raises.
    """
    engine = _engine(image, environ)
    # The user inside may be another one; only this user can enter the folder's parent.
    shared = os.path.join(folder, "shared")
    os.mkdir(shared)
    os.chmod(shared, 0o777)  # noqa: S103
    archive, _ = fetch(settings, hash)
    store = writable(open_store(file_url(f"{shared}/store")))
    publish(archive, store, NodeCache(settings.cache_dir))
    variables = {
        "LAZYIMPORT_STORE": f"file://{_INSIDE}/store",
        "LAZYIMPORT_CACHE_DIR": "/tmp/lazyimport-check",  # noqa: S108 - in the container
    }
    options = [word for pair in variables.items() for word in ("--env", "=".join(pair))]
    mount = f"type=bind,source={shared},target={_INSIDE}"
    run = [engine, "run", "--rm", "--interactive", "--entrypoint", "python"]
    return [*run, "--mount", mount, *options, image], shared, _INSIDE


def _engine(image: str, environ: Mapping[str, str]) -> str:
    """Return the first engine that answers: Docker's client is often there alone."""
    reasons = []
    for name in _ENGINES:
        path = shutil.which(name, path=environ.get("PATH"))
        if path is None:
            reasons.append(f"{name} is not on PATH")
            continue
        asked = subprocess.run(
            [path, "version"],
            env=environ,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if asked.returncode == 0:
            return path
        said = asked.stderr.strip() or f"it ends with exit code {asked.returncode}"
        reasons.append(f"'{name} version' fails: {said}")
    raise DeployError(
        f"checking in {image} needs Docker or Podman: {'; '.join(reasons)}; "
        "or check with a Python like that of the image: --check-python PATH"
    )
