"""Verified bytes between stores and this node; `push` packs and publishes."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.delivery.publish import Published
    from lazyimport.delivery.pushing import Pushed, push
else:
    from lazyimport.lazy import exports

    __getattr__, __dir__ = exports(
        globals(), publish="Published", pushing="Pushed push"
    )

__all__ = ["Published", "Pushed", "push"]
