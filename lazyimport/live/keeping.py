"""Keeping: an object that `keep` has made outlives the code around it.

It is handed over to the next generation if that would make the same: the arguments and
the code of the factory are equal (`lazyimport.live.recipes`), and nothing inside is of
a class that has been made anew.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any
from weakref import ref

from lazyimport.errors import KeepError
from lazyimport.live.generations import Generation
from lazyimport.live.holding import homes_among
from lazyimport.live.recipes import recipes_of
from lazyimport.live.state import Live, live_state

#: How many objects inside of what was kept are looked at.
_MOST = 300_000


class Kept:
    """What *factory* has made of its arguments, for the generation *since*."""

    def __init__(
        self, value: object, recipes: tuple[object, object], since: int
    ) -> None:
        self.value: Any = value
        self._weak: Callable[[], object] | None = None
        self._recipes = recipes
        self._since = since

    def loosen(self) -> None:
        """Keep it only while others use it: no call of this version asked for it."""
        try:
            self._weak, self.value = ref(self.value), None
        except TypeError:  # a list or the like
            pass

    def tighten(self) -> bool:
        """Take back `loosen`; return whether the object is still there."""
        if self._weak is not None:
            self.value, self._weak = self._weak(), None
            return self.value is not None
        return True

    def stale(self, recipes: tuple[object, object], live: Live) -> str:
        """Return why a call with these recipes needs another one, "" if it does not."""
        if self._recipes[1] != recipes[1]:
            return "its arguments have changed"
        if self._recipes[0] != recipes[0]:
            return "the code that makes it has changed"
        since = live.edges.since
        homes, _ = homes_among([self.value], since, depth=sys.maxsize, most=_MOST)
        again = sorted(home for home in homes if since[home] > self._since)
        if again:
            return f"it has objects of {', '.join(again)}, which was executed again"
        return ""


def inherit(old: Generation, new: Generation) -> None:
    """Let *new* have what was kept for *old*, if it wants the same."""
    new.kept_before = {**old.kept_before, **old.kept}
    new.unasked = old.kept_before.keys() - old.kept.keys()


def let_go(new: Generation) -> None:
    """Let go of what neither *new* nor the version before it has asked for."""
    for key in new.unasked - new.kept.keys():
        new.kept_before[key].loosen()


def kept_by(generation: Generation) -> tuple[str, ...]:
    """Return the keys of what a generation has taken over."""
    before = generation.kept_before.items()
    return tuple(sorted(k for k, v in before if generation.kept.get(k, v) is v))


def keep_over(
    scope: dict[str, Any],
    key: str,
    factory: Callable[..., Any],
    args: tuple[Any, ...],
    *,
    twice: bool,
) -> Any:
    """Do what `keep` does, for code of a live process with the globals *scope*."""
    live = live_state()
    assert live is not None
    generation = live.generation_of(scope)
    recipes = recipes_of(factory, args, lambda: generation.modules, live.edges.since)
    kept: Kept | None = generation.kept.get(key) or generation.kept_before.get(key)
    if kept is not None and kept.tighten():
        why = kept.stale(recipes, live)
        if not why:
            generation.kept[key] = kept
            return kept.value
        if key in generation.unasked:
            kept.loosen()
        if not twice and kept.tighten():
            raise KeepError(
                f"{key!r} would be made again while the one from before is in memory: "
                f"{why}; start new processes for this version, or allow both for a "
                "while with keep(..., twice=True)",
                key=key,
            )
        del kept
    value = factory(*args)
    generation.kept[key] = Kept(value, recipes, generation.number)
    return value
