"""Prefetching: every node of the cluster fetches an archive, with one task each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lazyimport.errors import DeliveryError, LazyImportError
from lazyimport.registry.gc_lock import claim
from lazyimport.registry.opening import store_of
from lazyimport.reporting import SILENT, Reporter
from lazyimport.settings import Settings
from lazyimport.values import check_hash


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

    def __str__(self) -> str:
        how = "had it" if self.hit else f"{self.fetched:,} bytes"
        return f"{self.address}, {self.error or how}, {self.milliseconds:.0f} ms"


def prefetch(
    hash: str,
    *,
    store: str | None = None,
    timeout: float | None = None,
    reporter: Reporter = SILENT,
) -> list[NodeFetch]:
    """Bring the archive *hash* to every living node of the cluster, all at once.

    Ray must be connected. *store* is the URL to fetch from, by default each
    node's own ``LAZYIMPORT_STORE``; each node uses its own node cache and gives
    up after *timeout* seconds (default: its ``LAZYIMPORT_TIMEOUT``). *reporter*
    gets a step for each node that is done. Where this process may write to the store,
    the archive counts as pushed now, so that no garbage collection deletes it.

    Returns the results of all nodes. Raises DeliveryError, with them as
    ``results``, if a node could not get the archive, or has another Python or
    platform than it is for; the others have it then.
    """
    settings = Settings.from_environ(
        os.environ, hash=check_hash(hash), store=store, timeout=timeout
    )
    if settings.store:
        try:
            claim(store_of(settings), hash)
        except LazyImportError:
            pass  # the nodes that need the store say what is wrong with it
    results = []
    nodes = [node for node in ray.nodes() if node["Alive"]]
    for node, address, answer in on_each_node(nodes, fetch_here, hash, store, timeout):
        is_lost = isinstance(answer, Exception)
        told = (0, 0.0, str(answer).strip()) if is_lost else answer
        result = NodeFetch(node, address, *told)
        results.append(result)
        reporter.step(str(result), len(results), len(nodes))
    failed = [result for result in results if result.error]
    if failed:
        reasons = "\n".join(f"  {each.address}: {each.error}" for each in failed)
        raise DeliveryError(
            f"{len(failed)} of {len(results)} nodes do not have archive {hash}:\n"
            f"{reasons}",
            results=results,
        )
    return results


def on_each_node(
    nodes: list[dict[str, Any]], function: Callable[..., Any], *arguments: Any
) -> Iterator[tuple[str, str, Any]]:
    """Yield id and address of each of *nodes*, and what *function* returns there.

    They come as they are done. Where a node is lost, it is the RayError.
    """
    task_of = ray.remote(num_cpus=0, max_retries=0)(function)
    waiting = {}
    for node in nodes:
        here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        task = task_of.options(scheduling_strategy=here).remote(*arguments)
        waiting[task] = (node["NodeID"], node["NodeManagerAddress"])
    while waiting:
        (task,), _ = ray.wait(list(waiting), num_returns=1)
        where = waiting.pop(task)
        try:
            yield *where, ray.get(task)
        except ray.exceptions.RayError as lost:
            yield *where, lost


def fetch_here(
    hash: str, store: str | None, timeout: float | None
) -> tuple[int, float, str | None]:
    """Fetch into the cache of this node: bytes, milliseconds, what went wrong."""
    from lazyimport.delivery.blobs_wanted import obtain_ahead
    from lazyimport.delivery.compatibility import require_fit
    from lazyimport.delivery.contents import read_contents
    from lazyimport.delivery.obtaining import require_signed
    from lazyimport.ray.metrics import count_fetch
    from lazyimport.reporting import WARNINGS

    started = time.perf_counter()
    fetched, why = 0, None
    try:
        settings = Settings.from_environ(
            os.environ, hash=hash, store=store, timeout=timeout
        )
        if settings.cache_mode == "memory":
            why = "it keeps no archives (LAZYIMPORT_CACHE_MODE=memory)"
        else:
            _, fetched = obtain_ahead(settings, WARNINGS)
            require_fit(read_contents(hash, settings))
            if settings.require_signature:
                require_signed(settings)
    except LazyImportError as error:
        why = f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - started
    count_fetch(hash, fetched, failed=why is not None)
    return fetched, seconds * 1000, why
