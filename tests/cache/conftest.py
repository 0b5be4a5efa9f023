"""An empty node cache."""

from __future__ import annotations

import pytest

from lazyimport.cache.node import NodeCache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cache(tmp_path: Path) -> NodeCache:
    return NodeCache(str(tmp_path / "cache"))
