"""Build and replica agree: no class of one hash with the helpers of another."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any

import pytest

from lazyimport.errors import InstallError
from lazyimport.ray import ship
from lazyimport.ray.worker import refuse_others
from tests.support.cluster import Cluster, write

A, B = "a" * 64, "b" * 64

APPLICATION = {
    "served/__init__.py": "VERSION = 'A'\n",
    "served/app.py": """\
from ray import serve

import served


@serve.deployment(num_replicas=1, ray_actor_options={"num_cpus": 0.1})
class Served:
    def __init__(self):
        self.version = served.VERSION

    def __call__(self, request):
        return self.version


app = Served.bind()
""",
}


def code_in(filename: str) -> CodeType:
    return compile("x = 1", filename, "exec")


def make(code: CodeType, names: dict[str, Any]) -> tuple[CodeType, dict[str, Any]]:
    return code, names


@pytest.mark.parametrize("folder", ["/node/cache", "/root/.cache/trees/lazyimport"])
def test_a_function_of_another_archive_is_refused(folder: str) -> None:
    """Whatever the cache of the node is called where it was pickled."""
    cloudpickle = SimpleNamespace(_make_function=make)
    refuse_others(A, cloudpickle)

    code = code_in(f"{folder}/trees/{B}/pkg/mod.py")
    with pytest.raises(InstallError, match=rf"archive {B}, .* runs {A}") as caught:
        cloudpickle._make_function(code, {})
    assert (B, A) == (caught.value.hash, caught.value.installed)


@pytest.mark.parametrize(
    "filename",
    [
        f"/cache/trees/{A}/pkg/mod.py",
        "/usr/lib/python3.11/mod.py",
        "<stdin>",
        "/home/me/trees/oak/mod.py",
        f"/home/me/trees/{B}",
        f"/home/me/trees/{B[:-1]}g/mod.py",
    ],
)
def test_every_other_function_is_made(filename: str) -> None:
    cloudpickle = SimpleNamespace(_make_function=make)
    refuse_others(A, cloudpickle)
    code = code_in(filename)

    assert (code, {"g": 1}) == cloudpickle._make_function(code, {"g": 1})


def test_functions_that_pass_are_pickled_under_their_own_name() -> None:
    """The worker pickles functions too, by the name of what makes them."""
    cloudpickle = SimpleNamespace(_make_function=make)
    refuse_others(A, cloudpickle)

    assert make.__qualname__ == cloudpickle._make_function.__qualname__
    assert make.__module__ == cloudpickle._make_function.__module__


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_deployment_with_another_hash_fails(cluster: Cluster, tmp_path: Path) -> None:
    """Its class goes to the replica by value, as the application was built."""
    hashes = []
    for version in "AB":
        text = f"VERSION = {version!r}\n"
        tree = write(
            {**APPLICATION, "served/__init__.py": text}, tmp_path / f"tree{version}"
        )
        env = ship(tree, store=cluster.store, cache_dir=str(tmp_path / "cache"))
        hashes.append(env["env_vars"])
    other = {"runtime_env": {"env_vars": hashes[1]}, "num_cpus": 0.1}
    config = {
        "proxy_location": "Disabled",  # its port may be somebody else's
        "applications": [
            {
                "name": "mixed",
                "import_path": "served.app:app",
                "runtime_env": {"env_vars": hashes[0]},
                "deployments": [{"name": "Served", "ray_actor_options": other}],
            }
        ],
    }
    call(cluster, "PUT", config)
    deadline = time.monotonic() + 200
    while (status := application(cluster))["status"] in {"DEPLOYING", "NOT_STARTED"}:
        assert time.monotonic() < deadline, status
        time.sleep(0.5)
    call(cluster, "DELETE")

    said = json.dumps(status)
    assert status["status"] in {"DEPLOY_FAILED", "UNHEALTHY"}
    assert "a mixture of two versions" in said
    for env in hashes:
        assert env["LAZYIMPORT_HASH"] in said


def application(cluster: Cluster) -> dict[str, Any]:
    applications = call(cluster, "GET")["applications"]
    return dict(applications.get("mixed", {"status": "NOT_STARTED"}))


def call(cluster: Cluster, method: str, config: Any = None) -> Any:
    """Ask Serve's REST API."""
    request = urllib.request.Request(
        f"{cluster.dashboard}/api/serve/applications/",
        method=method,
        data=None if config is None else json.dumps(config).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        text = answer.read()
    return json.loads(text) if text else None
