"""Two signing keys."""

from __future__ import annotations

import pytest

from lazyimport.registry.signer import Signer, make_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def ours(tmp_path: Path) -> Signer:
    return make_key(str(tmp_path / "ours"))


@pytest.fixture
def theirs(tmp_path: Path) -> Signer:
    return make_key(str(tmp_path / "theirs"))
