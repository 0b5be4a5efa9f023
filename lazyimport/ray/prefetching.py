"""Prefetching: every node of the cluster fetches an archive, with one task each."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lazyimport.errors import DeliveryError, LazyImportError
from lazyimport.settings import Settings, check_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["NodeFetch", "prefetch"]


class NodeFetch(NamedTuple):
    """What prefetching did on one node.

    ``node`` is Ray's id of it and ``address`` its IP address. ``fetched`` counts
    the bytes downloaded, 0 if the node had the archive; ``milliseconds`` is the
    time that took. ``error`` says why the node does not have it, None if it has.
    """

    node: str
    address: str
    fetched: int = 0
    milliseconds: float = 0.0
    error: str | None = None

    @property
    def hit(self) -> bool:
        """Whether the node had the archive."""
        return self.error is None and self.fetched == 0


def prefetch(
    hash: str,
    *,
    store: str | None = None,
    timeout: float | None = None,
    progress: Callable[[NodeFetch, int, int], object] = lambda *_: None,
) -> list[NodeFetch]:
    """Bring the archive *hash* to every living node of the cluster, all at once.

    Ray must be connected. *store* is the URL to fetch from, by default each
    node's own ``LAZYIMPORT_STORE``; each node uses its own node cache and gives
    up after *timeout* seconds (default: its ``LAZYIMPORT_TIMEOUT``). *progress*
    is called with each node's result, how many are done, and of how many.

    Returns the results of all nodes. Raises DeliveryError, with them as
    ``results``, if a node could not get the archive; the others have it then.
    """
    check_hash(hash)
    Settings(hash, store, timeout=timeout)
    alive = [node for node in ray.nodes() if node["Alive"]]
    waiting: dict[Any, tuple[str, str]] = {}
    for node in alive:
        here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        task = ray.remote(fetch_here).options(
            num_cpus=0, max_retries=0, scheduling_strategy=here
        )
        where = (node["NodeID"], node["NodeManagerAddress"])
        waiting[task.remote(hash, store, timeout)] = where
    results: list[NodeFetch] = []
    while waiting:
        (done,), _ = ray.wait(list(waiting), num_returns=1)
        result = _result(done, *waiting.pop(done))
        results.append(result)
        progress(result, len(results), len(alive))
    failed = [result for result in results if result.error]
    if failed:
        reasons = "\n".join(f"  {each.address}: {each.error}" for each in failed)
        raise DeliveryError(
            f"{len(failed)} of {len(results)} nodes do not have archive {hash}:\n"
            f"{reasons}",
            results=results,
        )
    return results


def _result(done: Any, node: str, address: str) -> NodeFetch:
    try:
        fetched, milliseconds, error = ray.get(done)
    except ray.exceptions.RayError as lost:
        return NodeFetch(node, address, error=str(lost).strip())
    return NodeFetch(node, address, fetched, milliseconds, error)


def fetch_here(
    hash: str, store: str | None, timeout: float | None
) -> tuple[int, float, str | None]:
    """Fetch into the cache of this node: bytes, milliseconds, what went wrong."""
    from lazyimport.delivery.fetch import fetch
    from lazyimport.ray.metrics import count_fetch

    started = time.perf_counter()
    fetched, why = 0, None
    try:
        settings = Settings.from_environ(
            os.environ, hash=hash, store=store, timeout=timeout
        )
        if settings.cache_mode == "memory":
            why = "it keeps no archives (LAZYIMPORT_CACHE_MODE=memory)"
        else:
            _, fetched = fetch(settings, hash, ahead=True)
    except LazyImportError as error:
        why = f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - started
    count_fetch(hash, fetched, failed=why is not None)
    return fetched, seconds * 1000, why
