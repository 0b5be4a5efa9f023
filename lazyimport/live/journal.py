"""The journal: what modules of the archive register elsewhere, so that it can go.

Handlers of loggers, functions for the end of the process, handlers of signals, metrics
of `prometheus_client`: what a module has registered is taken back when that is executed
again, which registers it again, and put back if the swap is refused.
"""

from __future__ import annotations

import functools
import sys

from lazyimport.importing.moving import entry_of_spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from lazyimport.importing import ImportWatcher


class Record:
    """One thing that was registered by the module with the globals *scope*.

    ``undo`` returns whether there was anything to take back; ``function`` is that for
    the end of the process.
    """

    def __init__(
        self,
        scope: dict[str, Any],
        undo: Callable[[], Any],
        redo: Callable[[], Any],
        function: object,
    ) -> None:
        self.scope = scope
        self.undo = undo
        self.redo = redo
        self.function = function


class Journal:
    """What the modules that run now have registered."""

    def __init__(self) -> None:
        self._records: list[Record] = []

    def begin(self, watcher: ImportWatcher) -> None:
        """Note what is registered from now on."""
        watcher.watch("logging", self._watch_logging)
        watcher.watch("atexit", self._watch_atexit)
        watcher.watch("signal", self._watch_signal)
        watcher.watch("prometheus_client.registry", self._watch_prometheus)

    def undo(self, is_gone: Callable[[dict[str, Any]], bool]) -> list[Record]:
        """Take back what modules have registered of whose globals *is_gone* is true."""
        taken = [each for each in self._records if is_gone(each.scope)]
        self._records = [each for each in self._records if each not in taken]
        undone = [record for record in reversed(taken) if _quietly(record.undo)]
        return undone[::-1]

    def redo(self, records: Iterable[Record]) -> None:
        """Register again what `undo` has taken back."""
        for record in records:
            _quietly(record.redo)
            self._records.append(record)

    def _note(
        self, undo: Callable[[], Any], redo: Callable[[], Any], function: object = None
    ) -> None:
        scope = _registers()
        if scope is not None:
            self._records.append(Record(scope, undo, redo, function))

    def _watch_logging(self, logging: Any) -> None:
        add = logging.Logger.addHandler

        @functools.wraps(add)
        def addHandler(self_: Any, hdlr: Any) -> None:  # noqa: N802
            def undo() -> bool:
                is_there = hdlr in self_.handlers
                self_.removeHandler(hdlr)
                return is_there

            is_new = hdlr not in self_.handlers
            add(self_, hdlr)
            if is_new:
                self._note(undo, lambda: add(self_, hdlr))

        logging.Logger.addHandler = addHandler

    def _watch_atexit(self, atexit: Any) -> None:
        plain, plain_undo = atexit.register, atexit.unregister

        @functools.wraps(plain)
        def register(func: Any, /, *args: Any, **kwargs: Any) -> Any:
            result = plain(func, *args, **kwargs)
            self._note(
                lambda: plain_undo(func) is None,
                lambda: plain(func, *args, **kwargs),
                func,
            )
            return result

        @functools.wraps(plain_undo)
        def unregister(func: Any, /) -> None:
            plain_undo(func)
            for record in [each for each in self._records if each.function == func]:
                self._records.remove(record)

        atexit.register, atexit.unregister = register, unregister

    def _watch_signal(self, signal: Any) -> None:
        plain = signal.signal

        @functools.wraps(plain)
        def set_handler(signalnum: Any, handler: Any) -> Any:
            before = plain(signalnum, handler)

            def undo() -> bool:
                is_there = signal.getsignal(signalnum) is handler
                if is_there:
                    plain(signalnum, before)
                return bool(is_there)

            self._note(undo, lambda: plain(signalnum, handler))
            return before

        signal.signal = set_handler

    def _watch_prometheus(self, registry: Any) -> None:
        plain = registry.CollectorRegistry.register

        @functools.wraps(plain)
        def register(self_: Any, collector: Any) -> None:
            plain(self_, collector)

            def undo() -> bool:
                self_.unregister(collector)
                return True

            self._note(undo, lambda: plain(self_, collector))

        registry.CollectorRegistry.register = register


def _registers() -> dict[str, Any] | None:
    """Return the globals of the archive's code that registers something, or None."""
    frame: Any = sys._getframe(3)  # noqa: SLF001
    while frame is not None:
        if entry_of_spec(frame.f_globals.get("__spec__")) is not None:
            scope: dict[str, Any] = frame.f_globals
            return scope
        frame = frame.f_back
    return None


def _quietly(function: Callable[[], Any]) -> bool:
    try:
        return bool(function())
    except Exception:  # noqa: BLE001 - somebody else has taken it back
        return False
