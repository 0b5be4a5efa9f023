"""What a run of a command writes into the history of deployments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lazyimport.deploy.errors import DeployError
from lazyimport.deploy.failure import headline
from lazyimport.deploy.status import Served
from lazyimport.registry.history import Deployment, History

__all__ = ["Deployment", "History", "Run"]


class Run:
    """What somebody does now to some applications: *deployments*, into *history*."""

    def __init__(self, history: History, deployments: Iterable[Deployment]) -> None:
        self._history = history
        self._deployments = {each.app: each for each in deployments}

    def note(
        self, outcome: str, reason: str = "", *apps: str, cluster: str = ""
    ) -> None:
        """Write down what came of it: for *apps*, by default for all."""
        for name in apps or self._deployments:
            known = self._deployments[name]
            self._deployments[name] = known._replace(
                outcome=outcome, reason=reason, cluster=cluster or known.cluster
            )
            self._history.add(self._deployments[name])

    def follow(self, rollout: Iterator[list[Served]]) -> Iterator[list[Served]]:
        """Yield what *rollout* yields, and write down how it ends."""
        now: list[Served] = []
        try:
            for now in rollout:
                yield now
        except DeployError as error:
            served = {app.name: app for app in now}
            for name, known in list(self._deployments.items()):
                if name == getattr(error, "app", None) and error.outcome:
                    self.note(error.outcome, headline(error.reason), name)
                elif name in served and served[name].runs(known.hash):
                    self.note("running", "", name)
            raise
        self.note("running")
