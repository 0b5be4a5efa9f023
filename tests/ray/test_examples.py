"""The example is an application that Serve can build from its archive."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray")

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_application_is_packed_and_checked(tmp_path: Path) -> None:
    """A push from its folder needs no option but a store that is there."""
    command = [sys.executable, "-m", "lazyimport", "push", "--check"]
    done = subprocess.run(
        [*command, "--store", str(tmp_path / "store")],
        cwd=EXAMPLES / "shop",
        env={**os.environ, "LAZYIMPORT_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "shop.serve:app: fine" in done.stderr
