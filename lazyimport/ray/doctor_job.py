"""``python -m lazyimport.ray.doctor_job HASH|- STORE|- [--write]``: doctor --address.

It runs in the cluster, and prints a line of JSON for each thing tried on each node.
"""

from __future__ import annotations

import os
import sys

from lazyimport.delivery.doctor import Finding, examine
from lazyimport.settings import Settings


def examine_here(archive: str | None, store: str | None, write: bool) -> list[Finding]:
    """Try what this worker needs to run *archive* from *store*, by default its own."""
    settings = Settings.from_environ(os.environ, store=store)
    return list(examine(settings, archive, environ=os.environ, write=write))


def main(archive: str, store: str, *options: str) -> None:
    """Print what each living node finds."""
    import json
    import logging

    import ray

    from lazyimport.ray.doctor_job import examine_here  # by name, not this program's
    from lazyimport.ray.prefetching import on_each_node

    ray.init(logging_level=logging.ERROR)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    told = [None if text == "-" else text for text in (archive, store)]
    for _, where, answer in on_each_node(nodes, examine_here, *told, bool(options)):
        is_lost = isinstance(answer, Exception)
        lost = [Finding("a task", str(answer).strip(), well=False)]
        for each in lost if is_lost else answer:
            line = json.dumps(each._replace(where=where)._asdict())
            print(line, flush=True)  # noqa: T201 - the job's answer


if __name__ == "__main__":
    main(*sys.argv[1:])
