"""A hash in a manifest is a deployment: on a real Serve, under load."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("ray")
pytest.importorskip("ruamel.yaml")

from lazyimport.deploy.cluster import Cluster as RayCluster
from tests.support.cluster import Cluster, write

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MODULES = 320
REPLICAS = 2
#: imported while answering, not at start: also these must be of one version
LATE = 20
#: imported when a request asks for one, when no file of the archive is left
LAST = 6

SERVE = """\
import importlib
import sys

from ray import serve

from shop.parts import names


@serve.deployment(
    num_replicas={replicas},
    health_check_period_s=2,
    graceful_shutdown_wait_loop_s=0.5,
    ray_actor_options={{"num_cpus": 0.1}},
)
class Shop:
    def __init__(self):
        self.late = [f"shop.late{{n}}" for n in range({late})]
        self.count = 0

    def __call__(self, request):
        if self.count < len(self.late):
            importlib.import_module(self.late[self.count])
            self.count += 1
        last = request.query_params.get("module")
        new = last not in sys.modules
        if last:
            importlib.import_module(last)
        found = {{OWN}}
        for name, module in list(sys.modules.items()):
            if name.startswith("shop.") and name != "shop.serve":
                found.add(module.VERSION)
        return {{"versions": sorted(found), "modules": len(names), "new": new}}


OWN = {version!r}
app = Shop.bind()
"""

#: stands for kubectl where there is no Kubernetes: KubeRay gives Serve the text of
#: serveConfigV2, and a forwarded port is the dashboard's
KUBECTL = """\
#!{python}
import json, os, signal, sys, urllib.request
from ruamel.yaml import YAML

words = sys.argv[1:]
address = os.environ["STAND_IN_DASHBOARD"]
if words[0] == "apply":
    yaml = YAML(typ="safe", pure=True)
    spec = yaml.load(open(words[2]))["spec"]
    request = urllib.request.Request(
        address + "/api/serve/applications/",
        json.dumps(yaml.load(spec["serveConfigV2"])).encode(),
        {{"Content-Type": "application/json"}},
        method="PUT",
    )
    urllib.request.urlopen(request).close()
    print("rayservice.ray.io/shop configured")
else:
    assert words == ["port-forward", "service/shop-head-svc", ":dashboard"], words
    print("Forwarding from " + address.removeprefix("http://") + " -> 8265", flush=True)
    # As after many connections: more than a pipe holds, and then it must go on.
    print("Handling connection for 8265\\n" * 10_000, flush=True)
    open(os.environ["STAND_IN_HEARD"], "w").close()
    signal.pause()
"""


def application(version: str) -> dict[str, str]:
    """An application of many modules, every one of which knows its version."""
    names = [f"part{n}" for n in range(MODULES - LATE)]
    files = {f"shop/{name}.py": f"VERSION = {version!r}\n" for name in names}
    files.update({f"shop/late{n}.py": f"VERSION = {version!r}\n" for n in range(LATE)})
    files.update({f"shop/last{n}.py": f"VERSION = {version!r}\n" for n in range(LAST)})
    files["shop/__init__.py"] = ""
    files["shop/parts.py"] = (
        f"VERSION = {version!r}\nnames = {names!r}\nimport importlib\n"
        "for name in names:\n    importlib.import_module(f'shop.{name}')\n"
    )
    files["shop/serve.py"] = SERVE.format(version=version, replicas=REPLICAS, late=LATE)
    return files


TILL = """\
from ray import serve


@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Till:
    def __call__(self, request):
        return {"versions": ["till"]}


