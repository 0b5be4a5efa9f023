"""``python -m lazyimport.ray.prefetch_job HASH [STORE]``: what --prefetch runs.

It runs in the cluster, prints a line for each node, and fails if one does not have
the archive at the end.
"""

from __future__ import annotations

import sys

from lazyimport.errors import LazyImportError
from lazyimport.reporting import Reporter


def main(hash: str, store: str | None = None) -> int:
    """Bring the archive *hash* to every node; return the exit code."""
    import logging

    import ray

    from lazyimport.ray import prefetch

    ray.init(logging_level=logging.ERROR)
    try:
        prefetch(hash, store=store, reporter=_Printer())
    except LazyImportError as error:
        print(error)  # noqa: T201 - the job's log is shown to the person
        return 1
    return 0


class _Printer(Reporter):
    def step(
        self, text: str, done: object = None, total: object = None, *_: str
    ) -> None:
        """Print that one more node is done."""
        print(f"prefetched to {done} of {total} nodes: {text}", flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
