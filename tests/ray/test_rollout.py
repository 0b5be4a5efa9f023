"""A hash in a manifest is a deployment: on a real Serve, under load."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("ray")
pytest.importorskip("ruamel.yaml")

from tests.support.cluster import Cluster, write
from tests.support.scale import FULL

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MODULES = 320
REPLICAS = 3
#: imported while answering, not at start: also these must be of one version
LATE = 20

SERVE = """\
import importlib
import os
import sys

from ray import serve

from shop.parts import names


@serve.deployment(num_replicas={replicas}, ray_actor_options={{"num_cpus": 0.1}})
class Shop:
    def __init__(self):
        self.late = [f"shop.late{{n}}" for n in range({late})]
        self.count = 0

    def __call__(self, request):
        if self.count < len(self.late):
            importlib.import_module(self.late[self.count])
            self.count += 1
        found = {{OWN}}
        for name, module in list(sys.modules.items()):
            if name.startswith("shop.") and name != "shop.serve":
                found.add(module.VERSION)
        return {{"versions": sorted(found), "modules": len(names), "pid": os.getpid()}}


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
    assert words == ["port-forward", "service/shop-head-svc", ":8265"], words
    print("Forwarding from " + address.removeprefix("http://") + " -> 8265", flush=True)
    signal.pause()
