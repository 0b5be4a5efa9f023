"""The time from a changed line to the first and the last new replica of Ray Serve.

A Serve application of a few hundred modules with three replicas rolls from one version
to the next, in five ways in turn:

  archive      lazyimport packs and pushes the sources, and sets the hash
  working_dir  Ray's working_dir is the URI of a zip of the sources
  remote       the same with the zip on a web server on this machine
  py_modules   Ray's py_modules has the zip
  image        the lower limit: every node has the code of both versions, and an
               environment variable chooses one

"prepare" is everything before the config is applied; after it, archive and zip lie in
a folder, which Ray reads without a network (except for "remote"). The other times count
from the moment of applying the config. Needs the extras deploy and ray.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from benchmarks.measure import arguments, figure, print_machine, scratch, table
from lazyimport.deploy import cluster
from tests.support.cluster import Cluster

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lazyimport.deploy.status import Replica

REPLICAS = 3
_LIMIT = 600

_SERVE = """\
import os

from ray import serve

from {package}.parts import COUNT


@serve.deployment(num_replicas={replicas}, ray_actor_options={{"num_cpus": 0.1}})
class Shop:
    def __init__(self):
        assert COUNT == {modules}
        import {package}.parts

    def __call__(self, request):
        return {version}


app = Shop.bind()
"""


class Times(NamedTuple):
    """Seconds of one rollout."""

    prepare: float
    first: float
    last: float


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Bench:
    """A Ray cluster in *folder*, and the application in all five ways."""

    def __init__(self, folder: str, modules: int) -> None:
        self.folder = folder
        self.modules = modules
        for number in (0, 1):
            write_tree(f"{folder}/image", f"shop{number}", str(number), modules)
        os.makedirs(f"{folder}/zips")
        self.web = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(_Quiet, directory=f"{folder}/zips")
        )
        threading.Thread(target=self.web.serve_forever, daemon=True).start()
        self.ray = Cluster(folder, {"PYTHONPATH": f"{folder}/image"})
        self.cluster = cluster.Cluster(self.ray.dashboard)

    def close(self) -> None:
        """End Ray and the web server."""
        self.web.shutdown()
        self.web.server_close()
        self.ray.stop()

    def archive(self, version: str) -> dict[str, object]:
        """Push the sources and set the hash with the command line."""
        tree = self.tree(version)
        file = f"{self.folder}/serve.yaml"
        if not os.path.exists(file):
            with open(file, "w", encoding="utf-8") as out:
                json.dump(self.config("shop.serve:app", {}), out)
        store = f"{self.folder}/store"
        os.makedirs(store, exist_ok=True)
        command = [sys.executable, "-m", "lazyimport", "deploy", file, "--quiet"]
        subprocess.run(
            [*command, "--push", tree, "--store", store],
            env={**os.environ, "LAZYIMPORT_CACHE_DIR": f"{self.folder}/author"},
            check=True,
        )
        with open(file, encoding="utf-8") as out:
            config: dict[str, object] = json.load(out)
        application = config["applications"][0]  # type: ignore[index]
        variables = application["runtime_env"]["env_vars"]
        variables["LAZYIMPORT_STORE"] = f"file://{store}"
        return config

    def working_dir(self, version: str) -> dict[str, object]:
        """Return a config with a zip of the sources as working_dir."""
        return self.config("shop.serve:app", {"working_dir": self.zip(version)})

    def remote(self, version: str) -> dict[str, object]:
        """Return a config with the URL of a zip of the sources as working_dir."""
        name = os.path.basename(self.zip(version))
        url = f"http://127.0.0.1:{self.web.server_port}/{name}"
        return self.config("shop.serve:app", {"working_dir": url})

    def py_modules(self, version: str) -> dict[str, object]:
        """Return a config with a zip of the sources in py_modules."""
        return self.config("shop.serve:app", {"py_modules": [self.zip(version)]})

    def image(self, version: str) -> dict[str, object]:
        """Return a config with the version that every node has already."""
        number = int(version) % 2
        return self.config(f"shop{number}.serve:app", {"env_vars": {"V": version}})

    def zip(self, version: str) -> str:
        """Return the URI of a new zip of the sources."""
        top = os.path.dirname(self.tree(version))
        name = f"{self.folder}/zips/{version}-{time.monotonic_ns()}"
        return f"file://{shutil.make_archive(name, 'zip', top, 'tree')}"

    def tree(self, version: str) -> str:
        """Write the sources, in which one line has the version; return their folder."""
        folder = f"{self.folder}/src/tree"
        write_tree(folder, "shop", version, self.modules)
        return folder

    def config(self, path: str, runtime_env: dict[str, object]) -> dict[str, object]:
        """Return the Serve config."""
        application = {"name": "shop", "import_path": path, "runtime_env": runtime_env}
        return {
            "http_options": {"port": self.ray.serve_port},
            "applications": [application],
        }

    def roll(self, prepare: Callable[[str], dict[str, object]], version: str) -> Times:
        """Roll out *version* and return the times."""
        before = {replica.id for replica in self.replicas()}
        began = time.perf_counter()
        config = prepare(version)
        prepared = time.perf_counter()
        self.cluster.apply(config)
        first = 0.0
        while True:
            served = self.cluster.served()["shop"]
            now = time.perf_counter() - prepared
            if served.status == "DEPLOY_FAILED":
                raise SystemExit(served.message)
            new = [r for r in served.replicas if r.id not in before]
            running = [r for r in new if r.state == "RUNNING"]
            if running and not first:
                first = now
            only_new = len(new) == len(served.replicas) == len(running) == REPLICAS
            if served.status == "RUNNING" and only_new:
                return Times(prepared - began, first, now)
            if now > _LIMIT:
                raise SystemExit(f"not through after {_LIMIT} s: {served}")
            time.sleep(0.1)

    def replicas(self) -> tuple[Replica, ...]:
        """Return the replicas that run now."""
        served = self.cluster.served().get("shop")
        return served.replicas if served else ()


def write_tree(folder: str, package: str, version: str, modules: int) -> None:
    """Write the application; only the line with the version differs."""
    os.makedirs(f"{folder}/{package}", exist_ok=True)
    body = "".join(
        f"def f{n}(x):\n    return x * {n} + len(str(x))\n\n" for n in range(25)
    )
    files = {
        "__init__": "",
        "serve": _SERVE.format(
            package=package, version=version, replicas=REPLICAS, modules=modules
        ),
        "parts": f"COUNT = {modules}\n"
        + "".join(f"import {package}.part{n}\n" for n in range(modules)),
        **{f"part{n}": body for n in range(modules)},
    }
    for name, text in files.items():
        path = f"{folder}/{package}/{name}.py"
        with (
            contextlib.suppress(FileNotFoundError),
            open(path, encoding="utf-8") as old,
        ):
            if old.read() == text:
                continue  # as if only one file was edited
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--modules", type=int, default=320)
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    chance = random.Random(0)
    # The name of the folder must be short, since Ray puts sockets there.
    with scratch() as folder:
        bench = Bench(folder, options.modules)
        try:
            ways = (
                bench.archive,
                bench.working_dir,
                bench.remote,
                bench.py_modules,
                bench.image,
            )
            times: dict[str, list[Times]] = {way.__name__: [] for way in ways}
            number = 1
            bench.roll(bench.image, "0")  # starts Serve
            for _ in range(rounds):
                for way in chance.sample(ways, len(ways)):
                    # The first roll changes to this way; the second changes one line.
                    bench.roll(way, str(number))
                    times[way.__name__].append(bench.roll(way, str(number + 1)))
                    number += 2
        finally:
            bench.close()
    print_machine()
    rows = [
        (name, *(figure(column) for column in zip(*found, strict=True)))
        for name, found in times.items()
    ]
    print(f"{options.modules} modules, {REPLICAS} replicas, {rounds} rounds, seconds")
    table(("", "prepare", "first new replica", "last new replica"), rows)


if __name__ == "__main__":
    main()
