"""Where the demo's code runs: in plain processes of Python, or in a local Ray."""

from __future__ import annotations

import glob
import logging
import os
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor as Pool
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import active_children, get_context

from lazyimport import Stats, install, stats
from lazyimport.ray import runtime_env

#: what a function of the shop returned, from which file, in which process; its stats
Answer = tuple[str, str, int, Stats]

_PATIENCE = 300  # seconds: a busy machine takes minutes to start Ray's workers
_INTERRUPTIONS = {signal.SIGINT, signal.SIGTERM}
#: Ray (2.60) starts workers with env_vars by bash -c, its Python's path unquoted.
_SPLITS = frozenset(" \t\n\"'\\$&;()<>|`*?[]{}~#!")


def call(hash: str, name: str, kind: str, count: int) -> Answer:
    """Call a function of the shop, which only the archive *hash* has."""
    install(hash)  # does nothing where it runs already
    orders = import_module("demo_shop.orders")
    answer = getattr(orders, name)(kind, count)
    return str(answer), str(orders.__file__), os.getpid(), stats()


class Workers:
    """Plain processes, one for each hash; *folder* tells ours from those of others."""

    name = "in plain processes"
    usage = 'lazyimport.install("{}..")'
    actor, sell = "process", "sell"

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._pools: dict[str, Pool] = {}

    def start(self) -> str:
        """Start, and return what was started."""
        return f"Python {sys.version.split()[0]}"

    def run(self, hash: str, name: str, orders: list[tuple[str, int]]) -> list[Answer]:
        """Call the function *name* of the archive *hash* once for each of *orders*."""
        if hash not in self._pools:
            self._pools[hash] = Pool(1, get_context("spawn"))
        # A process that starts here is deaf to these, which are for us.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTIONS)
        tasks = [self._pools[hash].submit(call, hash, name, *order) for order in orders]
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return [task.result(_PATIENCE) for task in tasks]

    def stop(self) -> None:
        """End what was started; may be called at any time."""
        with suppress(Exception):
            sys.modules["ray"].shutdown()
        for process in active_children():
            process.kill()
        for _ in range(3):  # they may be starting others
            for path in glob.glob("/proc/[0-9]*/cmdline"):
                with suppress(OSError), open(path, "rb") as file:
                    if os.fsencode(self._folder) in file.read():
                        os.kill(int(path.split("/")[2]), signal.SIGKILL)
            time.sleep(0.1)


class RayWorkers(Workers):
    """A Ray of our own in *folder*, a short path: its sockets will be there."""

    name = "on Ray"
    usage = 'task.options(runtime_env=lazyimport.ray.runtime_env("{}.."))'
    actor, sell = "actor", "sell_by_actor"

    def start(self) -> str:
        """Start, and return what was started."""
        os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0")
        os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
        import ray

        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=80_000_000,
            log_to_driver=False,
            logging_level=logging.ERROR,
            namespace="demo",
            _temp_dir=self._folder,
        )
        return f"Ray {ray.__version__} with 2 CPUs"

    def run(self, hash: str, name: str, orders: list[tuple[str, int]]) -> list[Answer]:
        """Call the function *name* of the archive *hash* once for each of *orders*."""
        import ray

        task = ray.remote(runtime_env=runtime_env(hash), max_retries=0)(call)
        answers = [task.remote(hash, name, *order) for order in orders]
        return list(ray.get(answers, timeout=_PATIENCE))


def why_not_ray() -> str:
    """Return why this machine cannot show the demo with Ray; "" if it can."""
    if getattr(find_spec("ray"), "origin", None) is None:  # a folder has none
        return "Ray is not installed: pip install 'ray[default]' (up to Python 3.14)"
    if any(c in _SPLITS for c in sys.executable):
        return f"Ray starts no workers by a path like {sys.executable!r}"
    if not any(os.path.isfile(f"{path}/lazyimport.pth") for path in sys.path):
        return "Ray's workers need lazyimport installed, with its lazyimport.pth"
    return ""
