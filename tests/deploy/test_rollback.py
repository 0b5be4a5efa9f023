"""Going back: to the last that worked, to what git has, to what still runs."""

from __future__ import annotations

import json
import re
import subprocess
from io import BytesIO

import pytest

pytest.importorskip("ruamel.yaml")

from lazyimport.deploy import (
    Cluster,
    ClusterRollback,
    DeployError,
    History,
    Manifest,
    Process,
    Replica,
    Served,
    plan_rollback,
)
from lazyimport.deploy.application import VARIABLE
from lazyimport.registry.layout import archive_key
from lazyimport.registry.signing import Trusted
from lazyimport.stores import open_store, writable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from lazyimport.stores import Store

A, B, C, D, E = (pair * 32 for pair in ("a1", "b2", "c3", "d4", "e5"))
ENTRY = "  - name: {}\n    runtime_env: {{env_vars: {{LAZYIMPORT_HASH: {}}}}}\n"


def text(shop: str, till: str) -> str:
    return f"applications:\n{ENTRY.format('shop', shop)}{ENTRY.format('till', till)}"


@pytest.fixture(name="history")
def _history(tmp_path: Path) -> History:
    return History(str(tmp_path / "cache"), by="ada@x")


def record(
    history: History,
    hash: str,
    outcome: str = "running",
    *,
    before: str | None = None,
    app: str = "shop",
    manifest: str = "f.yaml",
    reason: str = "boom",
    **facts: Any,
) -> None:
    """Record a deployment, and what came of it."""
    begun = history.begin(app, before, hash, manifest=manifest)
    why = reason * (outcome == "failed")
    history.add(begun._replace(outcome=outcome, reason=why, **facts))


def store_with(hash: str, tmp_path: Path) -> Store:
    """Return a store that has something under *hash*: what, is for others to find."""
    store = writable(open_store(f"file://{tmp_path}/store"))
    store.put(archive_key(hash), BytesIO(b""))
    return store


