"""A line for people while a store does not answer."""

from __future__ import annotations

from threading import Timer

from lazyimport.cli import console
from lazyimport.values import redact

#: Seconds after which the line is printed.
PATIENCE = 3.0
_told: set[str] = set()


class Waiting:
    """A block that waits for *what*, an object or folder of a store (URL).

    If that takes long, a line on stderr says so, once for each store.
    """

    def __init__(self, what: str) -> None:
        self._what = redact(what)
        self._timer = Timer(PATIENCE, self._say)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _say(self) -> None:
        host = "/".join(self._what.split("/")[:3])
        if host not in _told:
            _told.add(host)
            console.say(
                f"waiting for {self._what}: no answer for {PATIENCE:g} s "
                "(LAZYIMPORT_TIMEOUT says how long to wait)"
            )
