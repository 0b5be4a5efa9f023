"""keep: what is expensive to make, such as a model, is made once in a process.

Most processes that call it are not live, so what compares code is loaded where it is
needed, in `lazyimport.live.keeping`.
"""

from __future__ import annotations

import os
import sys
from _thread import RLock

from lazyimport.runtime import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Made = TypeVar("Made")

_locks: dict[str, RLock] = {}
os.register_at_fork(after_in_child=_locks.clear)  # the threads that hold them are gone


def keep(
    key: str, factory: Callable[..., Made], /, *args: Any, twice: bool = False
) -> Made:
    """Return what *factory* makes of *args*, made once and kept under *key*.

    Where code may change (`lazyimport.live`), the same object is returned to the next
    version of the code if that would make the same. Elsewhere the factory is called
    once for each key in a process.

    Where it must be made again while the one from before is alive, memory would be
    taken twice: that is a KeepError, which refuses the swap, unless *twice* allows it.
    """
    with _locks.setdefault(key, RLock()):
        if process.live is None:
            if key not in process.kept:
                process.kept[key] = factory(*args)
            return process.kept[key]  # type: ignore[return-value]
        from lazyimport.live.keeping import keep_over

        scope = sys._getframe(1).f_globals  # noqa: SLF001
        return keep_over(scope, key, factory, args, twice=twice)  # type: ignore[no-any-return]
