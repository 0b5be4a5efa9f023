"""The journal: what modules of the archive register elsewhere, so that it can go.

Handlers of loggers, functions for the end of the process, handlers of signals, metrics
of `prometheus_client`: what a module has registered is taken back when that is executed
again, which registers it again, and put back if the swap is refused.
"""

from __future__ import annotations

import functools
import sys
from weakref import ref

from lazyimport.importing.moving import entry_of_spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from lazyimport.importing import ImportWatcher


class Record:
    """One *thing* that the module with the globals *scope* has registered at *place*.

    *undo* and *redo* are called with the place; *undo* returns whether there was
    anything to take back. A place, such as a registry, may end before the module.
    """

    def __init__(
        self,
        scope: dict[str, Any],
        place: object,
        thing: object,
        undo: Callable[[Any], object],
        redo: Callable[[Any], object],
    ) -> None:
        self.scope = scope
        self.place = ref(place)
        self.thing = thing
        self._undo = undo
        self._redo = redo

    def undo(self) -> bool:
        """Take it back; return whether it was there."""
        return self._do(self._undo)

    def redo(self) -> None:
        """Register it again."""
        self._do(self._redo)

    def _do(self, function: Callable[[Any], object]) -> bool:
        place = self.place()
        try:
            return place is not None and bool(function(place))
        except Exception:  # noqa: BLE001 - somebody else has taken it back
            return False


class Journal:
    """What the modules that run now have registered."""

    def __init__(self) -> None:
        #: in order; only single steps change it, as threads may register at any time
        self._records: dict[Record, None] = {}

    def begin(self, watcher: ImportWatcher) -> None:
        """Note what is registered from now on."""
        watcher.watch("logging", self._watch_logging)
        watcher.watch("atexit", self._watch_atexit)
        watcher.watch("signal", self._watch_signal)
        watcher.watch("prometheus_client.registry", self._watch_prometheus)

    def undo(self, is_gone: Callable[[dict[str, Any]], bool]) -> list[Record]:
        """Take back what modules have registered of whose globals *is_gone* is true."""
        taken = [each for each in list(self._records) if is_gone(each.scope)]
        for record in taken:
            self._records.pop(record, None)
        undone = [record for record in reversed(taken) if record.undo()]
        return undone[::-1]

    def redo(self, records: Iterable[Record]) -> None:
        """Register again what `undo` has taken back."""
        for record in records:
            record.redo()
            self._records[record] = None

    def _note(
        self,
        place: object,
        thing: object,
        undo: Callable[[Any], object],
        redo: Callable[[Any], object],
    ) -> None:
        scope = _registers()
        if scope is not None:
            for record in list(self._records):
                if record.place() is None:
                    self._records.pop(record, None)
            self._records[Record(scope, place, thing, undo, redo)] = None

    def _forget(self, place: object, thing: object) -> None:
        """Forget what the program has taken back itself, or it would stay for ever."""
        for record in list(self._records):
            if record.place() is place and record.thing == thing:
                self._records.pop(record, None)

    def _watch_logging(self, logging: Any) -> None:
        add, remove = logging.Logger.addHandler, logging.Logger.removeHandler

        @functools.wraps(add)
        def addHandler(self_: Any, hdlr: Any) -> None:  # noqa: N802
            def undo(logger: Any) -> bool:
                is_there = hdlr in logger.handlers
                remove(logger, hdlr)
                return is_there

            is_new = hdlr not in self_.handlers
            add(self_, hdlr)
            if is_new:
                self._note(self_, hdlr, undo, lambda logger: add(logger, hdlr))

        @functools.wraps(remove)
        def removeHandler(self_: Any, hdlr: Any) -> None:  # noqa: N802
            remove(self_, hdlr)
            self._forget(self_, hdlr)

        logging.Logger.addHandler = addHandler
        logging.Logger.removeHandler = removeHandler

    def _watch_atexit(self, atexit: Any) -> None:
        plain, plain_undo = atexit.register, atexit.unregister

        @functools.wraps(plain)
        def register(func: Any, /, *args: Any, **kwargs: Any) -> Any:
            result = plain(func, *args, **kwargs)
            self._note(
                atexit,
                func,
                lambda _: plain_undo(func) is None,
                lambda _: plain(func, *args, **kwargs),
            )
            return result

        @functools.wraps(plain_undo)
        def unregister(func: Any, /) -> None:
            plain_undo(func)
            self._forget(atexit, func)

        atexit.register, atexit.unregister = register, unregister

    def _watch_signal(self, signal: Any) -> None:
        plain = signal.signal

        @functools.wraps(plain)
        def set_handler(signalnum: Any, handler: Any) -> Any:
            before = plain(signalnum, handler)
            first = self._before(signal, signalnum, before)

            def undo(_: object) -> bool:
                is_there = signal.getsignal(signalnum) is handler
                if is_there:
                    plain(signalnum, first)
                return bool(is_there)

            if handler is not first:
                thing = signalnum, first
                self._note(signal, thing, undo, lambda _: plain(signalnum, handler))
            return before

        signal.signal = set_handler

    def _before(self, signal: object, number: object, before: object) -> object:
        """Return the handler of a signal from before the module that sets one.

        That it has set one *before* is forgotten.
        """
        for record in reversed(list(self._records)):
            thing: Any = record.thing
            if record.place() is signal and thing[0] == number:
                if record.scope is not _registers():
                    break
                self._records.pop(record, None)
                return thing[1]
        return before

    def _watch_prometheus(self, registry: Any) -> None:
        kind = registry.CollectorRegistry
        plain, plain_undo = kind.register, kind.unregister

        @functools.wraps(plain)
        def register(self_: Any, collector: Any) -> None:
            def undo(registry: Any) -> bool:
                plain_undo(registry, collector)
                return True

            plain(self_, collector)
            self._note(self_, collector, undo, lambda it: plain(it, collector))

        @functools.wraps(plain_undo)
        def unregister(self_: Any, collector: Any) -> None:
            plain_undo(self_, collector)
            self._forget(self_, collector)

        kind.register, kind.unregister = register, unregister


def _registers() -> dict[str, Any] | None:
    """Return the globals of the archive's code that registers something, or None."""
    frame: Any = sys._getframe(1)  # noqa: SLF001
    while frame is not None:
        if entry_of_spec(frame.f_globals.get("__spec__")) is not None:
            scope: dict[str, Any] = frame.f_globals
            return scope
        frame = frame.f_back
    return None
