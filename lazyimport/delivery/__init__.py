"""Verified bytes between stores and this node; `push` packs and publishes."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.delivery.publish import Published
    from lazyimport.delivery.pushing import Pushed, push

__all__ = ["Published", "Pushed", "push"]

_HOMES = {
    "Published": "lazyimport.delivery.publish",
    "Pushed": "lazyimport.delivery.pushing",
    "push": "lazyimport.delivery.pushing",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(__import__(_HOMES[name], fromlist=[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
