"""Going back: to what was deployed from here, to what git has, to what still runs."""

from __future__ import annotations

import subprocess

import pytest

pytest.importorskip("ruamel.yaml")

from lazyimport.deploy import (
    Cluster,
    ClusterRollback,
    DeployError,
    History,
    Manifest,
    Replica,
    Served,
    plan_rollback,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

A, B, C = "a1" * 32, "b2" * 32, "c3" * 32
ENTRY = "  - name: {}\n    runtime_env: {{env_vars: {{LAZYIMPORT_HASH: {}}}}}\n"


def text(shop: str, till: str) -> str:
    return f"applications:\n{ENTRY.format('shop', shop)}{ENTRY.format('till', till)}"


@pytest.fixture(name="history")
def _history(tmp_path: Path) -> History:
    return History(str(tmp_path / "cache"))


class TestManifest:
    """The hash before, in a file."""

    def test_what_was_deployed_from_here(
        self, tmp_path: Path, history: History
    ) -> None:
        manifest = Manifest(text(B, C), f"{tmp_path}/f.yaml")
        history.add(manifest.path, "shop", A, B)

        (step,) = plan_rollback(manifest, ["shop"], history).steps
        assert (A, B) == (step.application.hash, step.before)

    def test_what_git_has(self, tmp_path: Path, history: History) -> None:
        """The newest commit in which it was another one, of this application."""
        file = tmp_path / "f.yaml"

        def git(*words: str) -> None:
            who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
            subprocess.run(
                ["git", *who, *words], cwd=tmp_path, check=True, capture_output=True
            )

        git("init")
        for content in (text(C, A), text(A, A), "no: manifest\n", text(B, A)):
            file.write_text(content)
            git("add", file.name)
            git("commit", "-m", "deploy")
        plan = plan_rollback(Manifest.read(str(file)), ["shop"], history)

        assert text(A, A) == plan.after.text

    def test_different_ones_are_not_set_at_once(
        self, tmp_path: Path, history: History
    ) -> None:
        manifest = Manifest(text(B, B), f"{tmp_path}/f.yaml")
        history.add(manifest.path, "shop", A, B)
        history.add(manifest.path, "till", C, B)

        with pytest.raises(DeployError, match="roll back one at a time"):
            plan_rollback(manifest, ["shop", "till"], history)

    def test_nothing_before(self, tmp_path: Path, history: History) -> None:
        manifest = Manifest(text(B, C), f"{tmp_path}/f.yaml")
        history.add(manifest.path, "shop", None, B)

        with pytest.raises(DeployError, match=r"had no hash before .*f\.yaml:2; to go"):
            plan_rollback(manifest, ["shop"], history)
        with pytest.raises(DeployError, match=f"nobody knows what till ran before {C}"):
            plan_rollback(manifest, ["till"], history)


class Running(Cluster):
    """A cluster that runs one application, of which some replicas run *others*."""

    def __init__(self, hash: str | None, *others: str, **runtime_env: Any) -> None:
        super().__init__("http://nowhere:8265")
        replicas = [Replica("Shop", h, h, "RUNNING", 0) for h in others]
        app = Served("shop", hash, "DEPLOY_FAILED", "", {"Shop": 1}, tuple(replicas))
        self.applications = {"shop": app}
        shop = {"name": "shop", "runtime_env": runtime_env}
        self.value: dict[str, Any] = {"applications": [{"name": "till"}, shop]}
        self.applied: Any = "no config"

    def served(self) -> dict[str, Served]:
        return self.applications

    def config(self) -> dict[str, Any]:
        return self.value

    def apply(self, config: object) -> None:
        self.applied = config


class TestCluster:
    """The hash before, in a cluster and without a file."""

    def test_what_the_other_replicas_still_run(self, history: History) -> None:
        """Which a failed deployment has left in place."""
        cluster = Running(B, A, B, env_vars={"LAZYIMPORT_HASH": B, "X": "y"})
        change = ClusterRollback(cluster, "shop", history)

        assert (B, A) == (change.before, change.hash)
        assert "no config" == cluster.applied
        change.apply()
        env = cluster.applied["applications"][1]["runtime_env"]["env_vars"]
        assert {"LAZYIMPORT_HASH": A, "X": "y"} == env
        known = history.deployment(cluster.address, "shop", A)
        assert known is not None
        assert B == known.before

    def test_what_was_deployed_from_here(self, history: History) -> None:
        cluster = Running(B, B, lazyimport={"hash": B})
        history.add(cluster.address, "shop", C, B)
        ClusterRollback(cluster, "shop", history).apply()

        plugin = cluster.applied["applications"][1]["runtime_env"]["lazyimport"]
        assert {"hash": C} == plugin

    def test_nothing_that_is_known(self, history: History) -> None:
        with pytest.raises(DeployError, match=f"nobody knows what shop ran before {B}"):
            ClusterRollback(Running(B, B), "shop", history)
        with pytest.raises(DeployError, match="has no application 'till'"):
            ClusterRollback(Running(B, B), "till", history)
        with pytest.raises(DeployError, match="deployed by a config with a hash"):
            ClusterRollback(Running(None, B), "shop", history)
