"""The runtime-env plugin: each node fetches an archive once, before workers start.

It runs in Ray's runtime-env agent, so its name is in the environment in which
Ray is started on each node::

    RAY_RUNTIME_ENV_PLUGINS = '[{"class": "lazyimport.ray.plugin.ArchivePlugin"}]'

and a runtime environment uses it by a field of its own::

    runtime_env: {"lazyimport": {"hash": "4be8...", "store": "gs://bucket/code"}}

When all archives together are larger than ``RAY_RUNTIME_ENV_LAZYIMPORT_CACHE_SIZE_GB``
(10 by default), those that no worker needs any more are removed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Any

from ray._private.runtime_env.plugin import RuntimeEnvPlugin

from lazyimport.cache.node import NodeCache
from lazyimport.errors import LazyImportError, SettingsError
from lazyimport.ray.environment import FIELD, named_settings, variables
from lazyimport.settings import Settings
from lazyimport.values import redact


class ArchivePlugin(RuntimeEnvPlugin):
    """Reads the field ``lazyimport`` of a ``runtime_env``: ``{"hash", "store"}``."""

    name = FIELD
    priority = 5  # before pip and conda (10), which take longer to fail

    @staticmethod
    def validate(runtime_env_dict: dict[str, Any]) -> None:
        """Raise SettingsError unless the field can be used as it is."""
        _settings(runtime_env_dict)

    def get_uris(self, runtime_env: Any) -> list[str]:
        """Return what Ray counts the users of: the archive's file in the node cache.

        Ray asks this of every runtime environment, before it validates any.
        """
        if not runtime_env.get(FIELD):
            return []
        try:
            settings = _settings(runtime_env)
        except SettingsError:
            return []
        if settings.cache_mode == "memory":  # then there is nothing to fetch ahead
            return []
        return [_archive_path(settings)]

    async def create(
        self,
        uri: str | None,
        runtime_env: Any,
        context: Any,  # noqa: ARG002
        logger: logging.Logger,
    ) -> float:
        """Fetch the archive; return the bytes it takes on the node's disk.

        Raises what kept it from arriving, which fails the environment.
        """
        if uri is None:
            return 0
        settings = _settings(runtime_env)
        # Other environments are waiting for this loop.
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(None, fetch_ahead, settings, logger)
        except LazyImportError as error:
            logger.error("lazyimport: %s: %s", type(error).__name__, error)  # noqa: TRY400 - the traceback follows in Ray's own line
            raise error from None

    def modify_context(
        self,
        uris: list[str],  # noqa: ARG002
        runtime_env: Any,
        context: Any,
        logger: logging.Logger,  # noqa: ARG002
    ) -> None:
        """Let the workers of this environment run the archive."""
        settings = _settings(runtime_env)
        named = {name: getattr(settings, name) for name in runtime_env[FIELD]}
        context.env_vars.update(variables(named))

    def delete_uri(self, uri: str, logger: logging.Logger) -> float:
        """Remove an archive that no environment needs; return its bytes.

        If a process still uses it, its file goes, and what was materialized of it
        stays for the cache's own eviction: Ray has stopped counting it.
        """
        from lazyimport.cache.removal import remove_unless_used

        try:
            size = os.stat(uri).st_size
        except FileNotFoundError:
            return 0
        cache, hash = NodeCache.around(uri), os.path.basename(uri)
        try:
            if not remove_unless_used(cache, hash):
                cache.remove(hash)
        except (LazyImportError, OSError) as error:
            logger.warning("lazyimport: cannot remove archive %s: %s", hash, error)
            return 0
        logger.info("lazyimport: removed archive %s, %s bytes", hash, size)
        return size


def fetch_ahead(settings: Settings, logger: logging.Logger) -> int:
    """Fetch an archive into the node cache; return its size there."""
    from lazyimport.delivery.blobs_wanted import obtain_ahead
    from lazyimport.reporting import WARNINGS

    assert settings.hash is not None
    started = time.perf_counter()
    _, fetched = obtain_ahead(settings, WARNINGS)
    logger.info(
        "lazyimport: archive %s from %s: %s bytes fetched in %.0f ms",
        settings.hash,
        redact(settings.store or "the node cache"),
        fetched,
        (time.perf_counter() - started) * 1000,
    )
    return os.stat(_archive_path(settings)).st_size


def _archive_path(settings: Settings) -> str:
    assert settings.hash is not None
    return NodeCache(settings.cache_dir).archive_path(settings.hash)


def _settings(runtime_env: Any) -> Settings:
    return named_settings(runtime_env, os.environ)
