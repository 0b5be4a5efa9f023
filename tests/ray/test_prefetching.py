"""Each node fetches an archive once: the runtime-env plugin, and prefetch()."""

from __future__ import annotations

import itertools
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lazyimport.errors import CacheError, DeliveryError, SettingsError
from lazyimport.ray import runtime_env, ship
from lazyimport.reporting import Reporter
from lazyimport.settings import Settings
from tests.support.cluster import APPLICATION, Cluster, write

ray = pytest.importorskip("ray")

from lazyimport.ray import metrics, plugin, prefetch, prefetching as nodes  # noqa: E402
from lazyimport.ray.plugin import ArchivePlugin  # noqa: E402

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

HASH = "0123456789abcdef" * 4
LOGGER = logging.getLogger(__name__)


@pytest.fixture(scope="module", name="connected")
def _connected(cluster: Cluster) -> Iterator[None]:
    with ray.init(address=cluster.address, log_to_driver=False):
        yield


@pytest.fixture(scope="module", name="pushed")
def _pushed(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], str]:
    """Pushes an archive that no node has; returns its hash."""
    tree = write(APPLICATION, tmp_path_factory.mktemp("nodes"))
    cache = str(tmp_path_factory.mktemp("author"))
    numbers = itertools.count()

    def push() -> str:
        (tree / "number.py").write_text(f"NUMBER = {next(numbers)}\n")
        env = ship(tree, store=cluster.store, cache_dir=cache)
        return str(env["env_vars"]["LAZYIMPORT_HASH"])

    return push


@ray.remote(max_retries=0)
def installed() -> Any:
    import lazyimport

    return lazyimport.stats()


def archive_file(cluster: Cluster, hash: str) -> Path:
    return Path(cluster.cache, "archives", hash)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_with_the_plugin_no_worker_downloads(
    connected: None, cluster: Cluster, pushed: Callable[[], str]
) -> None:
    """The node does, before it starts the first, and its log says what."""
    hash = pushed()
    env = runtime_env(hash, store=cluster.store, plugin=True)
    task = installed.options(runtime_env=env)

    stats = ray.get([task.remote() for _ in range(2)])

    assert [(hash, True, 0)] * 2 == [(s.hash, s.cache_hit, s.fetched) for s in stats]
    logs = Path(cluster.folder, "session_latest", "logs").glob("runtime_env_setup-*")
    text = "".join(log.read_text(encoding="utf-8") for log in logs)
    assert text.count(f"lazyimport: archive {hash} from {cluster.store}: ") == 1


def test_the_field_alone_activates(
    connected: None, cluster: Cluster, pushed: Callable[[], str]
) -> None:
    """The plugin sets the variables, for those who write the YAML by hand."""
    hash = pushed()
    env = {"lazyimport": {"hash": hash, "store": cluster.store}}

    stats = ray.get(installed.options(runtime_env=env).remote())
    assert (hash, cluster.store, None) == (stats.hash, stats.store, stats.failure)


def test_what_cannot_be_had_fails_the_environment(
    connected: None, cluster: Cluster
) -> None:
    env = runtime_env(HASH, store=cluster.store, plugin=True)

    with pytest.raises(ray.exceptions.RuntimeEnvSetupError) as caught:
        ray.get(installed.options(runtime_env=env).remote())

    assert f"archive {HASH} is neither in {cluster.store} nor" in str(caught.value)
    assert "push it there" in str(caught.value)


def test_two_hashes_fail_the_environment(connected: None, cluster: Cluster) -> None:
    env = {
        "lazyimport": {"hash": HASH, "store": cluster.store},
        "env_vars": {"LAZYIMPORT_HASH": "f" * 64},
    }
    with pytest.raises(ray.exceptions.RuntimeEnvSetupError, match="remove one of them"):
        ray.get(installed.options(runtime_env=env).remote())


