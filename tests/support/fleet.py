"""A store and nodes, whose processes fetch, import, and log what they downloaded."""

from __future__ import annotations

import os
import subprocess
import sys

from lazyimport.cache.node import NodeCache
from lazyimport.delivery.publish import Published, publish
from lazyimport.settings import Settings
from lazyimport.stores import open_store, writable
from tests.support.compare_importers import pack_tree, write_tree
from tests.support.late_activation import HASH_FOR_LATER, SET_HASH
from tests.support.scale import scaled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BUSY", "PROGRAM", "Fleet", "output_of"]

#: Runs in every process, the fetchers too, before anything else: logs what comes from
#: the store. The first that is to die does so when some of an object has come.
HOOK = """
import os, signal
if os.environ.get("LOG"):
    from lazyimport.stores.file import FileStore
    receive = FileStore._receive
    def counted(self, attempt, write, start, end):
        came = 0
        def count(data):
            nonlocal came
            came += len(data)
            write(data)
            if os.environ.get("DIE") and not os.path.exists(os.environ["DIE"]):
                open(os.environ["DIE"], "x").close()
                os.kill(os.getpid(), signal.SIGKILL)
        receive(self, attempt, count, start, end)
        log = os.open(os.environ["LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(log, f"{attempt.key} {came}\\n".encode())
        os.close(log)
    FileStore._receive = counted
"""
#: Imports, reads a data file, and prints both.
PROGRAM = """
import lazyimport
lazyimport.install()
import shop.plain, shop.looks
with open(shop.looks.data, "rb") as file:
    print(shop.plain.VALUE, len(file.read()))
"""
#: Deletes everything, then fetches, transcodes, materializes and makes room.
#: SIGALRM kills at any instruction, as SIGKILL does, but needs no other process.
BUSY = """
import os, signal, sys, time
import lazyimport, lazyimport.runtime, lazyimport.delivery.fetch
from lazyimport.cache.node import NodeCache
from lazyimport.cache.evict import clear, shrink
from lazyimport.delivery.fetch import fetch
from lazyimport.settings import Settings
import lazyimport.format.codec, lazyimport.cache.materialize, shutil
cache = NodeCache(os.environ["LAZYIMPORT_CACHE_DIR"])
began = time.perf_counter()
signal.setitimer(signal.ITIMER_REAL, float(os.environ["AFTER"]))
shrink(cache, "1B")
lazyimport.install()
import shop.plain, shop.looks
lazyimport.uninstall()
settings = Settings.from_environ(os.environ)
fetch(settings, os.environ["OTHER"])
shrink(cache, "1B")
signal.setitimer(signal.ITIMER_REAL, 0)
print(time.perf_counter() - began)
"""


class Fleet:
    """Two pushed versions, the second as a delta to the first, and nodes for them."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.url = f"file://{base}/store"
        self.log = base / "log"
        files = {f"shop/m{n}.py": f"def f():\n    return {n}\n" for n in range(40)}
        write_tree(
            {
                **files,
                "shop/__init__.py": "",
                "shop/looks.py": "data = __file__[:-8] + 'data.bin'\n",
                "shop/data.bin": os.urandom(300_000),
            },
            base / "tree",
        )
        hooks = base / "hooks"
        hooks.mkdir()
        (hooks / "sitecustomize.py").write_text(HOOK)
        self.hooks = f"{hooks}:{os.environ.get('PYTHONPATH', '')}".rstrip(":")
        self.first = self.push("first")
        self.second = self.push("second")
        assert self.second.kind == "delta"

    def push(self, value: str) -> Published:
        author = NodeCache(str(self.base / "author"))
        (self.base / "tree/shop/plain.py").write_text(f"VALUE = {value!r}\n")
        archive = author.open(pack_tree(self.base / "tree", self.base / "author"))
        assert archive is not None
        return publish(archive, writable(open_store(self.url)), author)

    def settings(self, node: str, **changes: str) -> Settings:
        values = {"store": self.url, "cache_dir": str(self.base / node), **changes}
        return Settings(**values)  # type: ignore[arg-type]

    def start(
        self, node: str, hash_: str, program: str = PROGRAM, **environ: str
    ) -> subprocess.Popen[str]:
        """Start a process on *node* that runs *program* with the archive *hash_*."""
        return subprocess.Popen(
            [sys.executable, "-c", SET_HASH + program],
            env={
                **os.environ,
                HASH_FOR_LATER: hash_,
                "LAZYIMPORT_STORE": self.url,
                "LAZYIMPORT_CACHE_DIR": str(self.base / node),
                "LOG": str(self.log),
                "PYTHONPATH": self.hooks,
                **environ,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def downloads(self) -> dict[str, int]:
        """Return by hash how many bytes of an archive answers brought to their end."""
        found: dict[str, int] = {}
        for line in self.log.read_text().splitlines() if self.log.exists() else ():
            key, size = line.split()
            hash = key.rpartition("/")[2]
            found[hash] = found.get(hash, 0) + int(size)
        return found


def output_of(child: subprocess.Popen[str]) -> str:
    """Return what a child printed, or its exit code and errors if it failed."""
    out, errors = child.communicate(timeout=scaled(250, 3000))
    return out if child.returncode == 0 else f"{child.returncode}: {errors}"
