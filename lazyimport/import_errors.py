"""The errors of imports, and the base of all; `lazyimport.errors` has the whole tree.

Programs probe for modules that nobody has, so these are loaded in most processes, and
the other two dozen in few.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from typing_extensions import Self


class LazyImportError(Exception):
    """The base of all errors that lazyimport raises of its own.

    *message* is the text for a person; *facts* become attributes. ``retryable`` says
    whether the same call can succeed later.
    """

    __module__ = "lazyimport.errors"

    retryable = False

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.__setstate__(facts)  # which sets attributes

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def with_text(self, text: str) -> Self:
        """Return a copy that says *text*, with this type, facts and traceback."""
        copy = type(self)(text, **self._facts())
        return copy.with_traceback(self.__traceback__)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, self._facts()

    def __copy__(self) -> Self:
        return self.with_text(str(self))

    def _facts(self) -> dict[str, Any]:
        return dict(self.__dict__)


class ArchiveImportError(LazyImportError, ImportError):
    """A module cannot be imported from the archive; ``name`` and ``path`` say which.

    It leaves import statements of programs that know nothing of lazyimport, so it is
    pickled as what it is for them.
    """

    __module__ = "lazyimport.errors"

    hash: str

    def __reduce__(self) -> tuple[Any, ...]:
        return ImportError, (str(self),), self._facts()

    def _facts(self) -> dict[str, Any]:
        return {**self.__dict__, "name": self.name, "path": self.path}


class ArchiveModuleMissing(ArchiveImportError, ModuleNotFoundError):
    """Neither the archive nor this environment has the module.

    *explain* returns what the archive knows about that, in lines. It is called when
    somebody reads them: programs that probe for optional modules never do. They are
    notes (PEP 678); before Python 3.11, which has none, they follow the text.
    """

    __module__ = "lazyimport.errors"

    def __init__(
        self,
        message: str,
        explain: Callable[[], list[str]] | None = None,
        **facts: Any,
    ) -> None:
        self._explain = explain
        self._lines: list[str] = []
        super().__init__(message, **facts)

    def _explained(self) -> list[str]:
        explain, self._explain = self._explain, None
        if explain is not None:
            self._lines[:0] = explain()
        return self._lines

    if sys.version_info >= (3, 11):

        @property
        def __notes__(self) -> list[str]:
            return self._explained()

        @__notes__.setter
        def __notes__(self, notes: list[str]) -> None:
            self._explain, self._lines = None, notes

    else:

        def __str__(self) -> str:
            return "\n".join([super().__str__(), *self._explained()])

    def __reduce__(self) -> tuple[Any, ...]:
        return ModuleNotFoundError, (str(self),), self._facts()

    def _facts(self) -> dict[str, Any]:
        facts = super()._facts()
        del facts["_explain"], facts["_lines"]
        if sys.version_info >= (3, 11):
            facts["__notes__"] = self.__notes__
        return facts
