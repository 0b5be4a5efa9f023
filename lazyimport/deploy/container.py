"""A container of an image, in which an archive is checked: by Docker or Podman."""

from __future__ import annotations

import os
import shutil
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

    Raises DeployError if there is no engine, and what `fetch` raises.
    """
    found = (shutil.which(name, path=environ.get("PATH")) for name in _ENGINES)
    engine = next(filter(None, found), None)
    if engine is None:
        raise DeployError(
            f"checking in {image} needs {' or '.join(_ENGINES)}, and neither is on PATH; "
            "or check with a Python like that of the image: --check-python PATH"
        )
    # Inside it may be another user, and nobody else comes through the folder's parent.
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
