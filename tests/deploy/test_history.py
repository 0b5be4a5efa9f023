"""What a run of a command writes into the history of deployments."""

from __future__ import annotations

import pytest

from lazyimport.deploy import DeployError, History, Replica, Served
from lazyimport.deploy.history import Run
from lazyimport.registry.history import OUTCOMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

A = "a1" * 32


def app(name: str, hash: str, status: str) -> Served:
    replica = Replica("Shop", "1", hash, "RUNNING", 0.0)
    return Served(name, hash, status, "", {"Shop": 1}, (replica,))


@pytest.fixture(name="history")
def _history(tmp_path: Path) -> History:
    return History(str(tmp_path / "cache"))


class TestRun:
    """What comes of each application of a rollout."""

    def outcomes(self, history: History) -> dict[str, str]:
        return {
            name: history.deployments(name)[0].outcome for name in ("shop", "till", "x")
        }

    def run(self, history: History, error: DeployError | None) -> None:
        def rollout() -> Iterator[list[Served]]:
            yield [app("shop", A, "DEPLOY_FAILED"), app("till", A, "RUNNING")]
            if error is not None:
                raise error

        run = Run(history, [history.begin(n, None, A) for n in ("shop", "till", "x")])
        run.note("applied")
        assert 1 == len(list(run.follow(rollout())))

    def test_all_run_it(self, history: History) -> None:
        self.run(history, None)

        assert {"running"} == set(self.outcomes(history).values())

    @pytest.mark.parametrize("outcome", OUTCOMES[2:5])
    def test_one_does_not(self, history: History, outcome: str) -> None:
        """Of the others it is recorded what is known."""
        reason = "Deploying failed:\nTraceback ...\n  raise\nValueError: no\n"
        error = DeployError("x", app="shop", outcome=outcome, reason=reason)
        with pytest.raises(DeployError):
            self.run(history, error)

        expected = {"shop": outcome, "till": "running", "x": "applied"}
        assert expected == self.outcomes(history)
        assert "ValueError: no" == history.deployments("shop")[0].reason

    def test_one_that_serve_does_not_have(self, history: History) -> None:
        error = DeployError("x", app="x", outcome="timed out", reason="")
        with pytest.raises(DeployError):
            self.run(history, error)

        assert "timed out" == self.outcomes(history)["x"]

    def test_nobody_knows(self, history: History) -> None:
        """The cluster could not be asked any more."""
        with pytest.raises(DeployError):
            self.run(history, DeployError("cannot reach it"))

        expected = {"shop": "applied", "till": "running", "x": "applied"}
        assert expected == self.outcomes(history)
