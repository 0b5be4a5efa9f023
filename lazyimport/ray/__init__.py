"""lazyimport for Ray: what a job, task, actor or application must be given.

::

    ray.init(runtime_env=lazyimport.ray.ship("src", store="gs://bucket/code"))

The names below are imported when somebody asks for them, because workers load this
package when they start.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.ray.environment import runtime_env
    from lazyimport.ray.metrics import report
    from lazyimport.ray.prefetching import NodeFetch, prefetch
    from lazyimport.ray.shipping import ship

__all__ = ["NodeFetch", "prefetch", "report", "runtime_env", "ship"]

_HOMES = {
    "NodeFetch": "lazyimport.ray.prefetching",
    "prefetch": "lazyimport.ray.prefetching",
    "report": "lazyimport.ray.metrics",
    "runtime_env": "lazyimport.ray.environment",
    "ship": "lazyimport.ray.shipping",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(__import__(_HOMES[name], fromlist=[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
