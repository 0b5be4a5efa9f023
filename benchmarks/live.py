"""The time from a saved file to the first and the last replica that runs it.

A Serve application of 300 modules: an ingress of FastAPI, and a deployment with a model
that takes ten seconds to load, three replicas each, under constant load with streams of
three seconds. Every answer carries all versions that were met on the way to it, those
of lazy imports too. In turn:

  live      `lazyimport dev` swaps: as many saves as --rounds, then ten broken ones,
            then a replica is killed
  far       the same with a store that takes 60 ms for each request
  rollout   `lazyimport deploy --push --apply --wait` of the same application
  reload    `serve run --reload` of it

A request is failed if it has no answer, and mixed if it met two versions within one
process. Times count from the writing of the file, with the pauses of the clients.
"Growth" is that of the largest replica after the tenth swap. Needs the extras dev, ray
and objects.
"""

from __future__ import annotations

import collections
import contextlib
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import arguments, figure, print_machine, scratch, table
from tests.support.cluster import Cluster
from tests.support.shaped import Shaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

FAR = 0.06
_CLIENTS, _STREAMS, _PAUSE = 4, 2, 0.25
_PATIENCE = 180.0
_PARTS = ["live", "far", "rollout", "reload"]

#: `lazyimport dev`, with SIGINT as in a terminal; its store may be far
_DEV = """\
import signal, sys, time
from lazyimport.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
if {far}:
    from benchmarks.push import Distant
    from lazyimport.cli.commands import dev
    near = dev.store_of
    dev.store_of = lambda *words, **options: Distant(near(*words, **options))
sys.exit(main(sys.argv[1:]))
"""

_MODULE = '''\
"""One of many modules."""

import dataclasses
import functools

from shop import kinds as _kinds


@dataclasses.dataclass
class Thing:
    count: int = {number}
    name: str = "x{number}"

    def twice(self):
        return self.count * 2 + {number}


@functools.lru_cache(maxsize=None)
def compute(count):
    return sum((each * {number}) % 7 for each in range(count))


TABLE = {{str(each): each * {number} for each in range(50)}}
'''

_SERVE = """\
import asyncio
import os
import time

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from ray import serve

import lazyimport
from shop import consts, handler, logs, model{imports}

app = FastAPI()


@serve.deployment(max_ongoing_requests=50)
class Model:
    def __init__(self, weights):
        self.version = consts.VERSION
        self.model = lazyimport.keep("model", model.load, weights)

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.005)
    async def batched(self, values):
        await asyncio.sleep(0.002)
        found = [self.version, *handler.met()]
        return [found for value in values]

    async def __call__(self, value):
        met = [self.version, *handler.met()]
        await asyncio.sleep(0.02)
        met += await self.batched(value)
        met += handler.met()
        is_one = isinstance(self.model, model.Model)
        return {{"met": met, "loaded": self.model.loaded, "pid": os.getpid(),
                "is": is_one, "alive": logs.alive()}}


@serve.deployment(max_ongoing_requests=100)
@serve.ingress(app)
class Shop:
    def __init__(self, model):
        self.version = consts.VERSION
        self.model = model

    @app.get("/")
    async def work(self):
        met = [self.version, *handler.met()]
        logs.log()
        answer = await self.model.remote(1.0)
        met += [self.version, *handler.met()]
        return {{"met": met, "pid": os.getpid(), "alive": logs.alive(), "model": answer}}

    @app.get("/stream")
    async def stream(self):
        async def lines():
            for _ in range(30):
                met = [self.version, *handler.met()]
                yield " ".join(map(str, met)) + "\\n"
                await asyncio.sleep(0.1)

        return StreamingResponse(lines(), media_type="text/plain")


shop = Shop.bind(Model.bind("weights"))
"""

_READY = "'reload' is ready"
#: what `serve run` deploys, which takes no number of replicas
_MANY = """\
from shop.serve import Model, Shop

few = {"num_replicas": {replicas}, "ray_actor_options": {"num_cpus": 0.1}}
shop = Shop.options(**few).bind(Model.options(**few).bind("weights"))
"""

