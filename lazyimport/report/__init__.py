"""Reports: what a person would rather look at, as values, and the pages that show them.

A page is one file that loads nothing. Its texts are anybody's: names of files and
modules, messages of Serve. They reach it as data and are never markup, and only the
script of this package runs in it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lazyimport.report.archive import ArchiveReport, report_archive
    from lazyimport.report.page import render
else:
    from lazyimport.lazy import exports

    __getattr__, __dir__ = exports(
        globals(), archive="ArchiveReport report_archive", page="render"
    )

__all__ = ["ArchiveReport", "render", "report_archive"]
