"""A saved file runs in living replicas, as `lazyimport dev` has it: on a real Serve."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import pytest

pytest.importorskip("ray")
pytest.importorskip("ruamel.yaml")
pytest.importorskip("watchfiles")

from lazyimport.ray import live
from tests.support.cluster import Cluster, write

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

#: SIGINT as in a terminal, also where the test runner ignores it
MAIN = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from lazyimport.cli import main; sys.exit(main(sys.argv[1:]))"
)

#: Every answer carries all versions that were met on the way to it: of the object, of
#: a module that is imported with it, and of one that is imported by the request.
SERVE = """\
import asyncio
import contextlib
import os
import time

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from ray import serve
from ray.util.metrics import Counter

from lazyimport import keep
from toys import consts, ends, model


@contextlib.asynccontextmanager
async def lifespan(app):
    ends.note("begin", consts.VERSION)
    yield
    ends.note("end", consts.VERSION)


api = FastAPI(lifespan=lifespan)
asked = Counter("toys_asked", "Requests for all that there is.")


@serve.deployment
def doll(request=None):
    from toys import lazy
    return [consts.VERSION, lazy.VERSION]


@serve.deployment
class Train:
    def __init__(self, name):
        self.version = consts.VERSION
        self.config = None
        self.model = keep("model", model.load, name)

    async def reconfigure(self, config):
        self.config = config

    def seen(self):
        from toys import lazy
        return [self.version, consts.VERSION, lazy.VERSION]

    def __call__(self, seconds=0.0):
        before = self.seen()
        time.sleep(seconds)
        return before + self.seen()

    def cars(self, number):
        for _ in range(number):
            yield self.seen()
            time.sleep(0.05)

    async def wagons(self, number):
        for _ in range(number):
            yield self.seen()
            await asyncio.sleep(0.05)

    def request(self, serving):
        return [self.version]

    def name(self):
        return [self.version]

    @serve.batch(max_batch_size=4, batch_wait_timeout_s=0.01)
    async def load(self, goods):
        return [self.seen() for _ in goods]

    def loaded(self):
        is_one = isinstance(self.model, model.Model)
        return [self.model.number, is_one, os.getpid(), self.config]

    def __del__(self):
        ends.note("gone", self.version)


@serve.deployment(max_ongoing_requests=100)
@serve.ingress(api)
class Shop:
    def __init__(self, doll, train, name):
        self.version = consts.VERSION
        self.name, self.doll, self.train = name, doll, train

    @api.get("/")
    async def all(self):
        from toys import lazy
        asked.inc()
        me = serve.get_replica_context().servable_object
        return {
            "name": self.name,
            "loaded": await self.train.loaded.remote(),
            "pid": os.getpid(),
            "versions": [self.version, me.version, consts.VERSION, lazy.VERSION]
            + await self.doll.remote()
            + await self.train.remote()
            + await self.train.load.remote(1)
            + await self.train.request.remote(1)
            + await self.train.name.remote(),
        }

    @api.get("/slow")
    async def slow(self):
        return await self.train.remote(3.0)

    @api.get("/cars")
    async def cars(self, method: str):
        cars = self.train.options(stream=True, method_name=method).remote(60)
        return sum([car async for car in cars], [])

    @api.get("/lines")
    async def lines(self):
        async def lines():
            from toys import lazy
            for _ in range(30):
                yield f"{self.version},{consts.VERSION},{lazy.VERSION},"
                await asyncio.sleep(0.1)
        return StreamingResponse(lines(), media_type="text/plain")

    @api.get("/extra")
    async def extra(self):
        return await self.train.extra.remote()


def app(args):
    return Shop.bind(doll.bind(), Train.bind("big"), args["name"])
"""

FILES = {
    "toys/__init__.py": "",
    "toys/lazy.py": "VERSION = 0\n",
    "toys/consts.py": "VERSION = 0\n",
    "toys/ends.py": """\
import os


def note(*words):
    with open(os.environ["ENDS"], "a") as file:
        file.write(" ".join(map(str, (*words, os.getpid()))) + "\\n")
""",
    "toys/model.py": """\
import itertools

count = itertools.count()


class Model:
    def __init__(self):
        self.number = next(count)


def load(name):
    return Model()
