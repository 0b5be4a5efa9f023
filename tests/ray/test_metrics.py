"""What a worker did can be seen: in Ray's metrics, in a log, by stats()."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lazyimport.ray import runtime_env, ship
from tests.support.cluster import APPLICATION, Cluster, write
from tests.support.prometheus import PROGRAM, Prometheus, expressions

ray = pytest.importorskip("ray")

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]


def wait_for(cluster: Cluster, *samples: str) -> str:
    """Return the node's metrics when each of *samples*, expressions, is in them."""
    deadline = time.monotonic() + 90
    while True:
        text = cluster.metrics()
        missing = [each for each in samples if not re.search(each, text, re.MULTILINE)]
        if not missing:
            return text
        ours = "\n".join(re.findall("^ray_lazyimport_.*", text, re.MULTILINE))
        assert time.monotonic() < deadline, (missing, ours)
        time.sleep(0.5)


def sample(name: str, hash: str, value: str) -> str:
    return rf'^ray_lazyimport_{name}\{{.*hash="{hash[:12]}".*\}} {value}$'


def test_a_worker_loads_nothing_of_live_code() -> None:
    program = """
import sys
import lazyimport.ray.metrics, lazyimport.ray.worker
assert not [name for name in sys.modules if name.startswith("lazyimport.live")]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.fixture(scope="module", name="store")
def _store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of its own, in which no other test has put what could be a base."""
    return f"file://{tmp_path_factory.mktemp('store')}"


@pytest.fixture(scope="module", name="env")
def _env(store: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    tree = write({**APPLICATION, "metrics.py": ""}, tmp_path_factory.mktemp("metrics"))
    cache = str(tmp_path_factory.mktemp("author"))
    return ship(tree, store=store, cache_dir=cache)


def test_workers_report(env: dict[str, Any], store: str, cluster: Cluster) -> None:
    """One that fetched, one that did not have to, and one that failed."""
    hash, bad = env["env_vars"]["LAZYIMPORT_HASH"], "d" * 64

    class Worker:
        def work(self) -> Any:
            import lazyimport

            before = lazyimport.stats()
            if before.failure is None:
                import my_app.work  # type: ignore[import-not-found]  # noqa: F401
            return before, lazyimport.stats()

    def start(env: dict[str, Any]) -> Any:
        worker = ray.remote(Worker).options(runtime_env=env).remote()
        return worker, ray.get(worker.work.remote())

    with ray.init(address=cluster.address, log_to_driver=False):
        one, (at_start, first) = start(env)
        two, (_, second) = start(env)
        three, (_, failed) = start(runtime_env(bad, store=store))
        wait_for(
            cluster,
            sample("installs_total", hash, r"1\.0"),
            sample("fetches_total", hash, r"1\.0"),
            sample("fetched_bytes_total", hash, rf"{first.fetched}\.0"),
            sample("cache_hits_total", hash, r"1\.0"),
            sample("install_seconds_count", hash, r"1\.0"),
            sample("failures_total", bad, r"1\.0"),
            sample("fetched_ratio", hash, r"1\.0"),
            sample("imports_total", hash, r"2\.0"),
            sample("import_seconds_total", hash, r"(?!0\.0$)\S+"),
        )
        del one, two, three

    stored = Path(store.removeprefix("file://"), "archives", hash)
    assert stored.stat().st_size == first.fetched
    assert (0, 2) == (at_start.modules, first.modules)
    assert (0, 2) == (at_start.imports, first.imports)
    assert 0 < first.import_seconds < 1
    assert (False, True) == (first.cache_hit, second.cache_hit)
    assert 0 < second.seconds
    assert 0 < second.read < 10_000
    assert bad == failed.hash
    assert "ArchiveMissing" in failed.failure

    lines = [json.loads(line) for line in cluster.log("lazyimport.log").splitlines()]
    mine = [line for line in lines if line["hash"] == hash]
    assert [first.fetched, 0] == [line["fetched"] for line in mine]
    assert [False, True] == [line["cache_hit"] for line in mine]
    assert {store} == {line["store"] for line in mine}
    (worst,) = [line for line in lines if line["hash"] == bad]
    assert "ArchiveMissing" in worst["failure"]


def test_a_log_that_cannot_be_written_ends_no_metrics(
    store: str, cluster: Cluster, tmp_path: Path
) -> None:
    """What it lacks is logged later, when it can be, as on a disk that was full.

    Of the last line, that disk may have taken a part.
    """
    tree = write({**APPLICATION, "unwritten.py": ""}, tmp_path / "tree")
    env = ship(tree, store=store, cache_dir=str(tmp_path / "author"))
    hash = env["env_vars"]["LAZYIMPORT_HASH"]
    log = Path(cluster.folder, "session_latest", "logs", "lazyimport.log")
    log.touch()
    aside = log.rename(log.with_suffix(".aside"))
    log.mkdir()

    class Worker:
        def work(self) -> None:
            import my_app.work  # noqa: F401

    try:
        with ray.init(address=cluster.address, log_to_driver=False):
            worker = ray.remote(Worker).options(runtime_env=env).remote()
            ray.get(worker.work.remote())
            wait_for(cluster, sample("imports_total", hash, r"[12]\.0"))
            log.rmdir()
            with aside.open("a") as file:
                file.write('{"pid": 1, "ha')
            aside.rename(log)
            deadline = time.monotonic() + 60
            while f'"hash": "{hash}"' not in cluster.log("lazyimport.log"):
                assert time.monotonic() < deadline
                time.sleep(0.5)
            del worker
        [line] = [x for x in cluster.log("lazyimport.log").splitlines() if hash in x]
        assert json.loads(line)["cache_hit"] is False
    finally:
        if aside.exists():
            log.rmdir()
            aside.rename(log)


@pytest.mark.skipif(PROGRAM is None, reason="no Prometheus here")
def test_the_dashboard_shows_what_prometheus_scrapes(
    env: dict[str, Any], cluster: Cluster, tmp_path: Path
) -> None:
    """The files of examples/monitoring, but for the address of the dashboard."""
    hash, hit = env["env_vars"]["LAZYIMPORT_HASH"], "ray_lazyimport_cache_hits_total"
    discovery = f"{cluster.dashboard}/api/prometheus/sd"
    if not cluster.lists_nodes_for_prometheus():
        pytest.skip("the dashboard of this Ray does not list its nodes")

    class Worker:
        def work(self) -> None:
            import my_app.work  # noqa: F401

    with (
        ray.init(address=cluster.address, log_to_driver=False),
        Prometheus(tmp_path / "prometheus", discovery) as prometheus,
    ):
        kind = ray.remote(Worker).options(runtime_env=env)
        workers = [kind.remote() for _ in range(2)]
        ray.get([worker.work.remote() for worker in workers])
        prometheus.wait_for(f'ray_lazyimport_imports_total{{hash="{hash[:12]}"}}')
        prometheus.wait_for(f'ray_lazyimport_fetched_ratio{{hash="{hash[:12]}"}}')
        prometheus.wait_for(f'sum({hit}{{hash="{hash[:12]}"}}) > 0')
        panels = {
            name: prometheus.query(expression)
            for name, expression in expressions().items()
            if name.startswith("panel")
        }
        rules = prometheus.rules()
        del workers

    assert [] == [name for name, found in panels.items() if not found]
    assert {"ok"} == {rule["health"] for rule in rules}