_FILES = {
    "shop/__init__.py": "",
    "shop/kinds.py": "class Kind:\n    pass\n",
    "shop/handler.py": """\
import importlib

from shop import consts, other


def met():
    from shop import lazy
    again = importlib.import_module("shop.lazy")
    return [consts.VERSION, other.VERSION, lazy.VERSION, again.VERSION]
""",
    "shop/model.py": """\
import time

class Model:
    def __init__(self):
        self.weights = bytearray(50_000_000)
        self.loaded = time.time()


def load(weights):
    time.sleep({seconds})
    return Model()
""",
    "shop/logs.py": """\
import logging
import os

import prometheus_client

from shop import consts

_log = logging.getLogger("shop")
_log.propagate = False
_log.addHandler(logging.FileHandler(os.environ["SHOP_LOG"]))
COUNT = prometheus_client.Counter("shop_answers", "answers")
_calls = 0


def log():
    global _calls
    _calls += 1
    COUNT.inc()
    _log.warning("%s %s %s", os.getpid(), consts.VERSION, _calls)


def alive():
    \"\"\"How many versions this process holds, and without those that requests hold.\"\"\"
    from lazyimport.runtime import process

    live = process.live
    living = [each() for each in live.generations] if live else []
    living = [each for each in living if each is not None]
    held = [each for each in living if each.users and each.number < live.current.number]
    return len(living), len(living) - len(held)
""",
}

#: ten saves that cannot run: the file, and what to replace in it
BROKEN: list[tuple[str, str, str]] = [
    ("shop/consts.py", "VERSION", "VERSION = ("),
    ("shop/consts.py", "VERSION", "raise RuntimeError('no'); VERSION"),
    ("shop/consts.py", "VERSION = ", "WRONG = "),
    ("shop/handler.py", "import importlib", "import importlib, nothing"),
    ("shop/handler.py", "from shop import", "from shop import nowhere,"),
    ("shop/serve.py", "        self.model = model\n", "        1 / 0\n"),
    ("shop/serve.py", "def __init__(self, model):", "def __init__(self):"),
    ("shop/serve.py", "@serve.deployment(max_ongoing_requests=50)\nclass Model", "@serve.deployment(name='Other')\nclass Model"),
    ("shop/serve.py", 'shop = Shop.bind(Model.bind("weights"))', "shop = None"),
    ("shop/serve.py", "async def __call__(self, value):\n", "def __call__(self, value):\n        return 1\n\n    async def old(self, value):\n"),
]  # fmt: skip


class Answer(NamedTuple):
    """An answer, when it was asked for and when it came."""

    asked: float
    came: float
    met: Mapping[int, set[int]]
    facts: Any


