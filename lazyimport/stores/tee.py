"""A file to write to, which also gives a function what was written."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Tee:
    """Writes to *file*, then calls *tell* with the same bytes."""

    def __init__(self, file: Any, tell: Callable[[Any], object]) -> None:
        self._file = file
        self._tell = tell

    def write(self, data: Any) -> int:
        """Write *data*; return its size."""
        self._file.write(data)
        self._tell(data)
        return len(data)
