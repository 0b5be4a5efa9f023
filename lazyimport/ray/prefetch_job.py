"""``python -m lazyimport.ray.prefetch_job HASH [STORE]``: what --prefetch runs.

It runs in the cluster, prints a line for each node, and fails if one does not have
the archive at the end.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.ray.prefetching import NodeFetch

__all__ = ["main"]


def main(hash: str, store: str | None = None) -> int:
    """Bring the archive *hash* to every node, and tell about it."""
    import logging

    import ray

    from lazyimport.errors import LazyImportError
    from lazyimport.ray import prefetch

    ray.init(logging_level=logging.ERROR)
    try:
        prefetch(hash, store=store, progress=_tell)
    except LazyImportError as error:
        print(error)  # noqa: T201 - the job's log is shown to the person
        return 1
    return 0


def _tell(node: NodeFetch, done: int, total: int) -> None:
    how = "had it" if node.hit else f"{node.fetched:,} bytes"
    print(  # noqa: T201 - as above
        f"prefetched to {done} of {total} nodes: {node.address}, "
        f"{node.error or how}, {node.milliseconds:.0f} ms",
        flush=True,
    )


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
