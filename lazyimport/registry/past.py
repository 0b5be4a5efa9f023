"""The past of an application: its hashes, what became of each, and where to go back.

`lazyimport rollback` takes what is said here, and `lazyimport gc` keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import takewhile
from textwrap import shorten
from typing import NamedTuple

from lazyimport.registry.history import Deployment, newest_first

#: Deployments of an application by one manifest whose records stay at any age.
RECORDED = 50
#: Characters of why one failed, beside others; 'lazyimport history' shows all of it.
_REASON = 80


class Fate:
    """What became of one hash; *last* is its last deployment, or that after it."""

    def __init__(self, last: Deployment) -> None:
        self.last = last
        self.ran: Deployment | None = None  # the last time
        self.failed: Deployment | None = None  # since then
        self.left: Deployment | None = None  # by this rollback
        self.is_gone = False

    @property
    def is_bad(self) -> bool:
        """Whether it failed and never ran, or somebody rolled back from it."""
        return self.left is not None or (self.failed is not None and not self.ran)

    def rank(self, hash: str) -> int:
        """Return how much is known for *hash*, whose fate this is."""
        was_applied = self.last.hash == hash and self.last.outcome != "written"
        return 2 if self.ran else int(was_applied)

    def __str__(self) -> str:
        if self.is_gone:
            return "is not in the store"
        if self.left is not None:
            return f"was rolled back {self.left.told}"
        if self.failed is not None and not self.ran:
            return _outcome(self.failed)
        return "ran" if self.ran else "was not waited for"


def _outcome(failed: Deployment) -> str:
    reason = shorten(failed.reason, _REASON, placeholder=" …")
    return failed.outcome + (f" ({reason})" if reason else "")


class Past:
    """What the *deployments* of an application by one manifest say, newest first.

    ``now`` is the hash that it has, ``fates`` are by hash, in the order in which they
    were deployed last, ``is_first`` says whether it has had no other one.
    """

    def __init__(self, deployments: Iterable[Deployment], now: str | None) -> None:
        deployments = list(deployments)
        self.now = now
        befores = {each.before for each in deployments}
        self.is_first = bool(now) and befores | {now} == {None, now}
        self.fates: dict[str, Fate] = {}
        for each in reversed(deployments):
            self._learn(each)

    def _learn(self, each: Deployment) -> None:
        known = self.fates.pop(each.hash, Fate(each))
        if each.before and each.before != each.hash:
            before = self.fates.setdefault(each.before, Fate(each))
            if each.back and known.left is None:
                before.left = each
        self.fates[each.hash] = known
        known.last, known.left = each, None
        if each.outcome == "running":
            known.ran, known.failed = each, None
        elif each.outcome in ("failed", "timed out"):
            known.failed = each

    def good(self) -> list[str]:
        """Return the hashes to go back to, the first choice first.

        The newest of those that ran, then of those that were applied, then of all.
        """
        newest = reversed(self.fates)
        good = [h for h in newest if h != self.now and not self.fates[h].is_bad]
        return sorted(good, key=lambda hash: -self.fates[hash].rank(hash))

    def choose(
        self, is_gone: Callable[[str], bool] = lambda _: False
    ) -> tuple[str, str] | None:
        """Return the hash to go back to and why, None if nothing is known.

        One that *is_gone* is passed over: nobody could run it, if it ever was one and
        not what stood in a manifest before the first deployment.
        """
        for hash in self.good():
            self.fates[hash].is_gone = is_gone(hash)
            if not self.fates[hash].is_gone:
                return hash, self._why(hash)
        return None

    def _why(self, hash: str) -> str:
        fate = self.fates[hash]
        last = fate.last
        if fate.ran:
            why = f"it is the last that worked: deployed {fate.ran.told}"
            if fate.failed:
                why += f"; again {fate.failed.told}: {_outcome(fate.failed)}"
        elif last.hash == hash:
            why = f"it was deployed {last.told}, and nobody waited for it"
        else:
            why = f"{last.app} had it before {last.hash[:12]} was deployed"
        return why + self.passed_over(hash)

    def passed_over(self, chosen: str | None = None) -> str:
        """Return what is said of the hashes that were deployed after *chosen*."""
        newer = takewhile(lambda hash: hash != chosen, reversed(self.fates))
        texts = [f"{h[:12]} {self.fates[h]}" for h in newer if h != self.now]
        return f"; passed over: {', '.join(texts)}" if texts else ""


class Reason(NamedTuple):
    """Why a garbage collection leaves an archive.

    *kind* is ``channel``, ``application``, ``rollback``, ``named``, ``newest``,
    ``recent`` or ``base``, and *name* that of the channel or application, or the hash
    of the archive whose base it is. *number* is that of an earlier change of the
    channel, or how many of the newest stay.
    """

    kind: str
    name: str | None = None
    number: int | None = None


class Kept:
    """What *records* keep from a garbage collection.

    For each application, by each manifest, that is all that it may run now: what it was
    given, and had before, since it was last seen running. And what to go back to: with
    the newest, *count* archives and at least two. Records that no trusted key signed
    keep archives too, and take the place of no others.

    ``reasons`` are pairs of a hash and a `Reason`. ``ids`` are application and id of
    the deployments to remember: the last `RECORDED`, and when those archives ran.
    """

    def __init__(self, records: Iterable[Deployment], count: int) -> None:
        self.reasons: list[tuple[str, Reason]] = []
        self.ids: set[tuple[str, str]] = set()
        deployments = newest_first(records)
        for counted in ([each for each in deployments if each.trusted], deployments):
            lines: dict[tuple[str, str], list[Deployment]] = {}
            for each in counted:
                lines.setdefault((each.app, each.manifest), []).append(each)
            for line in lines.values():
                self._keep(line, max(count, 2))

    def _keep(self, line: list[Deployment], count: int) -> None:
        app, now = line[0].app, line[0].hash
        good = Past(line, now).good()[: count - 1]
        for each in line[:RECORDED]:
            self.reasons.append((each.hash, Reason("application", app)))
            if each.outcome == "running":
                break
            if each.before:
                self.reasons.append((each.before, Reason("application", app)))
        self.reasons += [(hash, Reason("rollback", app)) for hash in good]
        ran = {each.hash: each for each in reversed(line) if each.outcome == "running"}
        found = [*line[:RECORDED], *map(ran.get, [now, *good])]
        self.ids.update((each.app, each.id) for each in found if each)