def test_what_no_worker_needs_gives_its_space_back(
    cluster: Cluster, pushed: Callable[[], str]
) -> None:
    """The cluster's limit is 0 bytes: all that is needed stays, nothing else."""
    hash = pushed()
    env = runtime_env(hash, store=cluster.store, plugin=True)
    program = f"""if 1:
        import os, ray
        ray.init({cluster.address!r}, runtime_env={env!r}, log_to_driver=False)

        @ray.remote
        def there():
            return os.path.exists({str(archive_file(cluster, hash))!r})

        print(ray.get(there.remote()))
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    # Before it, Ray 2.40 may print a warning.
    assert "True" == done.stdout.splitlines()[-1], done.stderr
    wait_until(lambda: not archive_file(cluster, hash).exists())


def test_prefetch_brings_it_to_every_node(
    connected: None, cluster: Cluster, pushed: Callable[[], str]
) -> None:
    hash = pushed()
    told: list[tuple[object, ...]] = []
    reporter = Reporter()
    reporter.step = lambda *what: told.append(what)  # type: ignore[method-assign]

    first = prefetch(hash, store=cluster.store, reporter=reporter)
    again = prefetch(hash, store=cluster.store)

    assert archive_file(cluster, hash).exists()
    (node,) = ray.nodes()
    assert [(node["NodeID"], False)] == [(each.node, each.hit) for each in first]
    stored = Path(cluster.store[len("file://") :], "archives", hash)
    assert 0 < first[0].fetched <= stored.stat().st_size
    assert [(str(first[0]), 1, 1)] == told
    assert f"{first[0].address}, {first[0].fetched:,} bytes, " in str(first[0])
    assert f"{again[0].address}, had it, " in str(again[0])
    assert [(0, True)] == [(each.fetched, each.hit) for each in again]


def test_prefetch_says_which_node_could_not(connected: None, cluster: Cluster) -> None:
    with pytest.raises(DeliveryError, match=f"1 of 1 nodes .* {HASH}") as caught:
        prefetch(HASH, store=cluster.store)

    (result,) = caught.value.results  # type: ignore[attr-defined]
    assert not result.hit
    assert "push it there" in result.error


def test_a_worker_outlives_its_cache(
    connected: None, cluster: Cluster, pushed: Callable[[], str]
) -> None:
    """What it has mapped stays; the next process fetches again."""
    hash = pushed()
    env = runtime_env(hash, store=cluster.store)

    class Plain:
        def imported(self) -> str:
            from my_app.work import where  # type: ignore[import-not-found]

            return str(where()[0])

    Holder = ray.remote(Plain)  # noqa: N806
    holder = Holder.options(runtime_env=env).remote()
    ray.get(holder.__ray_ready__.remote())
    os.unlink(archive_file(cluster, hash))

    assert ray.get(holder.imported.remote()) == "A"
    another = Holder.options(runtime_env=env).remote()
    assert ray.get(another.imported.remote()) == "A"
    assert archive_file(cluster, hash).exists()


def test_a_cache_that_cannot_be_written_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of prefetch nor of the plugin: a process would run it from memory."""
    store, cache = f"file://{tmp_path}/store", "/sys/lazyimport"  # not even for root
    tree = write(APPLICATION, tmp_path)
    env = ship(tree, store=store, cache_dir=str(tmp_path / "author"))
    hash = str(env["env_vars"]["LAZYIMPORT_HASH"])
    monkeypatch.setenv("LAZYIMPORT_CACHE_DIR", cache)
    monkeypatch.setattr(metrics, "count_fetch", lambda *_, **__: None)

    fetched, _, error = nodes.fetch_here(hash, store, None)
    with pytest.raises(CacheError, match=cache):
        plugin.fetch_ahead(Settings(hash, store, cache_dir=cache), LOGGER)

    assert fetched == 0
    assert str(error).startswith(f"CacheError: cannot create the node cache {cache}")


def test_a_node_of_another_platform_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything changes in the cluster, not when a replica imports it."""
    store = f"file://{tmp_path}/store"
    name = "fast.cpython-39-x86_64-linux-gnu.so"
    tree = write({**APPLICATION, f"my_app/{name}": ""}, tmp_path / "tree")
    env = ship(tree, store=store, cache_dir=str(tmp_path / "author"))
    hash = str(env["env_vars"]["LAZYIMPORT_HASH"])
    monkeypatch.setenv("LAZYIMPORT_CACHE_DIR", str(tmp_path / "node"))
    monkeypatch.setattr(metrics, "count_fetch", lambda *_, **__: None)

    _, _, error = nodes.fetch_here(hash, store, None)

    assert str(error).startswith(f"WrongPython: my_app/{name} is for another Python")


@pytest.mark.parametrize(
    "field",
    [
        HASH,
        {},
        {"hash": "main"},
        {"hash": HASH, "stor": "gs://b"},
        {"hash": HASH, 1: 2},
    ],
)
def test_refuses_a_field_that_it_does_not_understand(field: Any) -> None:
    with pytest.raises(SettingsError):
        ArchivePlugin.validate({"lazyimport": field})
    # Ray asks for these first, outside of what it would report.
    assert [] == ArchivePlugin().get_uris({"lazyimport": field})


def test_without_the_field_it_does_nothing() -> None:
    assert [] == ArchivePlugin().get_uris({"env_vars": {"LAZYIMPORT_HASH": HASH}})


def test_fetches_where_the_workers_look() -> None:
    """A node cache, or none at all, may be set for the workers alone."""
    env: dict[str, Any] = {"lazyimport": {"hash": HASH}}
    there = {**env, "env_vars": {"LAZYIMPORT_CACHE_DIR": "/there"}}
    memory = {**env, "env_vars": {"LAZYIMPORT_CACHE_MODE": "memory"}}

    assert [f"/there/archives/{HASH}"] == ArchivePlugin().get_uris(there)
    assert [] == ArchivePlugin().get_uris(memory)
    context = SimpleNamespace(env_vars={"A": "1"})
    ArchivePlugin().modify_context([], env, context, LOGGER)
    assert {"A": "1", "LAZYIMPORT_HASH": HASH} == context.env_vars


def test_removes_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "archives" / HASH
    file.parent.mkdir()
    file.write_bytes(b"12345")

    assert ArchivePlugin().delete_uri(str(file), LOGGER) == 5
    assert not file.exists()
    assert ArchivePlugin().delete_uri(str(file), LOGGER) == 0
