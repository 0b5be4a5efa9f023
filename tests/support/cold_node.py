"""A node that does not have an archive, and a server that sends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from lazyimport.cache.node import NodeCache
from lazyimport.cache.progress import read_progress
from lazyimport.cache.verify import verify
from lazyimport.registry.layout import archive_key
from lazyimport.settings import Settings
from tests.support.late_activation import HASH_FOR_LATER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tests.support.shaped import Shaped


class ColdNode:
    """A node without an archive, and a shaped server that has it."""

    def __init__(
        self, base: Path, server: Shaped, url: str, hash: str, **settings: object
    ) -> None:
        self._settings = settings
        self.base = base
        self.server = server
        self.url = url
        self.hash = hash
        self.cache = NodeCache(str(base / "node"))
        self.object = base / "store" / archive_key(hash)

    def settings(self, **changes: object) -> Settings:
        values = {"store": self.url, "cache_dir": self.cache.path, **self._settings}
        values.update(changes)
        return Settings(**{"hash": self.hash, **values})  # type: ignore[arg-type]

    def start(self, program: str, **environ: str) -> subprocess.Popen[str]:
        settings = self.settings().to_environ()
        if HASH_FOR_LATER in environ:
            del settings["LAZYIMPORT_HASH"]
        return subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, **settings, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def fetchers(self) -> list[int]:
        """Return the processes that have the lock of the archive open and fetch.

        They have a session of their own: they have left the process that started them.
        """
        found = []
        for name in os.listdir("/proc"):
            try:
                command = Path(f"/proc/{name}/cmdline").read_bytes()
                lock = os.readlink(f"/proc/{name}/fd/2")
                is_detached = os.getsid(int(name)) == int(name)
            except (OSError, ValueError):
                continue
            is_ours = lock == self.cache.lock_path(self.hash) and is_detached
            if is_ours and b"delivery.fetcher" in command:
                found.append(int(name))
        return found

    def kill_fetcher(self) -> None:
        """Kill the process that fetches, if there is one and it has not ended yet."""
        for fetcher in self.fetchers()[:1]:
            with suppress(ProcessLookupError):
                os.kill(fetcher, signal.SIGKILL)

    def wait_for(self, percent: int) -> int:
        """Wait until so much has come; return the process that fetches."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            progress, found = read_progress(self.cache, self.hash), self.fetchers()
            far = progress and 100 * progress.done >= percent * max(progress.total, 1)
            if len(found) == 1 and far:
                return found[0]
            time.sleep(0.01)
        raise AssertionError

    def is_left_alone(self) -> None:
        """Nobody fetches any more, and the cache has the one archive, whole."""
        deadline = time.monotonic() + 60
        while self.fetchers() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert self.fetchers() == []
        assert os.listdir(self.cache.folder("archives")) == [self.hash]
        assert verify(self.cache, remove=False).damages == []
