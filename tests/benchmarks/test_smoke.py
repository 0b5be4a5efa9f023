"""The benchmarks run; their figures are for people to read."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
#: The checkout comes last on sys.path, so that the installed lazyimport is measured.
RUN = f"""
import runpy, sys
sys.path.append({ROOT!r})
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    "name",
    ["change", "harm", "imports", "install", "looks", "push", "start", "weights"],
)
def test_benchmark_prints_its_table(name: str) -> None:
    """Nothing is asserted about time, because a machine that runs tests is busy."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, f"benchmarks.{name}", "--quick"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "| --" in done.stdout
