"""Where the demo's code runs: a local Ray, or plain Python processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress

from lazyimport.errors import LazyImportError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence
    from typing import Any, Protocol

    from lazyimport.settings import Settings

    class Workers(Protocol):
        """Processes without the code, each of which runs one hash."""

        name: str

        def start(self) -> str:
            """Start, and return what was started, in words."""

        def call(self, hash: str, target: str, arguments: Sequence[Any]) -> list[Any]:
            """Return the answers of one task for each of *arguments*."""

        def create(self, hash: str, name: str, target: str) -> Any:
            """Make an object of a class that only the archive has."""

        def send(self, hash: str, name: str, method: str, *arguments: Any) -> Any:
            """Call a method of such an object."""

        def stop(self) -> None:
            """End every process that was started; may be called at any time."""


__all__ = ["ProcessWorkers", "RayWorkers", "activates", "end_processes"]

_START_SECONDS = 300  # a busy machine takes minutes to start Ray's workers
_GRACE_SECONDS = 3.0


def activates(environ: Mapping[str, str]) -> bool:
    """Whether a fresh Python heeds ``LAZYIMPORT_HASH`` by itself: the wheel's .pth."""
    import subprocess

    program = "import sys; print('lazyimport.activation' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environ, "LAZYIMPORT_HASH": "0" * 64},
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.stdout.strip() == b"True"


class RayWorkers:
    """A Ray of its own in *folder*, whose path must be short: it will hold sockets."""

    def __init__(self, folder: str, settings: Settings) -> None:
        self.name = "Ray"
        self._folder = folder
        self._settings = settings

    def start(self) -> str:
        """Start, and return what was started."""
        # A cluster of our own, on this machine alone, that asks nobody for a token.
        os.environ.update(
            RAY_AUTH_MODE="disabled",
            RAY_USAGE_STATS_ENABLED="0",
            RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
        )
        for variable in (
            "RAY_ADDRESS",
            "RAY_RUNTIME_ENV_HOOK",
            "RAY_JOB_CONFIG_JSON_ENV_VAR",
        ):
            os.environ.pop(variable, None)
        import logging

        import ray

        try:
            ray.init(
                address="local",
                num_cpus=2,
                num_gpus=0,
                include_dashboard=False,
                object_store_memory=80_000_000,
                log_to_driver=False,
                logging_level=logging.ERROR,
                namespace="lazyimport-demo",
                _temp_dir=self._folder,
            )
        except Exception as error:
            raise LazyImportError(
                f"Ray does not start on this machine: {error}\n"
                "'lazyimport demo --workers processes' does without it"
            ) from error
        return f"Ray {ray.__version__} with 2 CPUs"

    def call(self, hash: str, target: str, arguments: Sequence[Any]) -> list[Any]:
        """Return the answers of one task for each of *arguments*."""
        from lazyimport.cli.demo import inside

        return self._run(hash, inside.call, [(target, *each) for each in arguments])

    def create(self, hash: str, name: str, target: str) -> Any:
        """Make an actor of a class that only the archive has."""
        from lazyimport.cli.demo import inside

        return self._run(hash, inside.create_actor, [(name, target)])[0]

    def send(self, hash: str, name: str, method: str, *arguments: Any) -> Any:
        """Call a method of such an actor."""
        from lazyimport.cli.demo import inside

        return self._run(hash, inside.send_to_actor, [(name, method, *arguments)])[0]

    def stop(self) -> None:
        """End every process that was started."""
        ray = sys.modules.get("ray")
        if ray is not None and hasattr(ray, "shutdown"):
            with suppress(Exception):
                ray.shutdown()
        end_processes(self._folder)

    def _run(
        self, hash: str, function: Any, calls: Sequence[tuple[Any, ...]]
    ) -> list[Any]:
        import ray

        from lazyimport.ray import runtime_env

        environment = runtime_env(
            hash,
            store=self._settings.store,
            env_vars={"LAZYIMPORT_CACHE_DIR": self._settings.cache_dir},
        )
        task = ray.remote(function).options(runtime_env=environment, max_retries=0)
        answers = [task.remote(*arguments) for arguments in calls]
        try:
            return list(ray.get(answers, timeout=_START_SECONDS))
        except ray.exceptions.GetTimeoutError as error:
            raise LazyImportError(
                f"no worker of Ray answered within {_START_SECONDS} s; this machine may "
                "be too busy: try again later, or 'lazyimport demo --workers processes'",
                hash=hash,
            ) from error
        except ray.exceptions.RayError as error:
            raise LazyImportError(
                f"Ray did not run the archive {hash}: {error}", hash=hash
            ) from error


