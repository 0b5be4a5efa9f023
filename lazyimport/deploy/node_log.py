"""The log of a node: what its workers wrote of the archives that they run.

That is a line of JSON for each event, see `lazyimport.ray.metrics`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

_Facts: TypeAlias = dict[str, Any]


class Told(NamedTuple):
    """What a live replica has told of the wish to serve the archive ``hash``.

    ``state`` is ``swapped``, ``unchanged`` or ``refused``, for the ``reason``;
    ``modules`` were executed again, ``kept`` was kept, and ``milliseconds`` is how long
    each step took.
    """

    deployment: str
    replica: str
    hash: str
    state: str
    reason: str
    modules: tuple[str, ...]
    kept: tuple[str, ...]
    milliseconds: Mapping[str, float]


#: What a line of a swap has; one of another version may lack some.
_OF_A_SWAP = {*Told._fields} - {"hash"}


class NodeLog:
    """What the workers of a node wrote: *text*, in which the newest lines are last.

    ``unread`` says why it could not be read, None if it was.
    """

    def __init__(self, text: str = "", unread: str | None = None) -> None:
        self.unread = unread
        self._by_pid: dict[int, list[_Facts]] = {}
        for facts in _facts_in(text):
            self._by_pid.setdefault(facts["pid"], []).append(facts)

    def installed(
        self, pid: int, hash: str | None, worker: str | None = None
    ) -> _Facts:
        """Return what the process *pid* wrote last of its archive *hash*.

        Another one may have had its number before it: the id that Ray gives a *worker*
        tells them apart, where it is known and was written. If its runtime environment
        names no archive (*hash* is None), a channel or its image may.
        """
        for facts in reversed(self._by_pid.get(pid, [])):
            is_other = worker and facts.get("worker", worker) != worker
            is_its = hash is None or hash == facts.get("hash")
            if "live" not in facts and is_its and not is_other:
                return facts
        return {}

    @property
    def is_empty(self) -> bool:
        """Whether no worker wrote anything."""
        return not self._by_pid

    def lives(self, pid: int, replica: str) -> str | None:
        """Return the archive that a *replica* whose code can change serves now."""
        for facts in reversed(self._by_pid.get(pid, [])):
            live = facts.get("live", {})
            if live.get("replica") == replica and live.get("state") != "refused":
                return str(facts.get("hash"))
        return None

    def told(self, wish: int) -> dict[str, Told]:
        """Return what replicas have told of a *wish*, by their ids."""
        found = {}
        for facts in chain.from_iterable(self._by_pid.values()):
            live = facts.get("live", {})
            if live.get("wish") == wish and live.keys() >= _OF_A_SWAP:
                known = {name: live[name] for name in _OF_A_SWAP}
                found[live["replica"]] = Told(hash=str(facts.get("hash")), **known)
        return found


def _facts_in(log: str) -> Iterator[_Facts]:
    for line in log.splitlines():
        try:
            facts = json.loads(line[line.index("{") :])
        except ValueError:
            continue  # it begins in the middle
        is_ours = isinstance(facts, dict) and isinstance(facts.get("pid"), int)
        if is_ours and isinstance(facts.get("live", {}), dict):
            yield facts