class TestManifest:
    """The hash to go back to, in a file."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = f"{tmp_path}/f.yaml"

    def record(self, history: History, hash: str, *outcome: str, **facts: Any) -> None:
        record(history, hash, *outcome, **{"manifest": self.path, **facts})

    def chosen(self, history: History, now: str = B) -> tuple[str | None, str]:
        manifest = Manifest(text(now, C), self.path)
        plan = plan_rollback(manifest, ["shop"], history)
        (step,) = plan.steps
        assert now == step.before
        return step.application.hash, plan.why

    def test_the_last_that_worked(self, history: History) -> None:
        self.record(history, A)
        self.record(history, D, "failed", before=A)
        self.record(history, E, "applied", before=D)
        self.record(history, B, "timed out", before=E)
        hash, why = self.chosen(history)

        assert A == hash
        assert why.startswith("it is the last that worked: deployed 20")
        assert re.search(r"deployed 20\S+Z by ada@x", why)
        passed = f"passed over: {E[:12]} was not waited for, {D[:12]} failed (boom)"
        assert why.endswith(passed)

    def test_when_it_worked_is_told_and_what_came_of_it_since(
        self, history: History
    ) -> None:
        """The same code fails with a slip in the manifest, as an example."""
        self.record(history, A)
        self.record(history, A, "failed", before=A, by="eve@y")
        self.record(history, B, before=A)
        hash, why = self.chosen(history)

        assert A == hash
        told = r"that worked: deployed 20\S+Z by ada@x; again 20\S+Z by eve@y: failed"
        assert re.search(told + r" \(boom\)$", why)

    def test_of_a_long_reason_the_beginning_is_told(self, history: History) -> None:
        self.record(history, A)
        self.record(history, D, "failed", before=A, reason="word " * 40)
        self.record(history, B, before=D)
        _, why = self.chosen(history)

        assert re.search(r"failed \((word ){10,}…\)$", why)
        assert len(why) < 200

    def test_never_from_one_bad_version_to_the_other_and_back(
        self, history: History
    ) -> None:
        """Nor to one that ran, and that somebody rolled back from."""
        self.record(history, A)
        self.record(history, D, before=A)
        self.record(history, B, "failed", before=D)
        assert D == self.chosen(history)[0]
        self.record(history, D, before=B, back=True)
        hash, why = self.chosen(history, D)
        assert (A, True) == (hash, f"{B[:12]} was rolled back 20" in why)
        self.record(history, A, before=D, back=True)

        with pytest.raises(DeployError, match=r"a version of shop that worked before"):
            self.chosen(history, A)

    def test_what_was_rolled_back_and_deployed_again(self, history: History) -> None:
        self.record(history, A)
        self.record(history, D, before=A)
        self.record(history, A, before=D, back=True)
        self.record(history, D, before=A)
        self.record(history, B, before=D)

        assert D == self.chosen(history)[0]

    def test_a_rollback_that_is_taken_back(self, history: History) -> None:
        """With ``--to``: what it went away from is good again, and so is the other."""
        self.record(history, A)
        self.record(history, B, before=A)
        self.record(history, A, before=B, back=True)
        self.record(history, B, before=A, back=True)

        assert A == self.chosen(history)[0]

    def test_a_version_that_worked_and_then_did_not(self, history: History) -> None:
        """The cluster may have been full."""
        self.record(history, A)
        self.record(history, A, "timed out")
        self.record(history, B, "failed", before=A)

        assert A == self.chosen(history)[0]

    def test_nobody_waited(self, history: History) -> None:
        """What was applied comes before what was written only; what failed does not."""
        self.record(history, A, "applied")
        self.record(history, D, "written", before=A)
        self.record(history, E, "failed", before=D)
        self.record(history, B, "applied", before=E)
        hash, why = self.chosen(history)

        assert A == hash
        assert "nobody waited for it; passed over" in why

    def test_what_was_there_before_anything_was_recorded(
        self, history: History
    ) -> None:
        self.record(history, B, "failed", before=A)
        hash, why = self.chosen(history)

        assert (A, f"shop had it before {B[:12]} was deployed") == (hash, why)

    def test_of_its_own_manifest(self, history: History) -> None:
        """An application of one name may run in production, and elsewhere."""
        self.record(history, A)
        self.record(history, D, manifest="staging/f.yaml")
        self.record(history, B, "written")
        self.record(history, E, app="till")

        assert A == self.chosen(history)[0]

    def test_from_another_machine(self, history: History) -> None:
        """Where the file lies elsewhere, its hash says which line of deployments."""
        self.record(history, D, manifest="/home/bob/prod.yaml")
        self.record(history, B, manifest="/home/bob/prod.yaml")
        self.record(history, A, manifest="/home/bob/staging.yaml")

        hash, why = self.chosen(history)
        assert D == hash
        assert f"; by /home/bob/prod.yaml: nothing is recorded by {self.path}" in why

    @pytest.mark.parametrize("signed", [True, False])
    def test_what_others_record_hides_nothing(
        self, tmp_path: Path, signed: bool
    ) -> None:
        """Neither a busy manifest, nor somebody who may write to the store."""
        pytest.importorskip("cryptography")
        from lazyimport.registry.signer import make_key

        store, key = store_with(A, tmp_path), make_key(f"{tmp_path}/k")
        ours = History(f"{tmp_path}/ours", store, signer=key)
        self.record(ours, A)
        self.record(ours, B, before=A)
        manifest = "staging.yaml" if signed else self.path
        others = History(f"{tmp_path}/others", store, signer=key if signed else None)
        others._places = others._places[1:]
        for _ in range(2 * 200 + 1):
            self.record(others, E, manifest=manifest)

        trusted = Trusted.parse(key.public)
        hash, why = self.chosen(History(f"{tmp_path}/here", store, trusted=trusted))
        assert (A, True) == (hash, why.startswith("it is the last that worked"))
        assert "nothing is recorded by" not in why

    def test_what_is_not_trusted_does_not_count(self, tmp_path: Path) -> None:
        store = store_with(A, tmp_path)
        theirs = History(str(tmp_path / "theirs"), store)
        self.record(theirs, A)
        self.record(theirs, B, before=A)

        ours = str(tmp_path / "ours")
        assert A == self.chosen(History(ours, store))[0]
        with pytest.raises(DeployError, match="nobody knows a version"):
            self.chosen(History(ours, store, trusted=Trusted({})))

    def test_a_hash_that_is_asked_for(self, history: History) -> None:
        plan = plan_rollback(Manifest(text(B, C), self.path), ["shop"], history, E)

        assert E == plan.applications[0].hash
        plan.before.fresh = lambda: plan.before  # type: ignore[method-assign]
        plan.after.write = lambda: None  # type: ignore[method-assign]
        plan.write(history)
        assert history.deployments("shop")[0].back

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
        manifest = Manifest.read(str(file))
        plan = plan_rollback(manifest, ["shop"], history)

        assert text(A, A) == plan.after.text
        assert "the newest other hash in git (commit " in plan.why
        record(history, A, "failed")
        assert C == plan_rollback(manifest, ["shop"], history).applications[0].hash

    def test_what_the_store_does_not_have_is_passed_over(self, tmp_path: Path) -> None:
        """As digits that stood in the manifest before the first deployment."""
        history = History(str(tmp_path / "cache"), store_with(A, tmp_path), by="ada@x")
        self.record(history, B, before="0" * 64)
        with pytest.raises(DeployError, match="passed over: 000000000000 is not in "):
            self.chosen(history)

        self.record(history, A, "applied")
        self.record(history, E, before=A)
        self.record(history, B, before=E)
        hash, why = self.chosen(history)
        assert (A, True) == (hash, why.endswith(f"{E[:12]} is not in the store"))

    def test_different_ones_are_not_set_at_once(self, history: History) -> None:
        self.record(history, B, before=A)
        self.record(history, B, before=C, app="till")

        with pytest.raises(DeployError, match="roll back one at a time"):
            plan_rollback(Manifest(text(B, B), self.path), ["shop", "till"], history)

    def test_nothing_before(self, history: History) -> None:
        manifest = Manifest(text(B, C), self.path)
        self.record(history, B, before=None)
        self.record(history, B, before=B)

        with pytest.raises(DeployError, match=r"had no hash before .*f\.yaml:2; to go"):
            plan_rollback(manifest, ["shop"], history)
        with pytest.raises(
            DeployError, match=f"nobody knows a version of till .* before {C}; git has"
        ):
            plan_rollback(manifest, ["till"], history)


class Running(Cluster):
    """A cluster that runs one application, of which some replicas run *others*."""

    def __init__(self, hash: str | None, *others: str, **runtime_env: Any) -> None:
        super().__init__("http://nowhere:8265")
        replicas = [Replica("Shop", h, h, "RUNNING", 0) for h in others]
        app = Served("shop", hash, "DEPLOY_FAILED", "", {"Shop": 1}, tuple(replicas))
        self.applications = {"shop": app}
        env = {"env_vars": {VARIABLE: hash}} if hash else {}
        shop = {"name": "shop", "runtime_env": runtime_env or env}
        self.value: dict[str, Any] = {"applications": [{"name": "till"}, shop]}
        self.applied: Any = "no config"
        #: what replicas run that were started with another archive
        self.swapped: dict[str, str] = {}

    def served(self) -> dict[str, Served]:
        return self.applications

    def processes(self) -> list[Process]:
        return [
            Process("replica", f"shop/Shop/{id_}", hash, "ALIVE", "", 1, live=True)
            for id_, hash in self.swapped.items()
        ]

    def config(self) -> dict[str, Any]:
        return self.value

    def apply(self, config: object) -> None:
        self.applied = config


class TestCluster:
    """The hash to go back to, in a cluster and without a file."""

    def test_what_live_replicas_still_run(self, history: History) -> None:
        """And not what they were started with, before 'dev' changed them."""
        cluster = Running(B, A)
        cluster.swapped = {A: C}
        (step,) = ClusterRollback(cluster, "shop", history).steps

        assert C == step.application.hash

    def test_what_the_other_replicas_still_run(self, history: History) -> None:
        """Which a failed deployment has left in place."""
        cluster = Running(B, A, A, B, env_vars={"LAZYIMPORT_HASH": B, "X": "y"})
        change = ClusterRollback(cluster, "shop", history)

        (step,) = change.steps
        assert (B, A) == (step.before, step.application.hash)
        assert "it still runs, in 2 of the replicas" == change.why
        assert "no config" == cluster.applied
        change.write(history)
        env = cluster.applied["applications"][1]["runtime_env"]["env_vars"]
        assert {"LAZYIMPORT_HASH": A, "X": "y"} == env
        (known,) = history.deployments("shop")
        assert (B, A, "applied", True) == (
            known.before,
            known.hash,
            known.outcome,
            known.back,
        )

    def test_the_last_that_worked_by_the_manifest_that_was_applied(
        self, history: History
    ) -> None:
        cluster = Running(B, B, env_vars={"LAZYIMPORT_HASH": B})
        here, there = {"cluster": cluster.address}, {"cluster": "http://there"}
        record(history, C, manifest="prod.yaml", **here)
        record(history, B, manifest="prod.yaml", before=C, **here)
        record(history, D, manifest="staging.yaml", **there)
        record(history, B, manifest="staging.yaml", before=D, **there)
        change = ClusterRollback(cluster, "shop", history)

        assert C == change.applications[0].hash
        assert "it is the last that worked" in change.why
        assert change.why.endswith("; by prod.yaml")
        change.write(history)
        assert "prod.yaml" == history.deployments("shop")[0].manifest

    def test_one_that_is_asked_for(self, history: History) -> None:
        cluster = Running(B, A, env_vars={"LAZYIMPORT_HASH": B})

        assert D == ClusterRollback(cluster, "shop", history, D).applications[0].hash

    def test_every_place_that_names_the_hash(self, history: History) -> None:
        """So that no two of them contradict each other, and nothing else changes."""
        both = {"lazyimport": {"hash": B, "store": "s"}, "env_vars": {VARIABLE: B}}
        cluster = Running(B, A, **both)
        shop = cluster.value["applications"][1]
        shop["args"] = {"rate": 1e-05, "text": "é\U0001f600 yes", "on": "1e3"}
        expected = json.loads(json.dumps(cluster.value).replace(B, A))
        ClusterRollback(cluster, "shop", history).write(history)

        assert expected == cluster.applied

    def test_nothing_that_is_known(self, history: History) -> None:
        with pytest.raises(DeployError, match=f"nobody knows a version .*before {B}"):
            ClusterRollback(Running(B, B), "shop", history)
        with pytest.raises(DeployError, match="has no application 'cart'"):
            ClusterRollback(Running(B, B), "cart", history)
        with pytest.raises(DeployError, match="worked before now"):
            ClusterRollback(Running(None), "shop", history)