class Load:
    """Clients of the application at *path*, until it is left."""

    def __init__(self, port: int, path: str) -> None:
        self._port, self._path = port, path
        self.answers: list[Answer] = []
        self.failed: list[str] = []
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(number,))
            for number in range(_CLIENTS + _STREAMS)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        streams = number < _STREAMS
        while not self._end.is_set():
            asked = time.time()
            try:
                answer = self.stream() if streams else self.ask()
                self.answers.append(Answer(asked, time.time(), *answer))
            except (OSError, ValueError, http.client.HTTPException) as error:
                self.failed.append(f"{asked:.2f} {error!r}")
                self._end.wait(_PAUSE)
            if not streams:
                self._end.wait(_PAUSE)

    def ask(self) -> tuple[dict[int, set[int]], Any]:
        """Return the versions that one request met, by process, and all it said."""
        facts = json.loads(self._get(""))
        inner = facts["model"]
        return {facts["pid"]: set(facts["met"]), inner["pid"]: set(inner["met"])}, facts

    def stream(self) -> tuple[dict[int, set[int]], Any]:
        text = self._get("stream")
        if text.count("\n") != 30:
            raise ValueError(f"a stream of {text.count(chr(10))} lines")
        return {0: set(map(int, text.split()))}, None

    def _get(self, name: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("GET", f"{self._path}/{name}")
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(f"{answer.status}: {text[:200]}")
        return text

    def first(self, version: int) -> float:
        """Return when the first answer came for which a process had *version* alone."""
        until = time.time() + _PATIENCE
        seen = 0
        while time.time() < until:
            for answer in self.answers[seen:]:
                seen += 1
                if {version} in answer.met.values():
                    return answer.came
            time.sleep(0.01)
        raise SystemExit(f"no answer of version {version}: {self.failed[-1:]}")

    @property
    def mixed(self) -> list[Answer]:
        """The answers for which one process had two versions."""
        return [
            answer
            for answer in self.answers
            if any(len(met) > 1 for met in answer.met.values())
        ]


class Bench:
    """The cluster in *folder*, and the application there."""

    def __init__(
        self, folder: str, modules: int, seconds: float, replicas: int
    ) -> None:
        self.folder, self.modules = folder, modules
        self.replicas, self.seconds = replicas, seconds
        self.version = 0
        self.log = f"{folder}/shop.log"
        self.file = Path(folder, "serve.yaml")
        self.write_all()
        self.ray = Cluster(folder, {"SHOP_LOG": self.log})

    def write_all(self) -> None:
        """Write the application in its newest version."""
        names = [f"part{number:03}" for number in range(self.modules - 9)]
        imports = "".join(f", {name}" for name in names)
        self.write(
            {
                **{
                    f"shop/{name}.py": _MODULE.format(number=number)
                    for number, name in enumerate(names)
                },
                **{
                    path: text.replace("{seconds}", str(self.seconds))
                    for path, text in _FILES.items()
                },
                "shop/serve.py": _SERVE.format(imports=imports),
            }
        )
        self.write_version()

    def write_version(self, more: Mapping[str, str] = {}) -> float:
        """Write the three files that have the version, and *more*; return when."""
        names = ("other", "lazy", "consts")
        text = f"VERSION = {self.version}\n"
        return self.write({**more, **{f"shop/{name}.py": text for name in names}})

    def write(self, files: Mapping[str, str]) -> float:
        """Write *files*, as good as at once; return when."""
        changed = {}
        for path, text in files.items():
            place = Path(self.folder, "src", path)
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists() or place.read_text() != text:
                changed[place] = new = place.with_suffix(".tmp~")
                new.write_text(text)
        for place, new in changed.items():
            new.replace(place)
        return time.time()

    def config(self, name: str, store: str, hash: str = "") -> str:
        """Return the manifest of the application *name*."""
        variables = f"SHOP_LOG: {self.log}, LAZYIMPORT_STORE: '{store}'"
        variables += f", LAZYIMPORT_HASH: {hash}" if hash else ""
        few = f"num_replicas: {self.replicas}, ray_actor_options: {{num_cpus: 0.1}}"
        return (
            f"http_options: {{port: {self.ray.serve_port}}}\napplications:\n"
            f"  - name: {name}\n    route_prefix: /{name}\n"
            "    import_path: shop.serve:shop\n"
            f"    runtime_env: {{env_vars: {{{variables}}}}}\n"
            f"    deployments: [{{name: Shop, {few}}}, {{name: Model, {few}}}]\n"
        )

    @property
    def environ(self) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if k[:10] != "LAZYIMPORT"}
        return {
            **clean,
            "LAZYIMPORT_CACHE_DIR": f"{self.folder}/author",
            "RAY_DASHBOARD_ADDRESS": self.ray.dashboard,
            "NO_COLOR": "1",
        }

    def clear(self) -> None:
        """Let Serve run nothing, and listen where the clients ask."""
        config = {"http_options": {"port": self.ray.serve_port}, "applications": []}
        request = urllib.request.Request(
            f"{self.ray.dashboard}/api/serve/applications/",
            json.dumps(config).encode(),
            {"Content-Type": "application/json"},
            method="PUT",
        )
        urllib.request.urlopen(request, timeout=120).close()

    def load(self, name: str) -> Load:
        return Load(self.ray.serve_port, f"/{name}")


class Process:
    """A command that goes on, and what it has said."""

    def __init__(self, command: list[str], environ: Mapping[str, str]) -> None:
        self.text = ""
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.text += line
                self._changed.notify_all()

    def wait(self, pattern: str, since: int = 0, seconds: float = _PATIENCE) -> str:
        """Return what was said since then, once *pattern* is in it."""
        with self._changed:
            done = self._changed.wait_for(
                lambda: re.search(pattern, self.text[since:]), seconds
            )
            if not done:
                raise SystemExit(f"no {pattern!r} in: {self.text[since:]}")
            return self.text[since:]

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


class Times(NamedTuple):
    """Seconds from saving."""

    first: float
    last: float


