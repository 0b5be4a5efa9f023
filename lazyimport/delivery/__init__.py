"""Verified bytes between stores and this node; `push` packs and publishes."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.delivery.pushing import Pushed, push

__all__ = ["Pushed", "push"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "lazyimport.delivery.pushing"  # loads the packing side: not for workers
    return getattr(__import__(home, fromlist=[name]), name)
