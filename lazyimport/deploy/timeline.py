"""Timelines: what was seen of a rollout while it was followed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from lazyimport.deploy.cluster import Cluster
from lazyimport.deploy.errors import DeployError
from lazyimport.deploy.failure import headline, without_colors
from lazyimport.deploy.status import Replica, Served
from lazyimport.units import utc

#: Ray's nodes export metrics every five to ten seconds.
_SECONDS_BETWEEN = 3.0
#: Characters of a message that are kept.
_LONGEST = 20_000


class Span(NamedTuple):
    """A *state*, and when it *began* and *ended*; None while it lasts."""

    state: str
    began: float
    ended: float | None


class Seen:
    """A replica of *application*, and its ``spans``, by Serve's states."""

    def __init__(self, application: str, replica: Replica, now: float) -> None:
        self.application = application
        self.replica = replica
        self.spans = [Span(replica.state, now, None)]
        self.served = replica.serves

    @property
    def is_over(self) -> bool:
        """Whether Serve lists it no more."""
        return self.spans[-1].ended is not None


class Message(NamedTuple):
    """What Serve said of an application at a time: a headline, and all of it."""

    at: float
    application: str
    headline: str
    text: str


class Count(NamedTuple):
    """Requests, and those that failed, of all replicas of a hash up to a time."""

    at: float
    hash: str
    requests: float
    errors: float


class Timeline:
    """A rollout: *wanted* maps the applications to their hashes.

    Times are in seconds since it ``began``, which is in seconds since the epoch.
    ``outcome`` is ``running``, or ``failed`` and so on as `OUTCOMES` has them,
    ``interrupted`` if nobody waited for the end; ``reason`` says why.
    """

    def __init__(self, wanted: Mapping[str, str]) -> None:
        self.wanted = dict(wanted)
        self.began = time.time()
        self._start = time.monotonic()  # clocks jump
        self.lasted = 0.0
        self.outcome = "interrupted"
        self.reason = ""
        self.applications: dict[str, list[Span]] = {}
        self.replicas: dict[tuple[str, str], Seen] = {}
        self.messages: list[Message] = []
        self.counts: list[Count] = []
        self._counted: dict[str, tuple[str, float, float]] = {}

    def record(
        self, rollout: Iterator[list[Served]], cluster: Cluster
    ) -> Iterator[list[Served]]:
        """Yield what *rollout* yields and remember it, with *cluster*'s requests."""
        due = 0.0
        try:
            for now in rollout:
                self.see(now)
                if time.monotonic() >= due:
                    due = time.monotonic() + _SECONDS_BETWEEN
                    self.count(cluster.requests())
                yield now
            self.outcome = "running"
        except DeployError as error:
            self.outcome, self.reason = error.outcome or "failed", str(error)
            raise
        finally:
            self.lasted = self._now()

    def _now(self) -> float:
        return time.monotonic() - self._start

    def see(self, applications: list[Served], at: float | None = None) -> None:
        """Remember how the applications are *at* a time, by default now."""
        at = self._now() if at is None else at
        there = set()
        for app in applications:
            self._see_application(app, at)
            for replica in app.replicas:
                there.add((app.name, replica.id))
                self._see_replica(app.name, replica, at)
        for key, seen in self.replicas.items():
            if key not in there and not seen.is_over:
                seen.spans[-1] = seen.spans[-1]._replace(ended=at)

    def count(
        self, requests: Mapping[str, tuple[float, float]], at: float | None = None
    ) -> None:
        """Remember *requests*: by replica, how many it has had, and how many failed."""
        at = self._now() if at is None else at
        hashes = {name: seen.replica.hash for (_, name), seen in self.replicas.items()}
        for name, (all_, failed) in requests.items():
            if name in hashes:
                self._counted[name] = hashes[name] or "", all_, failed
        for hash in sorted({hash for hash, *_ in self._counted.values()}):
            ours = [
                counts for known, *counts in self._counted.values() if known == hash
            ]
            self.counts.append(Count(at, hash, *map(sum, zip(*ours, strict=True))))

    def facts(self) -> Mapping[str, object]:
        """Return what the page is given."""
        replicas = [
            {
                "application": seen.application,
                "deployment": seen.replica.deployment,
                "id": seen.replica.id,
                "hash": seen.replica.hash,
                "spans": seen.spans,
                "failed": seen.is_over and not seen.served,
            }
            for seen in self.replicas.values()
        ]
        return {
            "wanted": self.wanted,
            "began": utc(self.began),
            "lasted": self.lasted or self._now(),
            "outcome": self.outcome,
            "reason": self.reason,
            "applications": self.applications,
            "replicas": replicas,
            "messages": self.messages,
            "counts": self.counts,
        }

    def _see_application(self, app: Served, at: float) -> None:
        spans = self.applications.setdefault(app.name, [])
        _extend(spans, app.status, at)
        text = without_colors(app.message).strip()[:_LONGEST]
        if text and all(
            (app.name, text) != (m.application, m.text) for m in self.messages
        ):
            self.messages.append(Message(at, app.name, headline(text), text))

    def _see_replica(self, app: str, replica: Replica, at: float) -> None:
        known = self.replicas.get((app, replica.id))
        if known is None:
            self.replicas[app, replica.id] = Seen(app, replica, at)
            return
        _extend(known.spans, replica.state, at)
        known.replica = replica._replace(hash=replica.hash or known.replica.hash)
        known.served |= replica.serves


def _extend(spans: list[Span], state: str, at: float) -> None:
    """Let the last of *spans* go on, or end it and begin another one."""
    if spans and spans[-1].state == state and spans[-1].ended is None:
        return
    if spans and spans[-1].ended is None:
        spans[-1] = spans[-1]._replace(ended=at)
    spans.append(Span(state, at, None))
