"""The cost of activation for a Ray worker, and of the plugin for a node.

A worker's start is timed from inside, from the moment at which the kernel started the
process to the moment at which its first task runs. Workers without a hash, with a hash,
and with a hash and the plugin take turns, each in a new process. The time of the plugin
is the one that Ray logs for the creation of the environment.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

PLUGINS = '[{"class": "lazyimport.ray.plugin.ArchivePlugin"}]'
KINDS = ("no hash", "hash", "hash and plugin")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    rounds = 2 if arguments.quick else arguments.rounds
    folder = tempfile.mkdtemp(prefix="lzb-", dir="/tmp")  # short, for Ray's sockets
    try:
        measure(folder, rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(folder: str, rounds: int) -> None:
    os.environ.update(
        LAZYIMPORT_CACHE_DIR=f"{folder}/cache",
        RAY_AUTH_MODE="disabled",
        RAY_USAGE_STATS_ENABLED="0",
        RAY_RUNTIME_ENV_PLUGINS=PLUGINS,
    )
    import ray

    import lazyimport.ray

    for number in range(300):
        path = Path(folder, "tree", "app", f"m{number}.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"def f{number}():\n    return {number}\n" * 20)
    store = f"file://{folder}/store"
    with ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=80_000_000,
        log_to_driver=False,
        _temp_dir=folder,
    ):
        env = lazyimport.ray.ship(f"{folder}/tree", store=store)
        hash = env["env_vars"]["LAZYIMPORT_HASH"]
        lazyimport.ray.prefetch(hash, store=store)
        taken: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
        for number in range(rounds):
            for kind in KINDS:
                plugin = kind == "hash and plugin"
                # A variable of its own makes this another environment, so Ray starts
                # another process.
                more = {"env_vars": {"NUMBER": f"{kind} {number}"}}
                if kind == "no hash":
                    environment: dict[str, Any] = more
                else:
                    environment = lazyimport.ray.runtime_env(
                        hash, store=store, plugin=plugin, **more
                    )
                task = ray.remote(look).options(runtime_env=environment)
                taken[kind].append(ray.get(task.remote()))
        log = Path(folder, "session_latest", "logs")
        plugin_log = "".join(
            path.read_text() for path in log.glob("runtime_env_setup-*.log")
        )
    print(f"Ray {ray.__version__}, {rounds} rounds; ms, median and quartiles\n")
    print("| | process start to first task | installing |\n| --- | --- | --- |")
    for kind in KINDS:
        started, installed = zip(*taken[kind], strict=True)
        print(f"| {kind} | {spread(started)} | {spread(installed)} |")
    found = re.findall(r"bytes fetched in (\d+) ms", plugin_log)
    print(f"\nthe plugin, for the one hash: {', '.join(found)}")


def look() -> tuple[float, float]:
    """Return milliseconds since this process was started, and those of installing."""
    import time

    import lazyimport

    with open("/proc/self/stat", encoding="ascii") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])
    started = ticks / os.sysconf("SC_CLK_TCK")
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    return (now - started) * 1000, lazyimport.stats().seconds * 1000


def spread(values: Any) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.1f} [{low:.1f}, {high:.1f}]"


if __name__ == "__main__":
    main()
