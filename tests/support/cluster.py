"""A Ray cluster on this machine, and an application for its workers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: of this process among those of pytest-xdist; each has a cluster with ports of its own
_NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
PLUGINS = '[{"class": "lazyimport.ray.plugin.ArchivePlugin"}]'

#: an application that answers with its version, its file, and the hash
APPLICATION = {
    "my_app/__init__.py": "VERSION = 'A'\n",
    "my_app/work.py": """\
import os

import ray

import my_app


def where():
    \"\"\"Return the version, the file, and the hash of this process.\"\"\"
    return my_app.VERSION, __file__, os.environ.get("LAZYIMPORT_HASH")


class Plain:
    def where(self):
        return where()


@ray.remote
def task():
    return where()


@ray.remote
class Actor:
    def where(self):
        return where()

    def nested(self):
        return ray.get(task.remote())

    def child(self):
        self.other = Actor.remote()
        return ray.get(self.other.where.remote())

    def end(self):
        ray.actor.exit_actor()


class Batches:
    def __call__(self, batch):
        batch["version"] = [my_app.VERSION] * len(batch["id"])
        return batch
""",
    "my_app/job.py": """\
import ray

from my_app.work import task, where

if __name__ == "__main__":
    ray.init()
    print("driver", *where())
    print("task", *ray.get(task.remote()))
""",
}


class Cluster:
    """A Ray cluster of one node, started by ``ray start`` as in production.

    Its node cache is ``cache``; ``store`` is the URL of a folder; Ray's own files are
    in ``folder``, where it lets everybody write. The plugin deletes an archive as soon
    as no worker needs it. Workers get the variables *environ*.
    """

    def __init__(self, folder: str, environ: Mapping[str, str] | None = None) -> None:
        self.folder = f"{folder}/ray"
        self.cache = f"{folder}/cache"
        self.store = f"file://{folder}/store"
        ports = _free_ports(6)
        self.address = f"127.0.0.1:{ports[0]}"
        self.client = f"ray://127.0.0.1:{ports[1]}"
        self.dashboard = f"http://127.0.0.1:{ports[2]}"
        #: the one of Serve's proxy, which the first application starts
        self.serve_port = ports[4]
        self._metrics = f"http://127.0.0.1:{ports[3]}/metrics"
        arguments = {
            "port": ports[0],
            "ray-client-server-port": ports[1],
            "dashboard-port": ports[2],
            "metrics-export-port": ports[3],
            # It serves the logs of the node; two clusters cannot share the default.
            "dashboard-agent-listen-port": ports[5],
            "min-worker-port": 11_000 + 1_000 * _NUMBER,
            "max-worker-port": 11_999 + 1_000 * _NUMBER,
            "node-ip-address": "127.0.0.1",
            "num-cpus": 8,
            "num-gpus": 0,
            "object-store-memory": 100_000_000,
            "temp-dir": self.folder,
        }
        clean = {k: v for k, v in os.environ.items() if k[:10] != "LAZYIMPORT"}
        script = "from ray.scripts.scripts import main; main()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", script, "start", "--head", "--block"]
            + [f"--{name}={value}" for name, value in arguments.items()],
            env={
                **clean,
                # A job that calls python gets this one.
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "LAZYIMPORT_CACHE_DIR": self.cache,
                "RAY_RUNTIME_ENV_PLUGINS": PLUGINS,
                "RAY_RUNTIME_ENV_LAZYIMPORT_CACHE_SIZE_GB": "0",
                # With a shorter interval, a busy agent loses reports.
                "RAY_metrics_report_interval_ms": "4000",
                # On a busy machine agents start late, and then their raylet dies.
                "RAY_raylet_start_wait_time_s": "240",
                "RAY_agent_register_timeout_ms": "240000",
                "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "60",
                # A replica that fails in its constructor would do so again, later and
                # later. (Ray 2.40 has the shorter name.)
                "RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT": "1",
                "MAX_PER_REPLICA_RETRY_COUNT": "1",
                # As in tox.ini.
                "RAY_worker_niceness": "0",
                "RAY_AUTH_MODE": "disabled",
                "RAY_USAGE_STATS_ENABLED": "0",
                **(environ or {}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            self._wait()
            self._wait_for_dashboard()
        except BaseException:  # also a timeout: nothing else would end the processes
            self.stop()
            raise

    def _wait(self) -> None:
        assert self._process.stdout is not None
        output = []
        for line in self._process.stdout:
            output.append(line)
            if "Ray runtime started" in line:
                return
        raise AssertionError("Ray did not start:\n" + "".join(output))

    def _wait_for_dashboard(self) -> None:
        """Return when it answers, which may be later than the rest of Ray."""
        deadline = time.monotonic() + 200
        url = f"{self.dashboard}/api/version"
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=30):
                return
            time.sleep(0.2)
        raise AssertionError(f"nothing answers at {url}")

    def lists_nodes_for_prometheus(self) -> bool:
        """Whether its dashboard does, as Ray 2.40's does not."""
        try:
            url = f"{self.dashboard}/api/prometheus/sd"
            urllib.request.urlopen(url, timeout=30).close()
        except urllib.error.HTTPError:
            return False
        return True

    def log(self, name: str) -> str:
        """Return the text of a log file of the session, "" if there is no such file."""
        path = Path(self.folder, "session_latest", "logs", name)
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def metrics(self) -> str:
        """Return the metrics for Prometheus, "" while the node does not answer."""
        try:
            with urllib.request.urlopen(self._metrics, timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def stop(self) -> None:
        """End all processes of the cluster."""
        self._process.kill()
        self._process.communicate()
        # Wait for the last one, since they write to the folder until they end.
        while left := _processes_of(self._process.pid, self.folder):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)


def write(files: dict[str, str], folder: Path) -> Path:
    """Write *files*, a mapping of paths to texts, below *folder* and return it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def _free_ports(number: int) -> list[int]:
    """Return ports that no connection is given meanwhile, nor another process of us."""
    found: list[int] = []
    first = 25_000 + 1_000 * _NUMBER
    for port in range(first, first + 1_000):
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == number:
            break
    return found


def _processes_of(session: int, folder: str) -> list[int]:
    """Return the processes of the session, and all that name *folder*.

    Some of Ray's processes change their command line; jobs have a session of their own.
    """
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        pid = int(path.parent.name)
        with contextlib.suppress(OSError):
            words = path.read_bytes()
            if words and (os.fsencode(folder) in words or os.getsid(pid) == session):
                found.append(pid)
    return found