class ProcessWorkers:
    """Plain Python processes: two for the tasks of each hash, one for each object."""

    def __init__(self, folder: str, settings: Settings, *, activated: bool) -> None:
        self.name = "worker processes"
        self._folder = folder
        self._settings = settings
        self._activated = activated
        self._tasks: dict[str, list[_Process]] = {}
        self._objects: dict[str, _Process] = {}
        self._all: list[_Process] = []

    def start(self) -> str:
        """Start, and return what was started."""
        version = ".".join(map(str, sys.version_info[:3]))
        return f"plain processes of Python {version}"

    def call(self, hash: str, target: str, arguments: Sequence[Any]) -> list[Any]:
        """Return the answers of one task for each of *arguments*."""
        if hash not in self._tasks:
            self._tasks[hash] = [self._process(hash), self._process(hash)]
        workers = self._tasks[hash]
        turns = [
            (workers[number % len(workers)], each)
            for number, each in enumerate(arguments)
        ]
        for worker, each in turns:
            worker.ask("call", target, *each)
        return [worker.answer() for worker, _ in turns]

    def create(self, hash: str, name: str, target: str) -> Any:
        """Make an object of a class that only the archive has."""
        self._objects[name] = worker = self._process(hash)
        worker.ask("create", name, target)
        return worker.answer()

    def send(
        self,
        hash: str,  # noqa: ARG002 - Ray needs it: there the task runs in any worker
        name: str,
        method: str,
        *arguments: Any,
    ) -> Any:
        """Call a method of such an object."""
        self._objects[name].ask("send", name, method, *arguments)
        return self._objects[name].answer()

    def stop(self) -> None:
        """End every process that was started."""
        for worker in self._all:
            worker.end()
        end_processes(self._folder)  # one that was just being started is in no list

    def _process(self, hash: str) -> _Process:
        from lazyimport.ray import runtime_env

        variables = runtime_env(hash, store=self._settings.store)["env_vars"]
        variables["LAZYIMPORT_CACHE_DIR"] = self._settings.cache_dir
        if not self._activated:
            # Nobody's program but lazyimport itself is on this path: a checkout.
            own = __file__.rpartition("/lazyimport/")[0]
            theirs = os.environ.get("PYTHONPATH")
            variables["PYTHONPATH"] = f"{own}{os.pathsep}{theirs}" if theirs else own
        process = _Process({**os.environ, **variables}, self._folder)
        self._all.append(process)
        return process


class _Process:
    """One worker, which answers a line of JSON with another."""

    def __init__(self, environ: dict[str, str], folder: str) -> None:
        import subprocess

        self._process: subprocess.Popen[str] = subprocess.Popen(
            # The folder is what end_processes() knows it by.
            [sys.executable, "-m", "lazyimport.cli.demo.inside", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environ,
            cwd=folder,
            text=True,
            start_new_session=True,  # Ctrl-C is for the demo, which ends its workers
        )

    def ask(self, *request: Any) -> None:
        import json

        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # then there is no answer either
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def answer(self) -> Any:
        import json

        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise LazyImportError(
                f"worker process {self._process.pid} ended with exit code "
                f"{self._process.wait()}; it has said why above"
            )
        return json.loads(line)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def end_processes(folder: str) -> None:
    """End the processes that were started with *folder*, a name nobody else has."""
    deadline = time.monotonic() + _GRACE_SECONDS
    how = signal.SIGTERM
    while pids := _processes_of(folder):
        if time.monotonic() > deadline:
            how = signal.SIGKILL
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, how)
        if time.monotonic() > deadline + _GRACE_SECONDS:
            return  # beyond our reach
        time.sleep(0.05)


def _processes_of(folder: str) -> list[int]:
    """Return the living processes whose command line names *folder* (Linux)."""
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if name.isdigit() and int(name) != os.getpid():
            with suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
                if os.fsencode(folder) in file.read():
                    found.append(int(name))
    return found
