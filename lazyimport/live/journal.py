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
    """One thing that was registered by the module with the globals *scope*."""

    def __init__(
        self, scope: dict[str, Any], undo: Callable[[], Any], redo: Callable[[], Any]
    ) -> None:
        self.scope = scope
        self.undo = undo
        self.redo = redo


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
        for record in reversed(taken):
            _quietly(record.undo)
        return taken

    def redo(self, records: Iterable[Record]) -> None:
        """Register again what `undo` has taken back."""
        for record in records:
            _quietly(record.redo)
            self._records.append(record)

    def _note(self, undo: Callable[[], Any], redo: Callable[[], Any]) -> None:
        scope = _registers()
        if scope is not None:
            self._records.append(Record(scope, undo, redo))

    def _watch_logging(self, logging: Any) -> None:
        add = logging.Logger.addHandler

        @functools.wraps(add)
        def addHandler(self_: Any, hdlr: Any) -> None:  # noqa: N802
            is_new = hdlr not in self_.handlers
            add(self_, hdlr)
            if is_new:
                self._note(lambda: self_.removeHandler(hdlr), lambda: add(self_, hdlr))

        logging.Logger.addHandler = addHandler

    def _watch_atexit(self, atexit: Any) -> None:
        plain = atexit.register

        @functools.wraps(plain)
        def register(func: Any, /, *args: Any, **kwargs: Any) -> Any:
            result = plain(func, *args, **kwargs)
            self._note(
                lambda: atexit.unregister(func), lambda: plain(func, *args, **kwargs)
            )
            return result

        atexit.register = register

    def _watch_signal(self, signal: Any) -> None:
        plain = signal.signal

        @functools.wraps(plain)
        def set_handler(signalnum: Any, handler: Any) -> Any:
            before = plain(signalnum, handler)

            def undo() -> None:
                if signal.getsignal(signalnum) is handler:
                    plain(signalnum, before)

            self._note(undo, lambda: plain(signalnum, handler))
            return before

        signal.signal = set_handler

    def _watch_prometheus(self, registry: Any) -> None:
        plain = registry.CollectorRegistry.register

        @functools.wraps(plain)
        def register(self_: Any, collector: Any) -> None:
            plain(self_, collector)
            self._note(
                lambda: self_.unregister(collector), lambda: plain(self_, collector)
            )

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


def _quietly(function: Callable[[], Any]) -> None:
    try:
        function()
    except Exception:  # noqa: BLE001, S110 - somebody else has taken it back
        pass
