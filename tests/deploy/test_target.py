"""Where a manifest goes, and what can never be asked for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("ruamel.yaml")

from lazyimport.deploy import DeployError, ImpossibleError, Manifest, Target, follow
from tests.fakes.dashboard import Dashboard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SERVE = "applications: [{name: shop}]\n"
SERVICE = """\
kind: RayService
metadata: {name: x, namespace: prod}
spec:
  serveConfigV2: |
    applications: [{name: shop}]
"""
KILLED = """\
import os, sys
from lazyimport.deploy import Manifest, Target
(app,) = Manifest.read(sys.argv[1]).applications
with Target().cluster_of(app):
    os.kill(os.getpid(), int(sys.argv[2]))
"""
#: stands for kubectl: forwards some connections to the dashboard, then loses its pod
LOSES = """\
#!{python}
import contextlib, os, socket, sys, threading

log = os.open({told!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(log, (" ".join(sys.argv[1:]) + "\\n").encode())
if os.path.exists({gone!r}):
    sys.exit("error: no running pod")
server = socket.create_server(("127.0.0.1", 0))
print("Forwarding from 127.0.0.1:%d -> 8265" % server.getsockname()[1], flush=True)
def up(client, there):
    while data := client.recv(65536):
        with contextlib.suppress(OSError):
            there.sendall(data)

for _ in range({connections}):
    client, _ = server.accept()
    there = socket.create_connection(("127.0.0.1", {port}))
    upward = threading.Thread(target=up, args=(client, there))
    upward.start()
    while data := there.recv(65536):
        client.sendall(data)
    client.shutdown(socket.SHUT_WR)
    upward.join()  # with bytes that nobody has read, it would be reset
    client.close()
sys.exit("error: lost connection to pod")
"""
JOB = "kind: RayJob\nmetadata: {name: job}\nspec: {entrypoint: y}\n"


@pytest.fixture(name="kubectl")
def _kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Make a kubectl that runs a line of shell; what it was told is in the file."""

    def make(script: str) -> Path:
        told = tmp_path / "told"
        program = tmp_path / "kubectl"
        program.write_text(f'#!/bin/sh\necho "$@" >> {told}\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return told

    return make


def test_a_serve_config_goes_to_the_address_or_the_local_cluster() -> None:
    assert "http://localhost:8265" == Target().cluster().address
    assert "http://there:1" == Target(local="there:1").cluster().address
    (app,) = Manifest(SERVE, "f.yaml").applications
    with Target("here:2", local="there:1").cluster_of(app) as cluster:
        assert "http://here:2" == cluster.address


def test_the_dashboard_of_a_rayservice_is_forwarded(
    kubectl: Callable[[str], Path],
) -> None:
    """For as long as it is needed; kubectl prints a line for each connection."""
    told = kubectl(
        "echo $$ > ${0%/*}/pid; "
        "echo 'Forwarding from 127.0.0.1:4711 -> 8265'; exec sleep 60"
    )
    (app,) = Manifest(SERVICE, "f.yaml").applications

    with Target(local="there:1").cluster_of(app) as cluster:
        assert "http://127.0.0.1:4711" == cluster.address
        group = os.getpgid(int(told.with_name("pid").read_text()))
        assert group != os.getpgid(0)  # Ctrl-C in a terminal is for a group
    command = "port-forward service/x-head-svc :dashboard --namespace prod\n"
    assert command == told.read_text()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_kubectl_ends_with_the_process_that_started_it(
    kubectl: Callable[[str], Path], tmp_path: Path, end: signal.Signals
) -> None:
    open_until_it_ends = tmp_path / "held"
    os.mkfifo(open_until_it_ends)
    kubectl(
        f"exec 9> {open_until_it_ends}; "
        "echo 'Forwarding from 127.0.0.1:4711 -> 8265'; exec sleep 600"
    )
    manifest = tmp_path / "f.yaml"
    manifest.write_text(SERVICE)
    words = [str(manifest), str(int(end))]
    with (
        subprocess.Popen([sys.executable, "-c", KILLED, *words]) as process,
        open_until_it_ends.open("rb") as held,
    ):
        assert b"" == held.read()
    assert -end == process.returncode


class TestTheLinkIsLost:
    """kubectl forwards a port to one pod, and ends when that does."""

    A = "a1" * 32

    @pytest.fixture(name="dashboard")
    def _dashboard(self) -> Iterator[Dashboard]:
        with Dashboard() as dashboard:
            config = {"runtime_env": {"env_vars": {"LAZYIMPORT_HASH": self.A}}}
            app = {"status": "DEPLOYING", "message": "", "deployments": {}}
            app["deployed_app_config"] = config
            dashboard.serve = {"applications": {"shop": app}}
            dashboard.submitted = 2  # its agent is there
            yield dashboard

    @pytest.fixture(name="told")
    def _told(
        self, dashboard: Dashboard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Path:
        """A kubectl that loses its pod after three questions; what it was told."""
        told, program = tmp_path / "told", tmp_path / "kubectl"
        facts = {"told": str(told), "gone": str(tmp_path / "gone"), "connections": 3}
        script = LOSES.format(
            python=sys.executable, port=dashboard.server_port, **facts
        )
        program.write_text(script)
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setattr("lazyimport.deploy.kubectl._PAUSE", 0.01)
        return told

    def test_it_is_started_again_and_the_rollout_is_followed(
        self, dashboard: Dashboard, told: Path
    ) -> None:
        (app,) = Manifest(SERVICE, "f.yaml").applications
        with Target().cluster_of(app) as cluster:
            rollout = follow(cluster, {"shop": self.A}, 500)
            for _ in range(5):
                next(rollout)
        # A job is submitted once: whether it was, a lost answer does not say.
        with Target().cluster_of(app) as cluster:
            lines = list(cluster.run("true", 500))

        assert ["prefetched to 1 of 1 nodes"] == lines
        assert len(told.read_text().splitlines()) > 3

    def test_that_is_given_up_after_some_times(
        self, told: Path, tmp_path: Path
    ) -> None:
        (app,) = Manifest(SERVICE, "f.yaml").applications
        with Target().cluster_of(app) as cluster:
            rollout = follow(cluster, {"shop": self.A}, 500, "back")
            next(rollout)
            (tmp_path / "gone").touch()
            with pytest.raises(DeployError) as info:
                list(rollout)

        text = (
            "kubectl has lost the dashboard of RayService 'x': error: no running pod; "
            "it was started again 7 times in vain; forward the port"
        )
        assert text in str(info.value)
        assert str(info.value).endswith("\nto go back: back")
        assert 8 == len(told.read_text().splitlines())


def test_an_address_is_taken_for_a_rayservice_as_well() -> None:
    (app,) = Manifest(SERVICE, "f.yaml").applications

    with Target("here:2").cluster_of(app) as cluster:
        assert "http://here:2" == cluster.address


def test_kubectl_says_why_not(kubectl: Callable[[str], Path]) -> None:
    kubectl("echo no such service >&2; exit 1")
    manifest = Manifest(SERVICE, "f.yaml")

    with pytest.raises(DeployError, match=r"kubectl apply .* failed: no such service"):
        Target().apply(manifest, manifest.applications)


@pytest.mark.parametrize(
    ("text", "wish", "said"),
    [
        (JOB, "wait", "no replicas to wait for"),
        (JOB, "prefetch", "a cluster for each run"),
        (
            f"{SERVICE}---\n{SERVICE.replace(': x', ': y')}",
            "wait",
            "several RayServices",
        ),
        (f"{SERVICE}---\n{SERVE}", "apply", "one by one"),
    ],
)
def test_what_can_never_be_done(text: str, wish: str, said: str) -> None:
    applications = Manifest(text, "f.yaml").applications

    Target().check(applications)
    with pytest.raises(ImpossibleError, match=said):
        Target().check(applications, **{wish: True})


def test_a_job_may_have_a_cluster_that_is_there() -> None:
    Target("here:2").check(Manifest(JOB, "f.yaml").applications, prefetch=True)