app = Till.bind()
"""


class Load:
    """Two clients that ask again every few milliseconds; every answer is kept.

    Without a pause they would take most of the CPU from the rollout.
    """

    def __init__(self, port: int) -> None:
        self.answers: list[Any] = []
        self.failures: list[str] = []
        self._port = port
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(2)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._end.is_set():
            try:
                self.answers.append(ask(self._port, "/shop"))
            except (OSError, ValueError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
            self._end.wait(0.02)

    def versions(self) -> list[tuple[str, ...]]:
        return sorted({tuple(a["versions"]) for a in self.answers})


def ask(port: int, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise ValueError(f"{answer.status}: {body[:200]!r}")
        return json.loads(body)
    finally:
        connection.close()


class Shop:
    """The application, its manifest and the command line that deploys it."""

    def __init__(self, folder: Path, cluster: Cluster, port: int) -> None:
        self.folder = folder
        self.cluster = cluster
        self.port = port
        self.file = folder / "serve.yaml"
        self.environ = {
            **{k: v for k, v in os.environ.items() if k[:10] != "LAZYIMPORT"},
            "LAZYIMPORT_CACHE_DIR": str(folder / "author"),
            "RAY_DASHBOARD_ADDRESS": cluster.dashboard,
            "NO_COLOR": "1",
        }
        self.hashes = {v: self.push(application(v), v) for v in "AB"}
        self.hashes["till"] = self.push({"till.py": TILL}, "till")

    def push(self, files: dict[str, str], name: str) -> str:
        """Push another version of the tree; the hash."""
        tree = write(files, self.folder / name)
        return self.run("push", tree, "--store", self.cluster.store).stdout.strip()

    def run(self, *words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "lazyimport", *map(str, words)],
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert code == done.returncode, done.stdout + done.stderr
        return done

    def config(self, hash: str) -> str:
        """A Serve config with two applications."""
        text = f"http_options: {{port: {self.port}}}\napplications:\n"
        for name, digest, entry in (
            ("shop", hash, "shop.serve:app"),
            ("till", self.hashes["till"], "till:app"),
        ):
            text += (
                f"  - name: {name}   # one of two\n    route_prefix: /{name}\n"
                f"    import_path: {entry}\n    runtime_env:\n      env_vars:\n"
                f"        LAZYIMPORT_STORE: {self.cluster.store}\n"
                f"        LAZYIMPORT_HASH: {digest}\n"
            )
        return text

    def deploy(
        self, hash: str, *words: object, code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """Deploy, apply and wait."""
        options = ("--app", "shop", "--apply", "--wait", "--timeout", "500")
        return self.run(
            "deploy", self.file, "--hash", hash, *options, *words, code=code
        )

    def replicas(self, app: str) -> dict[str, str]:
        """The hash of every replica of an application, as `status` tells."""
        found = json.loads(self.run("status", "--json").stdout)["processes"]
        return {
            process["name"]: process["hash"]
            for process in found
            if process["kind"] == "replica" and process["name"].startswith(f"{app}/")
        }


class RayService:
    """The same manifest as text in a RayService, for a kubectl that stands in."""

    def __init__(self, folder: Path, shop: Shop) -> None:
        self._shop = shop
        self._heard = folder / "heard"
        self.file = folder / "service.yaml"
        self.file.write_text(self.text(shop.hashes["A"]))
        kubectl = folder / "kubectl"
        kubectl.write_text(KUBECTL.format(python=sys.executable))
        kubectl.chmod(0o755)
        shop.environ.update(
            PATH=f"{folder}{os.pathsep}{os.environ['PATH']}",
            STAND_IN_DASHBOARD=shop.cluster.dashboard,
            STAND_IN_HEARD=str(self._heard),
        )

    def text(self, hash: str) -> str:
        config = self._shop.config(hash).splitlines(keepends=True)
        head = "kind: RayService\nmetadata: {name: shop}\nspec:\n  serveConfigV2: |\n"
        tail = "  rayClusterConfig: {rayVersion: '2.60.0'}\n"
        return head + "".join(f"    {line}" for line in config) + tail

    def was_heard(self) -> bool:
        """Whether kubectl got rid of all that it had to say."""
        return self._heard.exists()


@pytest.fixture(name="service")
def _service(tmp_path: Path, shop: Shop) -> RayService:
    return RayService(tmp_path, shop)


@pytest.fixture(scope="module", name="shop")
def _shop(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Both applications, running: shop in version A."""
    running = Shop(tmp_path_factory.mktemp("shop"), cluster, cluster.serve_port)
    running.file.write_text(running.config(running.hashes["A"]))
    running.deploy(running.hashes["A"])
    yield running
    running.run("status", "--exit-status")


def test_a_new_hash_rolls_out_and_an_old_one_back(
    shop: Shop, service: RayService
) -> None:
    """No request fails, none sees two versions, the other application stays.

    There by a Serve config, back by a RayService, of which only the text in
    serveConfigV2 is changed.
    """
    till = shop.replicas("till")
    with Load(shop.port) as load:
        drawn = service.file.with_name("rollout.html")
        there = shop.deploy(shop.hashes["B"], "--prefetch", "--report", drawn)
        assert {shop.hashes["B"]} == set(shop.replicas("shop").values())
        shop.run("deploy", service.file, "--app", "shop", "--hash", shop.hashes["B"])
        assert service.text(shop.hashes["B"]) == service.file.read_text()
        back = shop.run("rollback", service.file, "--app", "shop", "--apply", "--wait")

    assert [] == load.failures
    assert [("A",), ("B",)] == load.versions()
    assert {MODULES - LATE} == {a["modules"] for a in load.answers}
    assert re.search(r"prefetched to 1 of 1 nodes: .*, [\d,]+ bytes", there.stderr)
    assert "rayservice.ray.io/shop configured" in back.stderr
    if shop.cluster.lists_nodes_for_prometheus():
        assert '"counts":[[' in drawn.read_text("utf-8"), "requests, by replica"
    for done in (there, back):
        assert f"shop: all {REPLICAS} replicas run it" in done.stderr
    assert REPLICAS == len(shop.replicas("shop"))
    assert {shop.hashes["A"]} == set(shop.replicas("shop").values())
    assert till == shop.replicas("till")
    assert shop.config(shop.hashes["B"]) == shop.file.read_text()
    assert service.text(shop.hashes["A"]) == service.file.read_text()
    assert service.was_heard()


RAISES = """\
VERSION = 'C'
try:
    import not_in_the_image
except ImportError as error:
    raise RuntimeError('on purpose') from error
"""


