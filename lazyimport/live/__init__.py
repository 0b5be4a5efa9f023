"""Live code: another version of an archive takes over in a process that runs one.

In development only, where ``LAZYIMPORT_LIVE`` is set. A *swap* executes again the
modules that have changed and those that use them, the *closure*; all others stay the
very same objects, and so do the models that they have loaded. The modules of one
version are a *generation*. What began in one ends in it, also where it imports later.
"""

from __future__ import annotations

from lazyimport.lazy import exports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.live.following import Following, follow
    from lazyimport.live.generations import Generation
    from lazyimport.live.starting import start
    from lazyimport.live.state import current_generation
    from lazyimport.live.swapping import Swap, swap

__all__ = [
    "Following",
    "Generation",
    "Swap",
    "current_generation",
    "follow",
    "start",
    "swap",
]

__getattr__, __dir__ = exports(
    globals(),
    following="Following follow",
    generations="Generation",
    starting="start",
    state="current_generation",
    swapping="Swap swap",
)
