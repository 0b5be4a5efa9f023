"""kubectl: what must go through Kubernetes because KubeRay keeps it there."""

from __future__ import annotations

import re
import subprocess
from contextlib import contextmanager

from lazyimport.ray.errors import DeployError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["apply", "dashboard_of"]

_PORT = 8265
_FORWARDING = re.compile(r"Forwarding from (127\.0\.0\.1:\d+)")


def apply(path: str) -> str:
    """Apply the file *path*; return what kubectl printed. Raises DeployError."""
    process = _start(["apply", "--filename", path])
    said, errors = process.communicate()
    if process.returncode:
        raise DeployError(f"kubectl apply --filename {path} failed: {errors.strip()}")
    return said.strip()


@contextmanager
def dashboard_of(service: str, namespace: str | None) -> Iterator[str]:
    """Give the address of the dashboard of the RayService *service*, while it lasts.

    Raises DeployError where kubectl cannot forward a port.
    """
    words = ["port-forward", f"service/{service}-head-svc", f":{_PORT}"]
    process = _start([*words, *(["--namespace", namespace] if namespace else [])])
    with process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            found = _FORWARDING.search(process.stdout.readline())
            if found is None:
                raise DeployError(
                    f"kubectl cannot reach the dashboard of RayService {service!r}: "
                    f"{process.stderr.read().strip()}; forward port {_PORT} of its "
                    "head by yourself and name it with --address"
                )
            yield f"http://{found[1]}"
        finally:
            process.terminate()


def _start(words: Sequence[str]) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            ["kubectl", *words],  # noqa: S607 - the kubectl that the person uses
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    except FileNotFoundError as error:
        raise DeployError(
            "a RayService or RayJob is applied by kubectl, which is not on PATH"
        ) from error
