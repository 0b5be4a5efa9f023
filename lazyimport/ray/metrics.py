"""What a process did, for those who watch the cluster: Ray's metrics, and a log line.

Ray exports the metrics on every node, in the format of Prometheus and with ``ray_``
before the name. Every one has the tag ``hash``: the first 12 digits, or ``unknown``
if a channel could not be read. docs/ray.md lists them.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import threading
import time
from collections.abc import Mapping
from errno import ENOSPC
from typing import Any

from ray.util.metrics import Counter, Gauge, Histogram

from lazyimport.runtime import current, process
from lazyimport.statistics import Stats, fetch_of, stats
from lazyimport.tracing import record
from lazyimport.units import utc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.live import Swap

#: the file, among the logs of Ray's session, with a line of JSON for each worker
LOG_NAME = "lazyimport.log"

_TAGS = ("hash",)
_SECONDS = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300]
#: half of the time after which Ray itself exports metrics
_SECONDS_BETWEEN = 5.0
_lock = threading.Lock()
_told: set[str | None] = set()
#: how far the log says that the archive is, of which there is a part
_said: dict[str, str | None] = {}
#: imports that were counted, by archive
_counted: dict[str, int] = {}


def report() -> Stats:
    """Add what this process did to Ray's metrics and log, once, and return it.

    Its imports since the last call are added each time. Ray must be connected. Every
    worker calls this when it has connected, before its first task, and counts its
    imports from then on. The driver of a job may call it itself.
    """
    now = stats()
    with _lock:
        if (now.hash or now.failure) and now.hash not in _told:
            _told.add(now.hash)
            _count_install(now)
            _trace_install(now)
            _said["fetching"] = "nothing yet"
            _log_progress(now)
            _gauge_fetch()
    _count_imports()
    return now


def keep_reporting() -> None:
    """Count the imports of this process from now on, in a thread of its own.

    What fails, as the log does on a full disk, is tried again, and ends nothing else.
    """

    def work() -> None:
        said = ""
        while True:
            time.sleep(_SECONDS_BETWEEN)
            # the last one each time: Ray forgets what it has exported
            for each in (_count_imports, _log_progress, _gauge_fetch):
                try:
                    each()
                except Exception as error:  # noqa: BLE001 - the next time it may work
                    if repr(error) != said:
                        said = repr(error)
                        process.reporter.warn(f"cannot report, and tries again: {said}")

    if current() is not None:
        threading.Thread(target=work, name="lazyimport", daemon=True).start()


def report_swap(swap: Swap, **where: Any) -> None:
    """Tell what came of a swap in the replica *where*: to its log, metrics and ours."""
    logger = logging.getLogger("ray.serve")
    if swap.state == "refused":
        logger.error("lazyimport: live: %s is refused: %s", swap.hash, swap.reason)
    else:
        logger.info("lazyimport: live: %s is %s", swap.hash, swap.state)
    _count(f"swaps_{swap.state}", "Wishes for another version.", swap.hash)
    facts = {
        "state": swap.state,
        "reason": swap.reason,
        "modules": swap.modules,
        "kept": swap.kept,
        "milliseconds": {k: round(v * 1000, 1) for k, v in swap.seconds.items()},
    }
    _write({"hash": swap.hash, "live": {**where, **facts}})


def count_fetch(hash: str | None, fetched: int, *, failed: bool = False) -> None:
    """Count a download of *fetched* bytes, or that the node needed none."""
    if failed:
        _count("failures", "Archives that could not be fetched.", hash)
    elif fetched:
        _count("fetches", "Downloads into a node cache.", hash)
        _count("fetched_bytes", "Bytes downloaded.", hash, fetched)
    else:
        _count("cache_hits", "Archives that the node had.", hash)


def _count_install(now: Stats) -> None:
    count_fetch(now.hash, now.fetched, failed=now.failure is not None)
    if now.failure is None:
        _count("installs", "Processes that run the archive.", now.hash)
        _install_seconds().observe(now.seconds, _tags(now.hash))


def _trace_install(now: Stats) -> None:
    """Record the span of installing, which was over before Ray set up its tracing."""
    installation = current()
    if installation is not None and not installation.traced:
        facts = {"hash": now.hash, "bytes": now.fetched}
        record("install", installation.began, now.seconds, **facts)


def _log_progress(now: Stats | None = None) -> None:
    """Log how far the archive is that this process runs from, until it is whole."""
    if _said.get("fetching"):
        now = now or stats()
        if now.fetching != _said["fetching"]:
            _log(now)
            _said["fetching"] = now.fetching


def _gauge_fetch() -> None:
    installation = current()
    if installation is not None:
        progress = fetch_of(installation)
        if progress is not None:
            ratio = progress.ratio
        elif (tree := installation.opened) and tree.archive.is_coming:
            return  # nobody fetches the rest now
        else:
            ratio = 1.0
        _fetched_ratio().set(ratio, _tags(installation.hash))


def _count_imports() -> None:
    installation = current()
    if installation is None or (tree := installation.opened) is None:
        return
    hash, loads = installation.hash, tree.loads
    with _lock:
        new = loads[_counted.get(hash, 0) :]
        _counted[hash] = _counted.get(hash, 0) + len(new)
    if new:
        _count("imports", "Imports from the archive.", hash, len(new))
        _count("import_seconds", "Loading for them.", hash, sum(new))


def _log(now: Stats) -> None:
    facts = {
        "hash": now.hash,
        "store": now.store,
        "cache_hit": now.cache_hit,
        "fetched": now.fetched,
        "fetching": now.fetching,
        "milliseconds": round(now.seconds * 1000, 1),
        "failure": now.failure,
    }
    _write(facts)


def _write(facts: Mapping[str, object]) -> None:
    from ray._private import worker

    node = getattr(worker, "_global_node", None)
    if node is None:
        return
    me = {"pid": os.getpid(), "worker": worker.global_worker.worker_id.hex()}
    line = {"time": utc(time.time()), **me, **facts}
    path = os.path.join(node.get_logs_dir_path(), LOG_NAME)
    data = json.dumps(line).encode() + b"\n"
    with open(path, "ab+", buffering=0) as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a full disk took only a part of the last line
                data = b"\n" + data
        if file.write(data) < len(data):  # one write: one line
            raise OSError(ENOSPC, os.strerror(ENOSPC), path)


def _count(name: str, text: str, hash: str | None, amount: float = 1) -> None:
    _counter(name, text).inc(amount, _tags(hash))


def _tags(hash: str | None) -> dict[str, str]:
    return {"hash": hash[:12] if hash else "unknown"}


# Ray registers a metric when it is made, so each is made once, when first needed.


@functools.cache
def _counter(name: str, text: str) -> Any:
    return Counter(f"lazyimport_{name}", text, tag_keys=_TAGS)


@functools.cache
def _fetched_ratio() -> Any:
    text = "How much of the archive the node has, from 0 to 1."
    return Gauge("lazyimport_fetched_ratio", text, _TAGS)


@functools.cache
def _install_seconds() -> Any:
    text = "Installing, download included."
    return Histogram("lazyimport_install_seconds", text, _SECONDS, _TAGS)
