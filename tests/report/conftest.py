"""Archives as reports get them, and the browser that shows the pages."""

from __future__ import annotations

from typing import Any

import pytest

from lazyimport.delivery.contents import Contents
from lazyimport.format.archive import Archive
from tests.support.browser import PROGRAM, Browser
from tests.support.trees import make_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: a name that would be markup where somebody forgets that it is text
HOSTILE = '<img src=x onerror="document.title=1">&quot;\u2028'


def contents_of(files: Mapping[str, str | bytes], **tree: Any) -> Contents:
    archive = Archive(*make_archive(files, **tree))
    return Contents(
        archive.header, archive.index, {}, "a store", (0, 0), archive.content, {}
    )


@pytest.fixture(name="browser", scope="session")
def _browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if PROGRAM is None:
        pytest.skip("no Chromium here")
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser
