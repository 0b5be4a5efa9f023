"""The public interface as a program of a user sees it, for type checkers only.

`tox -e types` checks it with mypy and with pyright; it is never run. Every public
name is used here: `tests/test_public_api.py` holds that.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from typing_extensions import assert_type

import lazyimport
import lazyimport.ray
from lazyimport import deploy, live, stores
from lazyimport.delivery import Published, Pushed, push
from lazyimport.packing import Packed, PackOptions, pack
from lazyimport.reporting import SILENT, WARNINGS, Reporter
from lazyimport.settings import Settings


def installing(path: Path) -> None:
    assert_type(lazyimport.install(), lazyimport.Installation)
    assert_type(lazyimport.path("weights/model.bin"), str)
    assert_type(lazyimport.path(path), str)
    with lazyimport.install("4be8", store="gs://bucket/code") as handle:
        assert_type(handle, lazyimport.Installation)
        assert_type(handle.hash, str)
        assert_type(handle.channel, str | None)
        assert_type(handle.root, str)
        assert_type(handle.fetched, int)
        assert_type(handle.seconds, float)
        assert_type(handle.settings.store, str | None)
    lazyimport.install(
        store=path,
        cache_dir=path,
        cache_mode="zstd",
        policy="refuse",
        timeout=30,
        cache_limit="10GB",
        channel="prod",
    )
    lazyimport.install(artifact="https://host/app.zip", cache_dir=os.curdir)
    assert_type(lazyimport.current(), lazyimport.Installation | None)
    lazyimport.uninstall()


def statistics() -> None:
    stats = lazyimport.stats()
    assert_type(stats, lazyimport.Stats)
    assert_type(stats.hash, str | None)
    assert_type(stats.store, str | None)
    assert_type(stats.failure, str | None)
    assert_type(stats.cache_hit, bool)
    assert_type(stats.fetched, int)
    assert_type(stats.seconds, float)
    assert_type(stats.live, bool)
    assert_type(stats.modules, int)
    assert_type(stats.read, int)
    assert_type(stats.imports, int)
    assert_type(stats.import_seconds, float)


def errors() -> None:
    try:
        lazyimport.install()
    except lazyimport.errors.ArchiveMissing as error:
        assert_type(error.retryable, bool)
    except lazyimport.LazyImportError as error:
        assert_type(error.retryable, bool)
    assert_type(lazyimport.__version__, str)


def reading_a_store(store: stores.ReadStore) -> None:
    assert_type(store, stores.ReadStore)
    assert_type(stores.open_store("file:///folder"), stores.ReadStore)
    assert_type(stores.open_store("gs://bucket", timeout=3.5), stores.ReadStore)
    assert_type(store.url, str)
    assert_type(store.read("key", 0, 10), bytes)
    assert_type(store.download("key", io.BytesIO(), 5), int)
    assert_type(stores.check_key("key"), str)


def writing_to_a_store() -> None:
    store = stores.writable(stores.open_store("s3://bucket/code"))
    assert_type(store, stores.Store)
    assert_type(store.put("key", io.BytesIO(b"data")), bool)
    assert_type(store.list("prefix/"), Iterator[stores.Item])
    for item in store.list():
        assert_type(item.key, str)
        assert_type(item.size, int)
    store.delete("key")
    mutable = stores.mutable(store)
    assert_type(mutable, stores.MutableStore)
    data, version = mutable.read_versioned("key")
    assert_type(data, bytes)
    assert_type(mutable.replace("key", data, version), bool)
    assert_type(mutable.replace("key", data, None), bool)


def packing(path: Path) -> None:
    settings = Settings(store="gs://bucket/code", cache_dir=path)
    options = PackOptions(
        exclude=("notebooks/",),
        include=("shop/_version.py",),
        gitignore=False,
        python=("3.12",),
        optimize=(0, 2),
        installed=("rich",),
        requirements=("requirements.txt",),
        wheels=("app.whl",),
        platform="manylinux_2_28_x86_64",
        jobs=2,
        trust_stat=False,
    )
    packed = pack(["src", path], settings, options, whole=False, reporter=SILENT)
    assert_type(packed, Packed)
    assert_type(packed.hash, str)
    assert_type(packed.modules, int)
    assert_type(packed.seconds, float)
    assert_type(packed.warnings, tuple[str, ...])
    assert_type(packed.save("app.lza"), int)


def pushing(path: Path) -> None:
    class Told(Reporter):
        def warn(self, text: str) -> None:
            assert_type(text, str)

    settings = Settings.from_environ(os.environ, store="gs://bucket/code")
    assert_type(push([path], settings), Pushed)
    pushed = push(
        ["src"],
        settings,
        PackOptions(),
        check=lambda hash: assert_type(hash, str),
        channel="prod",
        message="why",
        environ=os.environ,
        reporter=Told(),
    )
    assert_type(pushed.hash, str)
    assert_type(pushed.store, str)
    assert_type(pushed.seconds, float)
    assert_type(pushed.packed, Packed | None)
    assert_type(pushed.published, Published)
    assert_type(pushed.published.kind, str)
    assert_type(pushed.published.size, int)
    assert_type(pushed.published.base, str | None)
    WARNINGS.step("sending", 5, 10, "bytes")


def running_in_ray(module: ModuleType, path: Path) -> None:
    env = lazyimport.ray.ship("src", path, module, store="gs://bucket", install=True)
    assert_type(env, dict[str, Any])
    env = lazyimport.ray.runtime_env(
        "4be8", store="gs://bucket", plugin=True, pip=["numpy"], env_vars={"A": "1"}
    )
    assert_type(env, dict[str, Any])
    assert_type(lazyimport.ray.report(), lazyimport.Stats)
    nodes = lazyimport.ray.prefetch("4be8", store="gs://bucket", timeout=60)
    assert_type(nodes, list[lazyimport.ray.NodeFetch])
    for node in nodes:
        assert_type(node.node, str)
        assert_type(node.address, str)
        assert_type(node.fetched, int)
        assert_type(node.milliseconds, float)
        assert_type(node.error, str | None)
        assert_type(node.hit, bool)


def planning(history: deploy.History) -> deploy.Plan:
    manifest = deploy.Manifest.read("serve.yaml")
    assert_type(manifest.applications, list[deploy.Application])
    for app in manifest.choose(["shop"]):
        assert_type(app.kind, str)
        assert_type(app.name, str)
        assert_type(app.hash, str | None)
        assert_type(app.store, str | None)
        assert_type(app.line, int)
    assert_type(manifest.with_hash("4be8", ["shop"]).text, str)
    plan = deploy.Plan(manifest, "4be8", ["shop"], store="gs://bucket")
    assert_type(plan.diff(), str)
    assert_type(plan.warnings, list[str])
    assert_type(plan.undo, str)
    for step in plan.steps:
        assert_type(step, deploy.Step)
        assert_type(step.application, deploy.Application)
        assert_type(step.before, str | None)
    assert_type(deploy.plan_rollback(manifest, ["shop"], history), deploy.Plan)
    assert_type(deploy.plan_rollback(manifest, [], history, "4be8").why, str)
    for known in history.deployments("shop"):
        assert_type(known, deploy.Deployment)
        assert_type(known.before, str | None)
        assert_type(known.outcome, str)
        assert_type(known.trusted, bool)
    return plan


def deploying(plan: deploy.Plan, settings: Settings) -> None:
    store = stores.open_store("gs://bucket")
    history = deploy.History(settings.cache_dir, store, by="ada", trusted=None)
    target = deploy.Target("http://localhost:8265", "token")
    target.check(plan.applications, apply=True, prefetch=True, wait=True)
    assert_type(plan.prefetch(target, 60), Iterator[str])
    assert_type(plan.write(history), deploy.Plan)
    assert_type(plan.apply(target, history), str)
    timeline = deploy.Timeline(plan.wanted)
    for served in plan.follow(target, history, 60, timeline):
        assert_type(served, list[deploy.Served])
        assert_type(served[0].is_well, bool)
        assert_type(served[0].since, float | None)
        for replica in served[0].replicas:
            assert_type(replica, deploy.Replica)
            assert_type(replica.hash, str | None)
            assert_type(replica.serves, bool)
    checked = deploy.check("4be8", ["shop.serve:app"], settings, environ=os.environ)
    assert_type(checked, deploy.Checked)
    assert_type(checked.modules, int)
    assert_type(checked.shadowed, tuple[tuple[str, str], ...])


def asking_a_cluster(history: deploy.History) -> None:
    cluster = deploy.Cluster("http://localhost:8265", token=None)
    assert_type(cluster.processes(), list[deploy.Process])
    assert_type(cluster.served(), dict[str, deploy.Served])
    rollback = deploy.ClusterRollback(cluster, "shop", history, to=None)
    assert_type(rollback.why, str)
    assert_type(rollback.write(history), deploy.Plan)
    try:
        next(deploy.follow(cluster, {"shop": "4be8"}, 60, undo="git revert"))
    except deploy.ManifestError as error:
        assert_type(error.line, int)
    except deploy.ImpossibleError:
        pass
    except deploy.DeployError as error:
        assert_type(error.outcome, str)


def swapping() -> None:
    def prepare(generation: live.Generation) -> object:
        with generation.enter() as mine:
            assert_type(mine, live.Generation)
        generation.at_end(lambda: None)
        assert_type(generation.hash, str)
        assert_type(generation.modules, dict[str, ModuleType])
        return generation.import_module("app")

    assert_type(
        lazyimport.keep("model", open, "/weights", twice=True), io.TextIOWrapper
    )
    assert_type(live.start(), bool)
    assert_type(live.current_generation(), live.Generation | None)
    with_file = live.follow("src", os.curdir, prepare=prepare, reporter=SILENT)
    assert_type(with_file, live.Following)
    assert_type(with_file.update(), live.Swap | None)
    with_file.stop()
    done = live.swap("4be8", prepare=prepare)
    assert_type(done, live.Swap)
    assert_type(done.state, str)
    assert_type(done.modules, tuple[str, ...])
