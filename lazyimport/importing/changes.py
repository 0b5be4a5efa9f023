"""Changes to the interpreter, each of which can be undone."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Changes:
    """Changes the interpreter, and undoes what nobody else has changed since."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def undo(self) -> None:
        """Undo every change, the last one first."""
        while self._undo:
            self._undo.pop()()

    def at_undo(self, function: Callable[[], None]) -> None:
        """Have *function* called to undo a change that was made elsewhere."""
        self._undo.append(function)

    def insert(self, items: list[Any], place: int, item: object) -> None:
        """Insert *item* into a list such as ``sys.path``."""

        def undo() -> None:
            while item in items:
                items.remove(item)

        items.insert(place, item)
        self._undo.append(undo)

    def set_variable(self, name: str, value: str | None) -> None:
        """Set an environment variable, or remove it if *value* is None."""
        before = os.environ.get(name)

        def undo() -> None:
            if os.environ.get(name) == value:
                _set_variable(name, before)

        _set_variable(name, value)
        self._undo.append(undo)

    def replace(self, owner: Any, name: str, value: object) -> None:
        """Replace an attribute of a module or class."""
        before = getattr(owner, name)

        def undo() -> None:
            if getattr(owner, name) is value:
                setattr(owner, name, before)

        setattr(owner, name, value)
        self._undo.append(undo)

    def precede(
        self, owner: Any, name: str, first: Callable[..., None], twin: str = ""
    ) -> None:
        """Have *first* called before a function, with the same arguments.

        *twin* is a second name, as that of ``sys.__excepthook__``. If both stand for
        one function they still do: code that puts the original back, or asks whether
        it is in place, must find ours.
        """
        before = getattr(owner, name)

        def both(*args: Any, **kwargs: Any) -> Any:
            first(*args, **kwargs)
            return before(*args, **kwargs)

        # as functools.wraps does, which is too heavy for a start
        for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
            if hasattr(before, attribute):
                setattr(both, attribute, getattr(before, attribute))
        both.__wrapped__ = before  # type: ignore[attr-defined]
        self.replace(owner, name, both)
        if twin and getattr(owner, twin) is before:
            self.replace(owner, twin, both)
        elif twin:
            self.precede(owner, twin, first)


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