def live(bench: Bench, saves: int, *, far: bool) -> list[Times]:
    """Let `lazyimport dev` run *saves*, and print what else it is to show."""
    name, near = (
        ("far", f"{bench.folder}/far") if far else ("live", f"{bench.folder}/store")
    )
    os.makedirs(near, exist_ok=True)
    with contextlib.ExitStack() as stack:
        store = f"file://{near}"
        url = (
            stack.enter_context(Shaped(Path(near), delay=FAR).serving())
            if far
            else store
        )
        bench.file.write_text(bench.config(name, url))
        command = [sys.executable, "-c", _DEV.format(far=far), "dev"]
        command += [f"{bench.folder}/src", str(bench.file), "--store", store]
        dev = Process(command, bench.environ)
        stack.callback(dev.stop)
        dev.wait("watching", seconds=600)
        load = stack.enter_context(bench.load(name))
        load.first(bench.version)
        times, memory = [], {}
        for number in range(saves):
            since = len(dev.text)
            bench.version += 1
            saved = bench.write_version()
            first = load.first(bench.version)
            dev.wait(r" runs: ", since)
            last = float(re.findall(r"all \d+ after ([\d.]+) s", dev.text[since:])[-1])
            times.append(Times(first - saved, last))
            if number == min(10, saves // 2):
                memory = sizes(load)
            time.sleep(0.3)
        after = sizes(load)
        growth = max(
            (after[pid] - memory[pid] for pid in memory if pid in after), default=0
        )
        print(f"{name}: {saves} swaps, growth {growth / 1e6:+.1f} MB")
        print_steps(bench, name, dev.text)
        if not far:
            print_broken(bench, dev, load)
            print_kill(bench, load)
    print_load(name, load)
    if not far:
        print(f"  {check_log(bench)}")
    return times


def print_steps(bench: Bench, name: str, said: str) -> None:
    """Print how long the steps take, in ms: in `dev`, and inside of the replicas."""
    steps = collections.defaultdict(list)
    for step in ("packed", "sent"):
        steps[step] = [float(ms) for ms in re.findall(rf"{step} (\d+) ms", said)]
    log = bench.ray.log("lazyimport.log")
    for text in log.splitlines():
        told = json.loads(text).get("live", {})
        if told.get("application") == name and told["state"] == "swapped":
            for step, ms in told["milliseconds"].items():
                steps[step].append(ms)
    medians = (f"{step} {statistics.median(each):.0f}" for step, each in steps.items())
    print(f"  {name}: ms of {', '.join(medians)}")


def print_broken(bench: Bench, dev: Process, load: Load) -> None:
    """Save what cannot run, and a good version after each."""
    kept = bench.version
    for path, old, new in BROKEN:
        since = len(dev.text)
        text = Path(bench.folder, "src", path).read_text()
        assert old in text, (path, old)
        bench.version += 1
        bench.write({path: text.replace(old, new, 1)})
        said = dev.wait("serves on| runs: ", since)
        reason = re.findall(r"is refused by .*?: (.*)", said)
        asked = load.ask()[0]
        stays = {kept} == set().union(*asked.values())
        print(
            f"  refused, and {'the old version' if stays else f'MIXED {asked}'} serves: {reason[:1]}"
        )
        since = len(dev.text)
        bench.write_version({path: text})
        dev.wait(" runs: ", since)
        kept = bench.version
        load.first(kept)


def print_kill(bench: Bench, load: Load) -> None:
    """Kill a replica with the model, and see what the new one serves."""
    pid = load.ask()[1]["model"]["pid"]
    known = {
        answer.facts["model"]["pid"] for answer in load.answers[-40:] if answer.facts
    }
    failed, killed = len(load.failed), time.time()
    os.kill(pid, signal.SIGKILL)
    until = killed + _PATIENCE
    new = None
    while new is None and time.time() < until:
        time.sleep(0.1)
        for answer in load.answers[-20:]:
            if answer.facts and answer.facts["model"]["pid"] not in known:
                new = answer
    versions = {
        v
        for a in load.answers
        if a.asked > killed
        for met in a.met.values()
        for v in met
    }
    late = f"{new.came - killed:.1f} s" if new else "NEVER"
    print(
        f"  kill -9: first answer of the new replica after {late}, versions since "
        f"{sorted(version - bench.version for version in versions)}, failed {len(load.failed) - failed}"
    )


def print_load(name: str, load: Load) -> None:
    """Print what all requests have met."""
    plain = [answer for answer in load.answers if answer.facts]
    loaded = collections.Counter(a.facts["model"]["loaded"] for a in plain)
    kept = collections.Counter(a.facts["model"]["is"] for a in plain)
    both = [each["alive"] for a in plain for each in (a.facts, a.facts["model"])]
    alive, needed = map(max, zip(*both, strict=True))
    print(
        f"  {name}: {len(plain)} requests and {len(load.answers) - len(plain)} streams, "
        f"failed {len(load.failed)}, mixed {len(load.mixed)}; models loaded "
        f"{len(loaded)}, isinstance {dict(kept)}, versions alive at most "
        f"{alive}, {needed} without those that requests hold"
    )
    for each in [*load.failed[:3], *load.mixed[:3]]:
        print("   ", each)


def sizes(load: Load) -> dict[int, int]:
    """Return the resident bytes of the processes that answer."""
    pids = {pid for answer in load.answers[-200:] for pid in answer.met if pid}
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/statm").read_text()
            found[pid] = int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return found


def check_log(bench: Bench) -> str:
    """Return how many lines the handlers wrote for one call, at most."""
    lines = collections.Counter(Path(bench.log).read_text().splitlines())
    return f"lines for one log call: {sorted(set(lines.values()))}"


def rollout(bench: Bench, rounds: int) -> list[Times]:
    """Roll out as in production."""
    times = []
    bench.file.write_text(bench.config("plain", f"file://{bench.folder}/store"))
    command = [sys.executable, "-m", "lazyimport", "deploy", str(bench.file), "--quiet"]
    command += ["--push", f"{bench.folder}/src", "--store", f"{bench.folder}/store"]
    command += ["--apply", "--wait"]
    subprocess.run(command, env=bench.environ, check=True)
    with bench.load("plain") as load:
        load.first(bench.version)
        for _ in range(rounds):
            bench.version += 1
            saved = bench.write_version()
            done = subprocess.Popen(command, env=bench.environ)
            first = load.first(bench.version)
            if done.wait():
                raise SystemExit("the rollout failed")
            times.append(Times(first - saved, time.time() - saved))
    print_load("rollout", load)
    return times


def reload(bench: Bench, rounds: int) -> list[Times]:
    """Let `serve run --reload` do it, as it can on one machine.

    Replicas import from the folder. Of a ``--working-dir`` they would see nothing new:
    that is uploaded once.
    """
    times = []
    source = f"{bench.folder}/src"
    bench.write({"shop/many.py": _MANY.replace("{replicas}", str(bench.replicas))})
    command = [sys.executable, "-c", "from ray.serve.scripts import cli; cli()", "run"]
    command += ["shop.many:shop", "--reload", "--app-dir", source]
    command += ["--address", bench.ray.address, "--name", "reload"]
    command += ["--route-prefix", "/reload"]
    variables = {"PYTHONPATH": source, "SHOP_LOG": bench.log}
    command += ["--runtime-env-json", json.dumps({"env_vars": variables})]
    environ = {**bench.environ, "RAY_AUTH_MODE": "disabled", "SHOP_LOG": bench.log}
    run = Process(command, environ)
    try:
        run.wait(_READY)
        with bench.load("reload") as load:
            load.first(bench.version)
            for _ in range(rounds):
                since = len(run.text)
                bench.version += 1
                saved = bench.write_version()
                first = load.first(bench.version)
                run.wait(_READY, since)
                times.append(Times(first - saved, time.time() - saved))
                time.sleep(5)
        print_load("reload", load)
    finally:
        run.stop()
    return times


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__, rounds=200)
    parser.add_argument("--modules", type=int, default=300)
    parser.add_argument("--model", type=float, default=10.0, help="seconds to load it")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument(
        "--only", nargs="*", choices=_PARTS, default=_PARTS, help="these parts"
    )
    options = parser.parse_args()
    saves, few = (5, 1) if options.quick else (options.rounds, 3)
    print_machine()
    results: dict[str, list[Times]] = {}
    # The name of the folder must be short, since Ray puts sockets there.
    with scratch() as folder:
        bench = Bench(folder, options.modules, options.model, options.replicas)
        parts = {
            "live": lambda: live(bench, saves, far=False),
            "far": lambda: live(bench, min(saves, 30), far=True),
            "rollout": lambda: rollout(bench, few),
            "reload": lambda: reload(bench, few),
        }
        try:
            for name in options.only:
                bench.clear()
                results[name] = parts[name]()
        finally:
            bench.ray.stop()
    rows = [
        (name, len(times), *(figure(column) for column in zip(*times, strict=True)))
        for name, times in results.items()
    ]
    print(f"{options.modules} modules, {options.replicas} replicas of each, seconds")
    table(("", "saves", "first answer", "all replicas"), rows)


if __name__ == "__main__":
    main()
