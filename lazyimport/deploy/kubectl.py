"""kubectl: applying what KubeRay keeps in Kubernetes, and reaching what it has made."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lazyimport.deploy.children import Watcher
from lazyimport.deploy.errors import DeployError

#: of the head's service; KubeRay finds the dashboard by it as well, whatever its number
_PORT = "dashboard"
_MISSING = "Kubernetes objects are applied by kubectl, which is not on PATH"
_FORWARDING = re.compile(r"Forwarding from (127\.0\.0\.1:\d+)")


def require() -> None:
    """Raise DeployError if there is no kubectl, before anything that takes time."""
    if shutil.which("kubectl") is None:
        raise DeployError(_MISSING)


def apply(path: str, verb: str = "apply") -> str:
    """Apply (or create) what is in the file *path*; return what kubectl printed.

    Raises DeployError.
    """
    process = _start([verb, "--filename", path], subprocess.PIPE)
    said, errors = process.communicate()
    if process.returncode:
        raise DeployError(f"kubectl {verb} --filename {path} failed: {errors.strip()}")
    return said.strip()


@contextmanager
def forwarded_dashboard(service: str, namespace: str | None) -> Iterator[str]:
    """Forward a port to the dashboard of the RayService *service*; give its address.

    Raises DeployError if kubectl cannot.
    """
    words = ["port-forward", f"service/{service}-head-svc", f":{_PORT}"]
    if namespace:
        words += ["--namespace", namespace]
    process = _start(words, subprocess.STDOUT, alone=True)
    watcher = Watcher(process.pid)
    try:
        yield _address(process, service)
    finally:
        watcher.let_go()
        process.terminate()
        process.wait()


def _address(process: subprocess.Popen[str], service: str) -> str:
    """Return the address that leads to the dashboard, once kubectl has printed it."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        found = _FORWARDING.search(line)
        if found is not None:
            # It goes on with a line for each connection, and waits when nobody reads.
            threading.Thread(target=process.communicate, daemon=True).start()
            return f"http://{found[1]}"
        said += line
    process.communicate()
    raise DeployError(
        f"kubectl cannot reach the dashboard of RayService {service!r}: "
        f"{said.strip()}; forward the port of the dashboard yourself and name it "
        "with --address"
    )


def _start(
    words: Sequence[str], errors: int, *, alone: bool = False
) -> subprocess.Popen[str]:
    """Start kubectl; Ctrl-C does not reach it if it is *alone*."""
    try:
        return subprocess.Popen(
            ["kubectl", *words],  # noqa: S607 - the kubectl that the person uses
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=alone,
        )
    except FileNotFoundError as error:
        raise DeployError(_MISSING) from error
