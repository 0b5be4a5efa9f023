"""``lazyimport runtime-env``."""

from __future__ import annotations

import json

from lazyimport.cli import console, declare, options
from lazyimport.ray import runtime_env
from lazyimport.settings import Settings

_EXAMPLES = """
env=$(lazyimport runtime-env prod)
ray job submit --runtime-env-json "$env" -- python -m my_app
"""


@declare.command("runtime-env", examples=_EXAMPLES)
@options.archive(artifacts=False)
@declare.option(
    "--plugin",
    "Let each node fetch the archive before it starts a worker: the cluster must have "
    "been started with lazyimport.ray.plugin.",
)
@options.settings()
def command(archive: str, plugin: bool, settings: Settings) -> None:
    """Print the runtime environment whose workers run an archive.

    Prints it as JSON, on one line, for 'ray job submit --runtime-env-json'. It names
    the store and the hash; of a channel, the hash that it points to now.
    """
    hash = options.resolve_stored(archive, settings)
    if settings.store is None:
        console.warn("no store is named: only nodes that have the archive can run it")
    print(json.dumps(runtime_env(hash, store=settings.store, plugin=plugin)))
