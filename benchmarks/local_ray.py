"""A Ray cluster on this machine, of its own processes, for a benchmark."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_RAY = """\
import sys, time
import ray
folder, port = sys.argv[1:]
ray.init(
    address="local", num_cpus=8, include_dashboard=True, dashboard_host="127.0.0.1",
    dashboard_port=int(port), object_store_memory=100_000_000, log_to_driver=False,
    _temp_dir=folder,
)
print("ready", ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


class LocalRay:
    """A cluster whose files are in *folder*, with these variables in its workers.

    Its ``dashboard`` is a URL, ``address`` that of its GCS; ``serve_port`` is free for
    Serve.
    """

    def __init__(self, folder: str, environ: Mapping[str, str]) -> None:
        self.serve_port, port = _free_ports(2)
        self.dashboard = f"http://127.0.0.1:{port}"
        clean = {k: v for k, v in os.environ.items() if k[:10] != "LAZYIMPORT"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _RAY, f"{folder}/r", str(port)],
            env={
                **clean,
                "LAZYIMPORT_CACHE_DIR": f"{folder}/cache",
                "RAY_AUTH_MODE": "disabled",
                "RAY_USAGE_STATS_ENABLED": "0",
                "RAY_raylet_start_wait_time_s": "240",
                "RAY_agent_register_timeout_ms": "240000",
                # With the default of 15, other work on the machine is measured too.
                "RAY_worker_niceness": "0",
                **environ,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        words = self._process.stdout.readline().decode().split()
        if words[:1] != ["ready"]:
            raise SystemExit("Ray does not start on this machine")
        self.address = words[1]

    def close(self) -> None:
        """End Ray and all processes that it started."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