def test_code_that_does_not_start_changes_nothing(shop: Shop) -> None:
    """The reasons are shown with their places, and the old version serves on."""
    hash = shop.push({**application("C"), "shop/part7.py": RAISES}, "raises")
    before = shop.replicas("shop")
    with Load(shop.port) as load:
        failed = shop.deploy(hash, code=1)
        still = {k: v for k, v in shop.replicas("shop").items() if k in before}
        shop.run("rollback", "--app", "shop", "--wait")

    for text in (
        "No module named 'not_in_the_image'",
        "add it to the image",
        "RuntimeError: on purpose, shop/part7.py:5",
        f"cannot be deployed with archive {hash}",
        f"serve now: {REPLICAS} with {shop.hashes['A']}",
        f"to go back: lazyimport rollback {shop.file} --app shop",
    ):
        assert text in failed.stderr, failed.stderr
    assert "Traceback (most recent call last)" not in failed.stderr
    assert before == still
    assert [] == load.failures
    assert [("A",)] == load.versions()


def test_a_hash_that_nobody_has_changes_nothing(shop: Shop) -> None:
    """The message names hash, store and what to do, and the old version serves on.

    Also where the image holds a copy of the application, of another version.
    """
    hash = "f" * 64
    image = f"env_vars:\n        PYTHONPATH: {shop.folder}/B\n"
    config = shop.config(shop.hashes["A"]).replace("env_vars:\n", image, 1)
    shop.file.write_text(config)
    with Load(shop.port) as load:
        failed = shop.deploy(hash, code=1)
        shop.run("rollback", shop.file, "--app", "shop", "--apply", "--wait")

    for text in (
        f"archive {hash} is neither in {shop.cluster.store} nor",
        "push it there",
        f"serve now: {REPLICAS} with {shop.hashes['A']}",
    ):
        assert text in failed.stderr, failed.stderr
    assert [] == load.failures
    assert [("A",)] == load.versions()


LONELY = """\
import ray

ray.init(namespace="lonely")
env = {{"env_vars": {{"LAZYIMPORT_HASH": {hash!r}, "LAZYIMPORT_STORE": {store!r}}}}}


class Lonely:
    def answer(self):
        return 1


made = ray.remote(Lonely).options(
    name="lonely", lifetime="detached", num_cpus=0, runtime_env=env
)
actor = made.remote()  # Ray 2.40 forgets an actor that nobody refers to
ray.get(actor.answer.remote())
"""


def test_a_process_without_its_archive_is_shown_as_that(shop: Shop) -> None:
    """It lives, and imports nothing; the log of its node says why it has no archive."""
    hash, ray = "f" * 64, RayCluster(shop.cluster.dashboard)

    def run(program: str) -> None:
        list(ray.run(shlex.join([sys.executable, "-c", program]), 200))

    run(LONELY.format(hash=hash, store=shop.cluster.store))
    try:
        found = json.loads(shop.run("status", "--exit-status", "--json", code=1).stdout)
        (lonely,) = [p for p in found["processes"] if p["name"] == "lonely"]
        assert f"archive {hash} is neither in" in lonely["failure"]
        assert "NO ARCHIVE" in shop.run("status").stdout
    finally:
        run(
            "import ray; ray.init(namespace='lonely'); ray.kill(ray.get_actor('lonely'))"
        )


def test_a_store_that_is_away_a_cache_that_is_wiped_a_replica_that_is_killed(
    shop: Shop,
) -> None:
    """Running replicas need neither; the same command again goes through.

    A new replica that is killed in the rollout is replaced by another new one.
    """
    store, hash = Path(shop.cluster.store.removeprefix("file://")), shop.hashes["B"]
    shutil.rmtree(f"{shop.cluster.cache}/archives")
    last = [ask(shop.port, f"/shop?module=shop.last{n}") for n in range(LAST)]
    assert [(["A"], True)] * LAST == [(a["versions"], a["new"]) for a in last]
    store.rename(f"{store}-away")
    try:
        with Load(shop.port) as load:
            failed = shop.deploy(hash, code=1)
    finally:
        Path(f"{store}-away").rename(store)

    for text in (
        f"archive {hash}",
        shop.cluster.store,
        f"serve now: {REPLICAS} with {shop.hashes['A']}",
    ):
        assert text in failed.stderr, failed.stderr
    assert [] == load.failures
    assert [("A",)] == load.versions()

    with ThreadPoolExecutor(1) as pool:
        killed = pool.submit(kill_first, shop.cluster, hash)
        shop.deploy(hash)
    assert killed.result() not in shop.replicas("shop")
    assert {hash} == set(shop.replicas("shop").values())
    assert ["B"] == ask(shop.port, "/shop")["versions"]


def kill_first(cluster: Cluster, hash: str) -> str:
    """Kill the first replica of the shop that runs *hash*; its name."""
    ray = RayCluster(cluster.dashboard)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        for each in ray.processes():
            if each.name.startswith("shop/") and each.hash == hash and each.pid:
                os.kill(each.pid, signal.SIGKILL)
                return each.name
        time.sleep(0.1)
    raise AssertionError("no replica of the new hash was there to be killed")
