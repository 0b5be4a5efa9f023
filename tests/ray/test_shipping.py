"""Code that was shipped runs wherever Ray runs code, on a real Ray."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import lazyimport
from lazyimport.errors import SettingsError
from lazyimport.ray import runtime_env, ship
from tests.support.cluster import APPLICATION, Cluster, write

ray = pytest.importorskip("ray")

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module", name="env")
def _env(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The runtime environment of version A."""
    tree = write(APPLICATION, tmp_path_factory.mktemp("a"))
    cache = str(tmp_path_factory.mktemp("author"))
    return ship(tree, store=cluster.store, cache_dir=cache)


@pytest.fixture(scope="module", name="env_b")
def _env_b(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The runtime environment of version B."""
    files = {**APPLICATION, "my_app/__init__.py": "VERSION = 'B'\n"}
    tree = write(files, tmp_path_factory.mktemp("b"))
    cache = str(tmp_path_factory.mktemp("author"))
    return ship(tree, store=cluster.store, cache_dir=cache)


@pytest.fixture(scope="module", name="job")
def _job(cluster: Cluster, env: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """This process as a driver, all of whose tasks and actors run version A."""
    with ray.init(address=cluster.address, runtime_env=env, log_to_driver=False):
        yield env


def hash_of(env: dict[str, Any]) -> str:
    return str(env["env_vars"]["LAZYIMPORT_HASH"])


@ray.remote
def call(name: str) -> Any:
    """Call a function of my_app.work."""
    from my_app import work  # type: ignore[import-not-found]

    return getattr(work, name)()


@ray.remote
def call_actor(method: str, **options: Any) -> Any:
    from my_app.work import Actor  # type: ignore[import-not-found]

    actor = Actor.options(**options).remote()
    return ray.get(getattr(actor, method).remote())


def test_tasks(job: dict[str, Any], cluster: Cluster) -> None:
    """The driver does not have the code; every worker imports it from the archive."""
    version, file, hash = ray.get(call.remote("where"))

    assert version == "A"
    assert hash == hash_of(job)
    assert file == f"{cluster.cache}/trees/{hash}/my_app/work.py"


def test_actors_and_what_they_start(job: dict[str, Any]) -> None:
    """A task and an actor that an actor starts run what it runs."""
    for version, _, hash in ray.get(
        [call_actor.remote(method) for method in ("where", "nested", "child")]
    ):
        assert ("A", hash_of(job)) == (version, hash)


def test_a_detached_actor_serves_another_job(
    job: dict[str, Any], cluster: Cluster
) -> None:
    options = {"name": "d", "namespace": "n", "lifetime": "detached"}
    ray.get(call_actor.remote("where", **options))
    program = f"""if 1:
        import ray
        ray.init({cluster.address!r}, namespace="n", log_to_driver=False)
        actor = ray.get_actor("d")
        print(*ray.get(actor.nested.remote()))
        actor.end.remote()
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert done.stdout.split()[::2] == ["A", hash_of(job)], done.stderr


def test_two_versions_side_by_side(job: dict[str, Any], env_b: dict[str, Any]) -> None:
    """A task with another hash gets a worker of its own."""
    two = [call.remote("where"), call.options(runtime_env=env_b).remote("where")]

    (a, _, hash_a), (b, _, hash_b) = ray.get(two)
    assert [("A", hash_of(job)), ("B", hash_of(env_b))] == [(a, hash_a), (b, hash_b)]


def test_ray_data(job: dict[str, Any]) -> None:
    pytest.importorskip("pyarrow")

    @ray.remote
    def run() -> list[str]:
        import ray.data
        from my_app.work import Batches

        dataset = ray.data.range(20).map_batches(Batches, concurrency=2)
        return [row["version"] for row in dataset.take_all()]

    assert ray.get(run.remote()) == ["A"] * 20


def test_ray_train(job: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    pytest.importorskip("ray.train")
    storage = str(tmp_path)

    @ray.remote
    def run() -> None:
        from ray.train import RunConfig, ScalingConfig

        # The trainer without a framework is no public name, and there are two Trains.
        api = "ray.train.v2.api" if find_spec("ray.train.v2") else "ray.train"
        trainer = import_module(f"{api}.data_parallel_trainer")

        def loop() -> None:
            from my_app.work import where

            rank = ray.train.get_context().get_world_rank()
            Path(storage, f"rank-{rank}").write_text(where()[0], encoding="utf-8")

        trainer.DataParallelTrainer(
            loop,
            scaling_config=ScalingConfig(num_workers=2),
            run_config=RunConfig(storage_path=f"{storage}/results"),
        ).fit()

    ray.get(run.remote())
    said = [Path(storage, f"rank-{rank}").read_text("utf-8") for rank in (0, 1)]
    assert said == ["A", "A"]


def test_a_job_runs_it_in_the_driver_too(
    env: dict[str, Any], cluster: Cluster, tmp_path: Path
) -> None:
    """The archive wins over working_dir, whose other files are there."""
    from ray.job_submission import JobSubmissionClient

    write({"my_app/__init__.py": "VERSION = 'dir'\n", "data.txt": "data"}, tmp_path)
    both = runtime_env(hash_of(env), **env, working_dir=str(tmp_path))
    client = JobSubmissionClient(cluster.dashboard)
    job = client.submit_job(
        entrypoint=f"cat data.txt && {sys.executable} -m my_app.job", runtime_env=both
    )
    deadline = time.monotonic() + 120
    while not client.get_job_status(job).is_terminal():
        assert time.monotonic() < deadline
        time.sleep(0.2)

    said = client.get_job_logs(job)
    assert "data" in said
    for process in ("driver", "task"):
        assert f"{process} A {cluster.cache}/trees/{hash_of(env)}" in said, said


def test_ray_client(env: dict[str, Any], cluster: Cluster) -> None:
    program = f"""if 1:
        import ray
        ray.init({cluster.client!r}, runtime_env={env!r}, log_to_driver=False)

        @ray.remote
        def where():
            from my_app.work import where
            return where()

        print(*ray.get(where.remote()))
        ray.shutdown()
    """
    done = run_as_client(program)

    assert done.stdout.split()[::2] == ["A", hash_of(env)], done.stderr


def run_as_client(program: str, tries: int = 3) -> subprocess.CompletedProcess[str]:
    """Run a program of Ray Client, again where Ray's own server for it did not start.

    Ray forks a server for each client while its own threads are in gRPC; now and then
    that child dies before it has run anything, its log empty.
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    no_server = ("Starting Ray client server failed", "psutil.ZombieProcess")
    if tries > 1 and any(reason in done.stderr for reason in no_server):
        return run_as_client(program, tries - 1)
    return done


def test_the_driver_can_run_it_too(cluster: Cluster, tmp_path: Path) -> None:
    """Then functions and classes go to the workers by reference."""
    tree = write(APPLICATION, tmp_path / "tree")
    program = f"""if 1:
        import ray
        import lazyimport.ray
        env = lazyimport.ray.ship({str(tree)!r}, store={cluster.store!r}, install=True)
        ray.init({cluster.address!r}, runtime_env=env, log_to_driver=False)
        from my_app.work import Plain, where
        import my_app
        print(my_app.VERSION, *ray.get(ray.remote(where).remote()))
        actor = ray.remote(Plain).remote()
        print(lazyimport.current().hash, *ray.get(actor.where.remote()))
    """
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": "/usr/bin:/bin", "LAZYIMPORT_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )

    words = done.stdout.split()
    hash = words[3:4]
    assert ["A", "A", *hash] == [words[0], words[1], *hash], done.stderr
    assert [*hash, "A", *hash] == [words[4], words[5], words[7]], done.stderr


@pytest.mark.parametrize(
    ("hash", "store", "reason"),
    [
        ("f" * 64, None, "ArchiveMissing"),
        ("e" * 64, "file:///nowhere/at/all", "StoreMissing|ArchiveMissing"),
    ],
)
def test_what_cannot_be_had_is_said_by_the_import(
    job: dict[str, Any], cluster: Cluster, hash: str, store: str | None, reason: str
) -> None:
    """The worker starts, and the task's error names hash, store, and what to do."""
    store = store or cluster.store
    env = runtime_env(hash, store=store)
    with pytest.raises(ModuleNotFoundError, match="No module named 'my_app'") as caught:
        ray.get(call.options(runtime_env=env, max_retries=0).remote("where"))

    text = str(caught.value)
    assert hash in text
    assert store in text
    assert "push it there" in text or "LAZYIMPORT_STORE" in text
    assert any(kind in text for kind in reason.split("|"))


def test_a_copy_in_the_image_does_not_stand_for_the_archive(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Neither a function by name nor a Serve application runs where it was not had."""
    write({"image_copy.py": "def version(): return 'of the image'\n"}, tmp_path)
    program = f"""if 1:
        import ray, sys
        sys.path.insert(0, {str(tmp_path)!r})
        import image_copy
        ray.init({cluster.address!r}, log_to_driver=False)
        found = []
        for env in {{}}, {{"LAZYIMPORT_HASH": "c" * 64, "LAZYIMPORT_STORE": {cluster.store!r}}}:
            env = {{"env_vars": {{"PYTHONPATH": {str(tmp_path)!r}, **env}}}}
            task = ray.remote(image_copy.version).options(runtime_env=env, max_retries=0)
            try: found.append(ray.get(task.remote()))
            except Exception as error: found.append(("ArchiveMissing" in str(error), "'version' is not run" in str(error)))
        print(found)
    """
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    # Ray 2.40 warns on stdout
    assert "['of the image', (True, True)]" in done.stdout.splitlines(), done.stderr


def test_code_of_another_archive_is_refused(
    job: dict[str, Any], env_b: dict[str, Any]
) -> None:
    """What is decorated goes by value: its body of A, all it imports of B."""

    @ray.remote
    def mix(other: dict[str, Any]) -> Any:
        from my_app import work

        return ray.get(work.task.options(runtime_env=other, max_retries=0).remote())

    with pytest.raises(Exception, match="a mixture of two versions") as caught:
        ray.get(mix.remote(env_b))
    assert hash_of(job) in str(caught.value)
    assert hash_of(env_b) in str(caught.value)


def test_nothing_to_push_to() -> None:
    with pytest.raises(SettingsError, match="store"):
        ship()


def test_modules_are_shipped_as_py_modules_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write({"shipped_pkg/__init__.py": "", "shipped_one.py": ""}, tmp_path)
    store, cache = f"file://{tmp_path}/store", str(tmp_path / "cache")
    with monkeypatch.context() as here:
        here.syspath_prepend(str(tmp_path))
        modules = [import_module(name) for name in ("shipped_pkg", "shipped_one")]
        both = hash_of(ship(*modules, store=store, cache_dir=cache))
    for module in modules:
        del sys.modules[module.__name__]

    with lazyimport.install(both, store=store, cache_dir=cache):
        for module in modules:
            again = import_module(module.__name__)
            del sys.modules[module.__name__]
            assert f"/trees/{both}/" in str(again.__file__)
