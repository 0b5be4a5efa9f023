"""A cluster of several nodes, each with a cache of its own: one download each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")
pytest.importorskip("google.cloud.storage", reason="needs the extra 'gcs'")

from lazyimport.ray import ship
from tests.fakes.gcs import FakeGcs
from tests.support.cluster import APPLICATION, PLUGINS, write

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.gcs]

#: arguments as JSON: folder, hashes (one for prefetch, one for the plugin)
PROGRAM = """
import json, os, sys, tempfile, time

import ray
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import lazyimport.ray

folder, by_prefetch, by_plugin = json.loads(sys.argv[1])

def node(number):
    cache = {"LAZYIMPORT_CACHE_DIR": f"{folder}/cache{number}"}
    return cluster.add_node(
        num_cpus=2, num_gpus=0, object_store_memory=80_000_000, env_vars=cache
    )

def workers(hash, **options):
    "What each of two workers of each node says, by node."
    env = lazyimport.ray.runtime_env(hash, **options)
    found = {}
    for each in ray.nodes():
        here = NodeAffinitySchedulingStrategy(each["NodeID"], soft=False)
        task = work.options(scheduling_strategy=here, runtime_env=env)
        meeting = tempfile.mkdtemp(dir=folder)
        found[each["NodeID"]] = [task.remote(meeting) for _ in range(2)]
    return {each: ray.get(refs) for each, refs in found.items()}

@ray.remote(max_retries=0)
def work(meeting):
    import lazyimport
    import my_app
    open(f"{meeting}/{os.getpid()}", "w").close()
    while len(os.listdir(meeting)) < 2:  # the other one runs in another worker
        time.sleep(0.05)
    stats = lazyimport.stats()
    return stats.fetched, os.environ["LAZYIMPORT_CACHE_DIR"], os.getpid()

def media():
    "How often the store was asked for the archive's bytes."
    print(json.dumps("media"), flush=True)
    return json.loads(input())

cluster = Cluster(
    initialize_head=True,
    head_node_args={
        "num_cpus": 2,
        "num_gpus": 0,
        "object_store_memory": 80_000_000,
        "env_vars": {"LAZYIMPORT_CACHE_DIR": f"{folder}/cache0"},
        "temp_dir": f"{folder}/ray",
    },
)
answer = {}
node(1)
ray.init(cluster.address, log_to_driver=False)
first = media()
answer["prefetch"] = [tuple(each) for each in lazyimport.ray.prefetch(by_prefetch)]
answer["again"] = [each.hit for each in lazyimport.ray.prefetch(by_prefetch)]
answer["prefetch asked"] = media() - first
answer["after prefetch"] = workers(by_prefetch)
answer["all asked"] = media() - first
second = media()
answer["plugin"] = workers(by_plugin, plugin=True)
answer["plugin asked"] = media() - second
node(2)
cluster.wait_for_nodes()
answer["joined"] = workers(by_plugin, plugin=True)
answer["joined asked"] = media() - second
print(json.dumps(answer), flush=True)
ray.shutdown()
cluster.shutdown()
"""


def run(folder: str, fake: FakeGcs, hashes: list[str]) -> dict[str, Any]:
    """Run the program, telling it how many downloads there were when it asks."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps([folder, *hashes])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            **fake.environ,
            "LAZYIMPORT_STORE": "gs://bucket/code",
            "RAY_AUTH_MODE": "disabled",
            "RAY_RUNTIME_ENV_PLUGINS": PLUGINS,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_raylet_start_wait_time_s": "240",  # on a busy machine
            # Where its address is written: /tmp/ray is another's, or not there.
            "RAY_TMPDIR": folder,
        },
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        for line in process.stdout:
            if line.startswith('"media"'):
                print(fake.requests["object.media"], file=process.stdin, flush=True)
            elif line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                process.stdin.close()
                return answer
    raise AssertionError(f"no answer, exit code {process.returncode}")


@pytest.mark.timeout(900)
def test_one_download_for_each_node(tmp_path: Path, fake: FakeGcs) -> None:
    """By prefetch(), by the plugin, and by the plugin on a node that joins later."""
    hashes = []
    for version in "AB":
        files = {**APPLICATION, "my_app/__init__.py": f"VERSION = {version!r}\n"}
        env = ship(
            write(files, tmp_path / version),
            store="gs://bucket/code",
            cache_dir=str(tmp_path / "author"),
        )
        hashes.append(env["env_vars"]["LAZYIMPORT_HASH"])
    folder = tempfile.mkdtemp(prefix="lzc-", dir="/tmp")  # short, for Ray's sockets
    try:
        answer = run(folder, fake, hashes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)

    whole = len(fake.objects[f"bucket/code/archives/{hashes[0]}"])
    assert [whole] * 2 == [fetched for _, _, fetched, _, _ in answer["prefetch"]]
    assert [True] * 2 == answer["again"]
    for workers, nodes in (("after prefetch", 2), ("plugin", 2), ("joined", 3)):
        said = answer[workers]
        assert nodes == len(said)
        for (fetched, cache, pid), (fetched_too, same, other) in said.values():
            assert (0, 0, cache) == (fetched, fetched_too, same), workers
            assert pid != other
        caches = {cache for (_, cache, _), _ in said.values()}
        assert {f"{folder}/cache{number}" for number in range(nodes)} == caches
    # A download is one request or more, the same number for each node.
    assert 0 == answer["prefetch asked"] % 2
    assert answer["prefetch asked"] == answer["all asked"]
    each = answer["plugin asked"] // 2
    assert 0 < each * 2 == answer["plugin asked"]
    # The second is a delta to the first, which the node that joined does not have.
    assert each * 4 == answer["joined asked"]
