"""kubectl: applying what KubeRay keeps in Kubernetes, and reaching what it has made."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence

from lazyimport.deploy.children import Watcher
from lazyimport.deploy.errors import DeployError

#: of the head's service; KubeRay finds the dashboard by it as well, whatever its number
_PORT = "dashboard"
_MISSING = "Kubernetes objects are applied by kubectl, which is not on PATH"
_ADVICE = "forward the port of the dashboard yourself and name it with --address"
_FORWARDING = re.compile(r"Forwarding from (127\.0\.0\.1:\d+)")
#: what begins the lines that it prints while all is well
_FINE = ("Forwarding from ", "Handling connection ")
#: How often it is started again in a row, and the seconds from the first time to the
#: second; each pause is twice the one before, so it is a minute in all.
_TRIES = 7
_PAUSE = 1.0


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


def given(service: str, namespace: str | None) -> object:
    """Return what of the RayService *service* KubeRay deploys again when it changes.

    None if kubectl does not tell.
    """
    words = ["get", f"rayservice/{service}", "--output", "json"]
    words += ["--namespace", namespace] if namespace else []
    process = _start(words, subprocess.PIPE)
    said, _ = process.communicate()
    try:
        spec = json.loads(said)["spec"]
    except (ValueError, LookupError, TypeError):
        return None
    return spec.get("serveConfigV2"), spec.get("rayClusterConfig")


class Forward:
    """A port of this machine that leads to the dashboard of the RayService *service*.

    kubectl forwards it to one pod. It ends when that pod is replaced or the link is
    lost, and is started again when somebody asks for the address.
    """

    def __init__(self, service: str, namespace: str | None) -> None:
        self._what = f"the dashboard of RayService {service!r}"
        self._words = ["port-forward", f"service/{service}-head-svc", f":{_PORT}"]
        self._words += ["--namespace", namespace] if namespace else []
        self._kubectl: _Kubectl | None = None
        self._tries = 0
        self._not_before = 0.0

    def address(self) -> str:
        """Return the address of the dashboard.

        Raises DeployError: a retryable one as long as kubectl is to be started again.
        """
        if self._kubectl is None:
            self._kubectl = _Kubectl(self._words)
            if not self._kubectl.address:
                why = f"kubectl cannot reach {self._what}: {self._kubectl.last_words()}"
                raise DeployError(f"{why}; {_ADVICE}")
        elif self._kubectl.has_ended():
            self._kubectl = self._again(self._kubectl)
        return self._kubectl.address

    def note_answer(self) -> None:
        """Take note that the dashboard has answered: the link is there."""
        self._tries = 0

    def end(self) -> None:
        """End kubectl."""
        if self._kubectl is not None:
            self._kubectl.end()

    def _again(self, ended: _Kubectl) -> _Kubectl:
        why = f"kubectl has lost {self._what}: {ended.last_words()}"
        if self._tries == _TRIES:
            text = f"{why}; it was started again {_TRIES} times in vain; {_ADVICE}"
            raise DeployError(text)
        if time.monotonic() < self._not_before:
            raise DeployError(f"{why}; it is started again", retryable=True)
        self._not_before = time.monotonic() + _PAUSE * 2**self._tries
        self._tries += 1
        fresh = self._kubectl = _Kubectl(self._words)
        if not fresh.address:
            raise DeployError(f"{why}; then: {fresh.last_words()}", retryable=True)
        return fresh


class _Kubectl:
    """A process that forwards a port, at ``address``; "" if it has ended at once."""

    def __init__(self, words: Sequence[str]) -> None:
        self.address = ""
        self._said: deque[str] = deque(maxlen=3)
        self._is_known = threading.Event()
        self._process = _start(words, subprocess.STDOUT, alone=True)
        self._watcher: Watcher | None = Watcher(self._process.pid)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._is_known.wait()

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def last_words(self) -> str:
        """Return what it said at its end."""
        self.end()
        return " ".join(self._said) or f"exit code {self._process.returncode}"

    def end(self) -> None:
        if self._watcher is not None:
            self._watcher.let_go()
            self._watcher = None
        self._process.terminate()
        self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        """Take all lines, also one for each connection: it waits when nobody reads."""
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                found = _FORWARDING.search(line)
                if found is not None:
                    self.address = f"http://{found[1]}"
                    self._is_known.set()
                elif not line.startswith(_FINE):
                    self._said.append(line.strip())
        self._is_known.set()


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
