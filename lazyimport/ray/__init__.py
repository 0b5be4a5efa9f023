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
else:
    from lazyimport.lazy import exports

    __getattr__, __dir__ = exports(
        globals(),
        environment="runtime_env",
        metrics="report",
        prefetching="NodeFetch prefetch",
        shipping="ship",
    )

__all__ = ["NodeFetch", "prefetch", "report", "runtime_env", "ship"]