""",
    "toys/serve.py": SERVE,
}


class Dev:
    """``lazyimport dev`` in a process, and the application that it changes.

    *options* are further words of the command, at a terminal where somebody can `type`.
    """

    def __init__(self, folder: Path, cluster: Cluster, *options: str) -> None:
        self.cluster = cluster
        self.version = self.asked = 0
        self.tree = write(FILES, folder / "src")
        self.file = folder / "serve.yaml"
        self._ends = folder / "ends"
        self.environ = {
            **{k: v for k, v in os.environ.items() if k[:10] != "LAZYIMPORT"},
            "LAZYIMPORT_CACHE_DIR": str(folder / "author"),
            "LAZYIMPORT_STORE": cluster.store,
            "RAY_DASHBOARD_ADDRESS": cluster.dashboard,
            "NO_COLOR": "1",
        }
        few = "ray_actor_options: {num_cpus: 0.1}"
        self.file.write_text(
            f"http_options: {{port: {cluster.serve_port}}}\n"
            "applications:\n"
            "  - name: toys\n"
            "    route_prefix: /toys\n"
            "    import_path: toys.serve:app\n"
            "    args: {name: of wood}\n"
            f"    runtime_env: {{env_vars: {{ENDS: {self._ends}, "
            f"LAZYIMPORT_STORE: '{cluster.store}'}}}}\n"
            "    deployments:\n"
            f"      - {{name: Shop, {few}}}\n"
            f"      - {{name: doll, {few}}}\n"
            f"      - {{name: Train, {few}, user_config: {{color: red}}}}\n"
        )
        self.text, self._ended = "", False
        self._changed = threading.Condition()
        command = [sys.executable, "-c", MAIN, "dev", str(self.tree), str(self.file)]
        keyboard, terminal = os.openpty()
        self._keyboard = os.fdopen(keyboard, "wb", 0)
        self._process = subprocess.Popen(
            [*command, *options],
            env=self.environ,
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        os.close(terminal)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.text += line
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait(self, *texts: str, since: int = 0) -> str:
        """Return what was said since then, once one of *texts* was.

        A rollout may have to come first, which starts processes on a busy machine.
        """

        def was_said() -> bool:
            return any(text in self.text[since:] for text in texts)

        with self._changed:
            self._changed.wait_for(lambda: was_said() or self._ended, 400)
            assert was_said(), self.text[since:]
            return self.text[since:]

    def save(self, files: dict[str, str]) -> str:
        """Save *files* of the next version; return what ``dev`` says of it."""
        since, self.version = len(self.text), self.version + 1
        versions = {
            f"toys/{n}.py": f"VERSION = {self.version}\n" for n in ("lazy", "consts")
        }
        serve = {"toys/serve.py": SERVE}
        # It looks when all is there: half of it would be a version of its own.
        self._process.send_signal(signal.SIGSTOP)
        for path, text in {**serve, **versions, **files}.items():
            place = self.tree / path
            if place.read_text() == text:
                continue
            place.with_suffix(".tmp~").write_text(text)
            place.with_suffix(".tmp~").rename(place)  # as editors do
        self._process.send_signal(signal.SIGCONT)
        return self.wait(" runs: ", "serves on", since=since)

    def type(self, text: str) -> None:
        self._keyboard.write(text.encode())

    def ask(self, path: str = "") -> Any:
        self.asked += not path
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.cluster.serve_port, timeout=60
        )
        connection.request("GET", f"/toys/{path}")
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        assert answer.status == 200, f"{answer.status}: {text}"
        return json.loads(text) if text.startswith(("[", "{")) else text

    def met(self) -> set[int]:
        """The versions that a request meets."""
        return set(self.ask()["versions"])

    def ends(self) -> list[str]:
        """What has begun and ended so far."""
        return self._ends.read_text().splitlines()

    def run(self, *words: object) -> str:
        return subprocess.run(
            [sys.executable, "-m", "lazyimport", *map(str, words)],
            env=self.environ,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def stop(self) -> int:
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(60)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._keyboard.close()
        return code


@pytest.fixture(scope="module", name="dev")
def _dev(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    running = Dev(tmp_path_factory.mktemp("dev"), cluster)
    try:
        running.wait("watching")
        yield running
    finally:
        running.stop()


def test_what_begins_is_new_and_what_has_begun_stays_old(dev: Dev) -> None:
    """In each kind of method, also where a request imports later; the model is kept."""
    before = dev.ask()
    old, paths = (
        dev.version,
        ["slow", "cars?method=cars", "cars?method=wagons", "lines"],
    )
    with ThreadPoolExecutor(len(paths)) as pool:
        begun = [pool.submit(dev.ask, path) for path in paths]
        time.sleep(1)
        said = dev.save({})
        after = dev.ask()
        answers = [future.result() for future in begun]
    assert {old + 1} == set(after["versions"])
    assert before["pid"] == after["pid"]
    assert before["loaded"][:2] == after["loaded"][:2] == [0, True]
    for answer in answers:
        met = answer.split(",")[:-1] if isinstance(answer, str) else answer
        assert {str(old)} == set(map(str, met))
    assert "toys.serve" in said
    assert "toys.model" not in said
    assert "kept model" in said


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"toys/consts.py": "VERSION = (\n"}, "toys/consts.py:1: SyntaxError"),
        ({"toys/consts.py": "VERSION = 1 / 0\n"}, "toys/consts.py:1: ZeroDivisionError"),
        (
            {"toys/serve.py": SERVE.replace("self.name, self", "1 / 0, self")},
            "cannot assign",
        ),
        (
            {"toys/serve.py": SERVE.replace('("big")', "()")},
            "missing 1 required positional argument: 'name'",
        ),
        (
            {"toys/serve.py": SERVE.replace("self.config = config", "config.color")},
            "has no attribute 'color'",
        ),
        (
            {"toys/serve.py": re.sub(r"\bTrain\b", "Tram", SERVE)},
            "other deployments now: 'Train' is gone, 'Tram' is new",
        ),
        (
            {"toys/serve.py": SERVE.replace("def __call__(self, s", "async def __call__(self, s")},
            "method '__call__' of deployment 'Train' was sync and is async now",
        ),
        (
            {"toys/serve.py": SERVE.replace("@serve.deployment\nclass Tr", "@serve.deployment(num_replicas=2)\nclass Tr")},
            "num_replicas of deployment 'Train' was 1 and is 2 now",
        ),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused(
    dev: Dev, files: dict[str, str], reason: str
) -> None:
    """With the reason; the version before serves on, and the next one can be good."""
    before, old = dev.ask(), dev.met()
    said = dev.save(files)
    assert reason in said
    assert "is refused by" in said
    assert old == dev.met()
    assert before["pid"] == dev.ask()["pid"]


def test_a_node_asks_no_store_for_a_small_change(dev: Dev, cluster: Cluster) -> None:
    """It comes with the wish; a fetcher would say in the lock how far it is."""
    dev.save({})  # what was refused before may be the base, which the node let go of
    (hash, *_) = re.findall(r"(\w{12}) runs: ", dev.save({}))
    (lock,) = Path(cluster.cache, "locks").glob(f"{hash}*")
    assert lock.read_bytes() == b""


def test_routes_come_and_go_with_methods_of_other_deployments(dev: Dev) -> None:
    text = SERVE.replace("    def loaded(", "    def extra(self):\n        return [7]\n\n    def loaded(")  # fmt: skip
    dev.save({"toys/serve.py": text})
    assert [7] == dev.ask("extra")
    dev.save({"toys/serve.py": SERVE.replace('"/extra"', '"/other"')})
    with pytest.raises(AssertionError, match="404"):
        dev.ask("extra")
    dev.save({"toys/serve.py": SERVE})
    assert {dev.version} == dev.met()


def test_a_user_config_of_the_manifest_arrives(dev: Dev) -> None:
    """Beside the hash: Serve takes the new one to living replicas."""
    before = dev.ask()
    assert {"color": "red"} == before["loaded"][3]
    text, since = dev.file.read_text(), len(dev.text)
    dev.file.write_text("applications: [\n")
    dev.wait("not YAML", since=since)
    dev.file.write_text(text.replace("red", "blue"))
    deadline = time.monotonic() + 60
    while (after := dev.ask())["loaded"][3] == {"color": "red"}:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert {"color": "blue"} == after["loaded"][3]
    assert before["pid"] == after["pid"]


@pytest.mark.skipif(
    version("ray").startswith("2.40."),
    reason="a counter that is made again there loses what the one before counted",
)
def test_metrics_count_each_request_once(dev: Dev) -> None:
    """However often the module was executed again that has made the metric."""
    for _ in range(2):
        dev.save({})
        dev.ask()
    dev.save({"toys/serve.py": f"{SERVE}1 / 0\n"})
    dev.ask()
    deadline = time.monotonic() + 60
    while (counted := _counted(dev.cluster.metrics())) < dev.asked:
        assert time.monotonic() < deadline, counted
        time.sleep(0.5)
    assert dev.asked == counted
    dev.save({})


def _counted(metrics: str) -> float:
    found = re.findall(r"^ray_toys_asked(?:_total)?\{.*\} (\S+)", metrics, re.MULTILINE)
    return sum(map(float, found))


def test_a_replica_that_autoscaling_adds_serves_the_newest_version(dev: Dev) -> None:
    text, since = dev.file.read_text(), len(dev.text)
    scaled = (
        "name: Train, autoscaling_config: {min_replicas: 1, max_replicas: 2, "
        "target_ongoing_requests: 1, upscale_delay_s: 0.1, metrics_interval_s: 0.1, "
        "look_back_period_s: 0.5}"
    )
    dev.file.write_text(text.replace("name: Train", scaled))
    dev.wait("Serve has it now", since=since)
    dev.save({})
    deadline = time.monotonic() + 60
    while {dev.version} != dev.met():  # half of it may have been packed with the other
        assert time.monotonic() < deadline
    end = threading.Event()
    met: set[int] = set()
    pids: set[int] = set()

    def ask() -> None:
        while not end.is_set():
            met.update(dev.ask("slow"))

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        deadline = time.monotonic() + 120
        try:
            while len(pids) < 2:
                assert time.monotonic() < deadline
                pids.add(dev.ask()["loaded"][2])
        finally:
            end.set()
    for each in asking:
        each.result()
    assert {dev.version} == met
    since = len(dev.text)
    dev.file.write_text(text)
    dev.wait("Serve has it now", since=since)
    dev.save({})
    assert {dev.version} == dev.met()


def test_what_is_refused_is_rolled_out_if_somebody_says_so(dev: Dev) -> None:
    health = "    def check_health(self):\n        pass\n\n    def seen("
    for serve in (SERVE.replace("    def seen(", health), SERVE):
        said = dev.save({"toys/serve.py": serve})
        assert "method 'check_health' of deployment 'Train' was " in said
        assert "type r and Enter" in said
        before, since = dev.ask()["loaded"][2], len(dev.text)
        dev.type("r\n")
        dev.wait("replicas run it", since=since)
        after = dev.ask()
        assert {dev.version} == set(after["versions"])
        assert before != after["loaded"][2]
    assert "is refused" not in dev.save({})


def test_an_object_ends_once_when_nobody_uses_it(dev: Dev) -> None:
    version = dev.version
    dev.save({})
    wanted = {f"end {version}", f"gone {version}"}
    deadline = time.monotonic() + 30
    while not wanted <= {line.rpartition(" ")[0] for line in dev.ends()}:
        assert time.monotonic() < deadline, dev.ends()
        time.sleep(0.1)
    ended = [line.rpartition(" ")[0] for line in dev.ends()]
    assert wanted == {line for line in ended if ended.count(line) == 1} & wanted
    assert not {f"end {dev.version}", f"gone {dev.version}"} & set(ended)


def test_a_replica_that_is_killed_comes_back_in_the_new_version(dev: Dev) -> None:
    dev.save({})
    pid = dev.ask()["loaded"][2]
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 120
    while True:
        assert time.monotonic() < deadline
        try:
            answer = dev.ask()
        except (AssertionError, OSError):
            time.sleep(0.1)
            continue  # a request that the killed one held
        assert {dev.version} == set(answer["versions"])
        if answer["loaded"][2] != pid:
            break
    dev.save({})
    assert {dev.version} == dev.met()


def test_it_is_marked_wherever_somebody_looks(dev: Dev) -> None:
    (hash,) = re.findall(r"^(\w+) runs: ", dev.save({}), re.MULTILINE)
    assert f"live {hash}" in dev.run("status")
    told = json.loads(dev.run("status", "--json"))["applications"]
    assert [hash] == [app["live"][:12] for app in told if app["name"] == "toys"]
    assert hash in dev.cluster.log("lazyimport.log")
    deadline = time.monotonic() + 60
    while "ray_lazyimport_swaps_swapped_total" not in dev.cluster.metrics():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_where_it_is_not_allowed_nothing_is_live() -> None:
    """An import path that found its way into production serves nothing."""
    with pytest.raises(RuntimeError, match="LAZYIMPORT_LIVE=1"):
        live.application({"application": "toys.serve:app"})


def test_the_end_says_what_to_deploy(dev: Dev) -> None:
    """What was tried lies in the store under its hash."""
    assert dev.stop() == 0
    (hash,) = re.findall(r"--hash (\w{64}) --apply", dev.text.splitlines()[-1])
    assert {dev.version} == dev.met()
    dev.run("deploy", dev.file, "--hash", hash)
    assert hash in dev.file.read_text()


def test_restored_it_runs_what_it_ran_before(
    dev: Dev, cluster: Cluster, tmp_path: Path
) -> None:
    """And whoever else applies it takes it over until the next change is saved."""

    (hash,) = re.findall(r"\b[0-9a-f]{64}\b", dev.file.read_text())

    def apply() -> None:
        dev.run("deploy", dev.file, "--hash", hash, "--apply", "--wait", "--quiet")
        assert {dev.version} == dev.met()
        _wait_until_nothing_is_live(dev)

    apply()
    other = Dev(tmp_path, cluster, "--restore")
    try:
        other.wait("watching")
        other.save({})
        assert {other.version} == other.met()
        apply()
        other.save({})
        assert {other.version} == other.met()
        assert "live" in dev.run("status")
    finally:
        other.stop()
    assert "toys goes back to what it ran before" in other.text
    deadline = time.monotonic() + 120
    while {dev.version} != dev.met():
        assert time.monotonic() < deadline
        time.sleep(0.5)
    _wait_until_nothing_is_live(dev)


def _wait_until_nothing_is_live(dev: Dev) -> None:
    """A replica that has been replaced may answer what it was asked before it ends."""
    deadline = time.monotonic() + 120
    while "live" in dev.run("status"):
        assert time.monotonic() < deadline
        time.sleep(0.5)