"""


def application(version: str) -> dict[str, str]:
    """An application of many modules, every one of which knows its version."""
    names = [f"part{n}" for n in range(MODULES - LATE)]
    files = {f"shop/{name}.py": f"VERSION = {version!r}\n" for name in names}
    files.update({f"shop/late{n}.py": f"VERSION = {version!r}\n" for n in range(LATE)})
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
    """Requests without a pause, from two clients; every answer is kept."""

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
        found = json.loads(self.run("status", "--json").stdout)
        return {
            process["name"]: process["hash"]
            for process in found
            if process["kind"] == "replica" and process["name"].startswith(f"{app}/")
        }


def _wait_for(dashboard: str) -> None:
    """Return when the dashboard answers, which may be later than the rest of Ray."""
    deadline = time.monotonic() + 200
    while True:
        try:
            with urllib.request.urlopen(f"{dashboard}/api/version", timeout=30):
                return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.fixture(scope="module", name="shop")
def _shop(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Both applications, running: shop in version A."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _wait_for(cluster.dashboard)
    running = Shop(tmp_path_factory.mktemp("shop"), cluster, port)
    running.file.write_text(running.config(running.hashes["A"]))
    running.deploy(running.hashes["A"])
    yield running
    running.run("status")


def test_a_new_hash_rolls_out_and_an_old_one_back(shop: Shop) -> None:
    """No request fails, none sees two versions, the other application stays."""
    till = shop.replicas("till")
    with Load(shop.port) as load:
        there = shop.deploy(shop.hashes["B"], "--prefetch")
        assert {shop.hashes["B"]} == set(shop.replicas("shop").values())
        shop.run("rollback", shop.file, "--app", "shop", "--apply", "--wait")

    assert [] == load.failures
    assert [("A",), ("B",)] == load.versions()
    assert {MODULES - LATE} == {a["modules"] for a in load.answers}
    assert re.search(r"prefetched to 1 of 1 nodes: .*, [\d,]+ bytes", there.stderr)
    assert f"shop: all {REPLICAS} replicas run it" in there.stderr
    assert REPLICAS == len(shop.replicas("shop"))
    assert {shop.hashes["A"]} == set(shop.replicas("shop").values())
    assert till == shop.replicas("till")
    assert shop.config(shop.hashes["A"]) == shop.file.read_text()


WRONG = {
    "raises": (
        {"part7.py": "VERSION = 'C'\nraise RuntimeError('on purpose')\n"},
        "RuntimeError: on purpose",
        "trees/",
    ),
    "needs what nobody has": (
        {"part7.py": "VERSION = 'D'\nimport not_in_the_image\n"},
        "No module named 'not_in_the_image'",
        "add it to the image",
    ),
}


@pytest.mark.parametrize("what", WRONG if FULL else ["raises"])
def test_code_that_does_not_start_changes_nothing(shop: Shop, what: str) -> None:
    """The reason is shown with its traceback, and the old version serves on."""
    files, *expected = WRONG[what]
    more = {f"shop/{name}": text for name, text in files.items()}
    hash = shop.push({**application("C"), **more}, what)
    before = shop.replicas("shop")
    with Load(shop.port) as load:
        failed = shop.deploy(hash, code=1)
        still = {k: v for k, v in shop.replicas("shop").items() if k in before}
        shop.run("rollback", "--app", "shop", "--wait")

    assert all(text in failed.stderr for text in expected), failed.stderr
    assert "Traceback (most recent call last)" in failed.stderr
    assert f"serve now: {REPLICAS} with {shop.hashes['A']}" in failed.stderr, (
        failed.stderr
    )
    assert f"to go back: lazyimport rollback {shop.file} --app shop" in failed.stderr
    assert before == still
    assert [] == load.failures
    assert [("A",)] == load.versions()
    shop.run("rollback", shop.file, "--app", "shop")


@pytest.mark.parametrize(
    "what", ["nobody has it", "the store is away"] if FULL else ["nobody has it"]
)
def test_a_hash_that_cannot_be_had_changes_nothing(shop: Shop, what: str) -> None:
    """The message names hash, store and what to do, and the old version serves on."""
    hash = "f" * 64
    store = Path(shop.cluster.store.removeprefix("file://"))
    if what == "the store is away":
        hash = shop.hashes["B"]
        shutil.rmtree(f"{shop.cluster.cache}/archives", ignore_errors=True)
        store.rename(f"{store}-away")
    try:
        with Load(shop.port) as load:
            failed = shop.deploy(hash, code=1)
    finally:
        if what == "the store is away":
            Path(f"{store}-away").rename(store)
        shop.run("rollback", shop.file, "--app", "shop", "--apply", "--wait")

    assert f"archive {hash}" in failed.stderr
    assert shop.cluster.store in failed.stderr
    assert f"serve now: {REPLICAS} with {shop.hashes['A']}" in failed.stderr, (
        failed.stderr
    )
    assert [] == load.failures
    assert [("A",)] == load.versions()


@pytest.mark.skipif(not FULL, reason="LAZYIMPORT_TEST_FULL=1 runs it")
def test_a_rayservice_rolls_the_same_way(shop: Shop, tmp_path: Path) -> None:
    """Through kubectl, and nothing but serveConfigV2 has changed."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL.format(python=sys.executable))
    kubectl.chmod(0o755)
    shop.environ.update(
        PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        STAND_IN_DASHBOARD=shop.cluster.dashboard,
    )
    head = "kind: RayService\nmetadata: {name: shop}\nspec:\n  serveConfigV2: |\n"
    tail = "  rayClusterConfig: {rayVersion: '2.60.0'}\n"

    def service(hash: str) -> str:
        text = shop.config(hash).splitlines(keepends=True)
        return head + "".join(f"    {line}" for line in text) + tail

    file = tmp_path / "service.yaml"
    file.write_text(service(shop.hashes["A"]))
    options = ("--app", "shop", "--apply", "--wait")
    with Load(shop.port) as load:
        done = shop.run("deploy", file, "--hash", shop.hashes["B"], *options)
        there = file.read_text()
        shop.run("rollback", file, *options)

    assert "rayservice.ray.io/shop configured" in done.stderr
    assert service(shop.hashes["B"]) == there
    assert service(shop.hashes["A"]) == file.read_text()
    assert [] == load.failures
    assert [("A",), ("B",)] == load.versions()


@pytest.mark.skipif(not FULL, reason="LAZYIMPORT_TEST_FULL=1 runs it")
def test_a_cache_wiped_under_replicas_and_one_killed_in_the_rollout(shop: Shop) -> None:
    """What is running has the archive mapped; what starts anew fetches it again."""
    shutil.rmtree(f"{shop.cluster.cache}/archives")
    answers = [ask(shop.port, "/shop") for _ in range(3 * LATE * REPLICAS)]
    assert {("A",)} == {tuple(a["versions"]) for a in answers}

    timer = threading.Timer(5, os.kill, (answers[-1]["pid"], signal.SIGKILL))
    timer.start()
    try:
        shop.deploy(shop.hashes["B"])
    finally:
        timer.join()
    assert {shop.hashes["B"]} == set(shop.replicas("shop").values())
    assert ["B"] == ask(shop.port, "/shop")["versions"]
    shop.run("rollback", shop.file, "--app", "shop", "--apply", "--wait")
