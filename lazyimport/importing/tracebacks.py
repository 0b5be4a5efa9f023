"""Tracebacks: sources that the interpreter reads when it prints an exception in C."""

from __future__ import annotations

from lazyimport.errors import ArchiveError
from lazyimport.importing.appearing import appear
from lazyimport.importing.looks import NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Any

    from lazyimport.importing.tree import Tree


def put_sources(tree: Tree, *args: Any) -> None:
    """Put the files on disk that an exception hook called with *args* will read.

    These are (type, value, traceback), or one object with all of them.
    """
    if len(args) == 1:
        error, traceback = args[0].exc_value, args[0].exc_traceback
    else:
        _, error, traceback = args
    for path in {*_files(traceback), *_files_of(error, set())}:
        try:
            if tree.at(path) is not None:
                appear(tree, path, NAME)
        except (ArchiveError, OSError):
            continue  # the exception itself matters more


def _files_of(error: BaseException | None, seen: set[int]) -> Iterator[str]:
    """Yield the files that printing *error* with its causes will look at."""
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield from _files(error.__traceback__)
    if isinstance(error, SyntaxError) and error.filename:
        yield error.filename
    for other in (
        error.__cause__,
        error.__context__,
        *getattr(error, "exceptions", ()),
    ):
        if isinstance(other, BaseException):
            yield from _files_of(other, seen)


def _files(traceback: TracebackType | None) -> Iterator[str]:
    while traceback is not None:
        yield traceback.tb_frame.f_code.co_filename
        traceback = traceback.tb_next
