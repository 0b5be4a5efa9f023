"""``python -m lazyimport.ray.describe_job``: what ``deploy --check`` runs.

It runs in the cluster, and prints a line of JSON for each node: the Python there.
"""

from __future__ import annotations

from lazyimport.delivery.compatibility import this_python


def main() -> None:
    """Print which Python each living node has."""
    import json
    import logging

    import ray

    from lazyimport.ray.prefetching import on_each_node

    ray.init(logging_level=logging.ERROR)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    for _, address, answer in on_each_node(nodes, this_python):
        if isinstance(answer, Exception):
            raise SystemExit(f"node {address} was lost: {answer}")
        found = answer._replace(where=f"node {address}")
        print(json.dumps(found._asdict()), flush=True)  # noqa: T201 - the job's answer


if __name__ == "__main__":
    main()
