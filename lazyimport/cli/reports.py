"""Pages that ``report`` and ``deploy --report`` write."""

from __future__ import annotations

import os
from typing import Protocol

from lazyimport.files import AtomicFile
from lazyimport.report import render


class Report(Protocol):
    """A value that a page shows."""

    def facts(self) -> object:
        """Return what the page is given."""


def write_page(path: str, script: str, title: str, report: Report) -> None:
    """Write the page on which *script* draws *report*. Raises OSError."""
    page = render(script, title, report.facts())
    with AtomicFile(os.path.abspath(path)) as file:
        file.write(page.encode())
