"""The garbage collector waits while modules of the archive are imported.

An import makes many objects that stay, and the collector looks through them again and
again. `pause` puts that off until no import of the archive is under way. What has been
imported by then is promoted. Once imports have made many, `gc.freeze` spares the
collector what there is for good.
"""

from __future__ import annotations

import gc
import os
from _thread import get_ident

from lazyimport.importing import ModuleSpec
from lazyimport.lazy import promote

#: More objects than any process makes. It differs from what a program would set, so
#: that one that sets a threshold of its own meanwhile keeps it.
_NEVER = 0x7FFF_FFF0
#: So many objects of imports are worth freezing.
_MANY = 10_000
#: by thread: the spec whose module it executes; not of those imported meanwhile
_importing: dict[int, ModuleSpec] = {}
_thresholds = gc.get_threshold()
#: objects that imports have made, less those that were there before
_made = 0
_frozen = False
#: collections before the end of the last import, and whether imports have followed one
#: another since the first, with less in between than would have called the collector
_collected = 0
_follows = True


def pause(spec: ModuleSpec) -> None:
    """Let the collector wait while the module of *spec* is executed.

    Neither `gc.isenabled` nor what a module does with `gc` is affected. Once imports
    have made many objects, `gc.freeze` is called, and again after each that follows.
    """
    if get_ident() not in _importing:
        spec.__class__ = _Pausing


class _Pausing(ModuleSpec):
    """A spec that notices when its module begins and ends to be executed.

    The import machinery sets an attribute then. A loader cannot notice the end without
    a frame of its own in every traceback.
    """

    @property
    def _initializing(self) -> object:
        return self.__dict__["_initializing"]

    @_initializing.setter
    def _initializing(self, value: object) -> None:
        self.__dict__["_initializing"] = value
        if value:
            _begin(self)
        else:
            self.__class__ = ModuleSpec  # type: ignore[assignment]
            _end(get_ident(), self)


def _begin(spec: ModuleSpec) -> None:
    global _thresholds, _made, _follows  # noqa: PLW0603 - one collector for the process
    now = gc.get_threshold()
    if not _importing and now[0] != _NEVER:
        _thresholds = now
        young = gc.get_count()[0]
        _made -= young
        if _frozen and (young > now[0] or _collections() > _collected):
            _follows = False
        gc.set_threshold(_NEVER, *now[1:])
    _importing.setdefault(get_ident(), spec)


def _end(thread: int, spec: ModuleSpec) -> None:
    global _frozen, _made, _collected  # noqa: PLW0603 - as above
    if _importing.get(thread) is spec:
        del _importing[thread]
    if _importing or gc.get_threshold()[0] != _NEVER:
        return
    _made += gc.get_count()[0]
    if _made > _MANY and _follows:
        gc.freeze()
        _frozen = True
        _collected = _collections()
    elif not _frozen:
        promote()
    gc.set_threshold(*_thresholds)


def _collections() -> int:
    return sum(each["collections"] for each in gc.get_stats())


def _forked() -> None:
    """Forget what other threads import: they are not in the child."""
    for thread, spec in list(_importing.items()):
        if thread != get_ident():
            _end(thread, spec)


os.register_at_fork(after_in_child=_forked)
